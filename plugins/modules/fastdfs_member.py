#!/usr/bin/python
# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fastdfs_member
short_description: Take a storage out of its FastDFS group
version_added: 0.1.0
author:
  - imageops (@imageops)
description:
  - Tells each tracker that a storage, which is stopped, has left its group. Trackers go on listing it with the status V(DELETED), and
    the other storages stop waiting for it.
  - The other storages have forgotten it after three heart-beats and some seconds. Before each start a storage of this collection's role waits
    for that, as long as no tracker was started again meanwhile.
  - Upstream's C(fdfs_monitor delete) ends with status 0 when a tracker refuses. This looks at the answer of each tracker, and asks
    again afterwards.
  - It touches no image and no storage.
options:
  trackers:
    description: All trackers, as C(host) or C(host:port) with the port V(22122) when left out. IPv4 only, as FastDFS.
    type: list
    elements: str
    required: true
  group:
    description: The group.
    type: str
    required: true
  storage:
    description: IPv4 address of the storage, or its id where the cluster uses ids.
    type: str
    required: true
  state:
    description: What shall be. Storages join by themselves.
    type: str
    choices: [absent]
    default: absent
  timeout:
    description: Seconds that each answer of a tracker may take, connecting included.
    type: float
    default: 10
attributes:
  check_mode:
    description: Asks the same and changes nothing.
    support: full
  diff_mode:
    description: Its answer says how each tracker knew the storage.
    support: none
  platform:
    description: Linux.
    platforms: linux
    support: full
notes:
  - Fails, and changes nothing, when a tracker does not answer, which would go on with that storage, or holds the storage for running.
  - A storage that left and comes back has to come with empty store paths. What was uploaded while it was away would not reach it otherwise.
seealso:
  - module: imageops.lvs_fastdfs.fastdfs_info
"""

EXAMPLES = r"""
- name: The storage that burnt down is no member of group1
  imageops.lvs_fastdfs.fastdfs_member:
    trackers: [192.168.10.252, 192.168.10.253]
    group: group1
    storage: 192.168.10.74
"""

RETURN = r"""
before:
  description: The status of the storage by the address of each tracker; V(unknown) where it was not known.
  returned: when every tracker answered
  type: dict
  sample: {"192.168.10.252:22122": OFFLINE}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs import cluster, options
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs.client import Client, FastdfsError
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs.wire import (
    WireError,
    delete_storage,
)


class Refusal(Exception):
    """The sentence that says why the storage stays."""


def statuses(clients: list[Client], group: str, storage: str) -> list[str]:
    """The storage's status to the one tracker of each client. Raises Refusal when one does not answer, NoAnswer for a group that none knows."""
    views = [cluster.view(client, [group]) for client in clients]
    silent = [view.error for view in views if view.error is not None]
    if silent:
        raise Refusal(f"every tracker has to be told, and not all answer: {'; '.join(silent)}")
    cluster.require(views, [group])
    known = [
        {each.id: each.status for each in view.groups[group].storages} if group in view.groups else {}
        for view in views
    ]
    return [each.get(storage, "unknown") for each in known]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "trackers": {"type": "list", "elements": "str", "required": True},
            "group": {"type": "str", "required": True},
            "storage": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["absent"], "default": "absent"},
            "timeout": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    group, storage = module.params["group"], module.params["storage"]
    returned = {}
    try:
        timeout = options.seconds(module.params, "timeout", 0.1)
        delete_storage(group, storage)
        clients = [Client([tracker], timeout) for tracker in options.trackers(module.params["trackers"])]
        before = statuses(clients, group, storage)
        trackers = [str(client.trackers[0]) for client in clients]
        returned["before"] = dict(zip(trackers, before))
        running = [
            f"{status} to {tracker}"
            for tracker, status in returned["before"].items()
            if status in cluster.RUNNING
        ]
        if running:
            raise Refusal(
                f"storage {storage} of {group} is {', '.join(running)}: stop its fdfs-storaged.service first"
            )
        members = [
            client for client, status in zip(clients, before) if status not in (*cluster.GONE, "unknown")
        ]
        if members and not module.check_mode:
            for client in members:
                client.delete_storage(group, storage)
            left = [
                status
                for status in statuses(clients, group, storage)
                if status not in (*cluster.GONE, "unknown")
            ]
            if left:
                raise Refusal(
                    f"trackers took the order, and storage {storage} of {group} is {' and '.join(left)} still: did it start again?"
                )
    except (Refusal, WireError, FastdfsError, cluster.NoAnswer) as error:
        module.fail_json(msg=str(error), **returned)
    module.exit_json(changed=bool(members), **returned)


if __name__ == "__main__":
    main()
