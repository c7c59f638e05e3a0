#!/usr/bin/python
# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fastdfs_info
short_description: Ask FastDFS trackers for groups and storages, and wait for a state
version_added: 0.1.0
author:
  - imageops (@imageops)
description:
  - Asks each tracker from the managed host. Returns groups and storages with status, version, space, counters and sync lag, which
    trackers answered, and what they disagree on.
  - With O(wait_for) it asks until storages have a status, and says who is missing when they do not get it in time.
  - Talks to trackers only and changes nothing.
options:
  trackers:
    description: The trackers, as C(host) or C(host:port) with the port V(22122) when left out. IPv4 only, as FastDFS.
    type: list
    elements: str
    required: true
  timeout:
    description: Seconds that each answer of a tracker may take, connecting included. A tracker is asked two questions and one for each group.
    type: float
    default: 10
  groups:
    description: The groups to ask for. All of them when left out. Without O(wait_for), a group that no tracker knows is an error.
    type: list
    elements: str
  wait_for:
    description:
      - What to wait for. It has to be so for every tracker that answers, and one has to answer.
      - Of trackers that do not answer, RV(trackers) and the message of a failure tell.
    type: dict
    suboptions:
      storages:
        description:
          - IPv4 addresses or ids of the storages that have to have the status.
          - Left out, it is every storage of O(groups) that trackers know, at least one in each. A storage that never joined is missed only
            when it is named. Storages that left their group (V(DELETED), V(IP_CHANGED), V(NONE)) do not count.
        type: list
        elements: str
      status:
        description: The status.
        type: str
        choices: [INIT, WAIT_SYNC, SYNCING, IP_CHANGED, DELETED, OFFLINE, ONLINE, ACTIVE, RECOVERY, NONE]
        default: ACTIVE
  wait_timeout:
    description: Seconds to wait at most. A round of questions that has begun is ended. V(0) looks once.
    type: float
    default: 120
  poll_interval:
    description: Seconds from one look to the next, at least V(0.1).
    type: float
    default: 2
attributes:
  check_mode:
    description: Does the same in check mode, waiting included.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  platform:
    description: Linux.
    platforms: linux
    support: full
notes:
  - A storage becomes V(ACTIVE) with its next heart-beat, 30 seconds in upstream's sample.
  - Fails when no tracker answers. One that answers is enough.
seealso:
  - module: imageops.lvs_fastdfs.fastdfs_file
"""

EXAMPLES = r"""
- name: The cluster is known
  imageops.lvs_fastdfs.fastdfs_info:
    trackers: [192.168.10.252]
  register: cluster

- name: Every storage of group1 is ACTIVE, these two among them
  imageops.lvs_fastdfs.fastdfs_info:
    trackers: [192.168.10.252, "192.168.10.253:22122"]
    groups: [group1]
    wait_for:
      storages: [192.168.10.173, 192.168.10.74]
    wait_timeout: 300

- name: Every storage that trackers know is ACTIVE
  imageops.lvs_fastdfs.fastdfs_info:
    trackers: [192.168.10.252]
    wait_for: {}

- name: Status and lag of each storage are shown
  ansible.builtin.debug:
    msg: "{{ item.0.name }} {{ item.1.address }} {{ item.1.status }}, {{ item.1.sync_lag }} s behind, {{ item.1.free_mb }} MB free"
  loop: "{{ cluster.groups | subelements('storages') }}"
"""

RETURN = r"""
trackers:
  description: The trackers in their order. Returned on failure too.
  returned: when trackers were asked
  type: list
  elements: dict
  contains:
    address:
      description: Host and port.
      type: str
      returned: always
      sample: 192.168.10.252:22122
    reachable:
      description: Whether it answered all questions.
      type: bool
      returned: always
    error:
      description: The sentence that says why it did not. Null when it did.
      type: str
      returned: always
      sample: "tracker 192.168.10.252:22122, asked for its groups, hung for 10.0 s"
    leader:
      description: Whether it says that it leads the trackers. Null when it does not say, as a tracker that no storage ever joined.
      type: bool
      returned: always
    running_time:
      description: Seconds since it started. Null like RV(trackers[].leader).
      type: int
      returned: always
told_by:
  description: The tracker that RV(groups) are from, the first that answered. Null when none did.
  returned: when trackers were asked
  type: str
  sample: 192.168.10.252:22122
disagreements:
  description:
    - A sentence for each storage that the trackers that answered do not all know with the same status and address, and one when several
      say that they lead. They are warnings, too.
    - Trackers are asked one after the other, so a storage that changes its status at this moment can stand here.
  returned: when trackers were asked
  type: list
  elements: str
  sample: ["storage 192.168.10.74 of group1 is ACTIVE to 192.168.10.252:22122, not known to 192.168.10.253:22122"]
elapsed:
  description: Seconds that were waited.
  returned: with O(wait_for)
  type: float
groups:
  description: The groups.
  returned: when trackers were asked
  type: list
  elements: dict
  contains:
    name:
      description: Name of the group.
      type: str
      returned: always
    storage_count:
      description: Storages of the group.
      type: int
      returned: always
    active_count:
      description: Those of them that are ACTIVE.
      type: int
      returned: always
    total_mb:
      description: Space in MB (MiB), of the storage with the least.
      type: int
      returned: always
    free_mb:
      description: Free space in MB, of the storage with the least.
      type: int
      returned: always
    store_path_count:
      description: Store paths that each of its storages has.
      type: int
      returned: always
    storage_port:
      description: Port of its storages.
      type: int
      returned: always
    storages:
      description: The storages.
      type: list
      elements: dict
      returned: always
      contains:
        id:
          description: Id of the storage, its address where ids are not used.
          type: str
          returned: always
        address:
          description: IPv4 address.
          type: str
          returned: always
        port:
          description: TCP port.
          type: int
          returned: always
        status:
          description: The status by name, as in O(wait_for.status), or C(unknown) with the number.
          type: str
          returned: always
          sample: ACTIVE
        version:
          description: Version of FastDFS.
          type: str
          returned: always
          sample: "5.05"
        total_mb:
          description: Space of all store paths in MB (MiB).
          type: int
          returned: always
        free_mb:
          description: Free space of all store paths in MB, the reserved space included.
          type: int
          returned: always
        store_path_count:
          description: Its store paths.
          type: int
          returned: always
        upload_priority:
          description: The less, the earlier it gets uploads, where trackers choose by priority.
          type: int
          returned: always
        join_time:
          description: When it joined, in Unix seconds, like all times here. 0 means never.
          type: int
          returned: always
        up_time:
          description: When it started.
          type: int
          returned: always
        last_heart_beat:
          description: When this tracker last heard from it.
          type: int
          returned: always
        last_source_update:
          description: When a client last changed something on it.
          type: int
          returned: always
        last_sync_update:
          description: When another storage last changed something on it.
          type: int
          returned: always
        last_synced_timestamp:
          description:
            - Up to when it has the changes of the others, as the tracker sums it up. With several sources it is that of the source it is
              furthest behind when trackers choose storages in turn (C(store_server=0)), else that of the one it is least behind.
          type: int
          returned: always
        sync_lag:
          description:
            - Seconds from RV(groups[].storages[].last_synced_timestamp) to the latest RV(groups[].storages[].last_source_update) of the
              other storages, as C(fdfs_monitor) computes it. 0 when they have no changes. Null when they have and it never got any, and
              when it has left the group.
            - It is the distance of two changes in time, not the time that it would take, nor a number of files. A storage that was down
              for an hour in which nothing was uploaded does not lag.
            - It is what one tracker knows, as old as the last heart-beats and reports. V(0) does not prove that each file is there. In a
              group of three or more, one source that had no upload for long makes it large though nothing is missing, or it hides a slow source
              behind a fast one, see RV(groups[].storages[].last_synced_timestamp). How far each source is with each
              storage stands only in the source's mark files.
          type: int
          returned: always
        counters:
          description:
            - All counters that C(fdfs_monitor) prints, by its names, among them C(total_upload_count), C(success_upload_count),
              C(success_upload_bytes), C(success_download_count), C(success_download_bytes), C(success_delete_count),
              C(success_sync_in_bytes), C(success_sync_out_bytes) and C(connection_current_count).
            - They count since the storage's first start.
          type: dict
          returned: always
          sample: {success_upload_count: 5000, success_download_count: 12}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs import cluster, options
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs.client import Client
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs.wire import WireError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "trackers": {"type": "list", "elements": "str", "required": True},
            "timeout": {"type": "float", "default": 10},
            "groups": {"type": "list", "elements": "str"},
            "wait_for": {
                "type": "dict",
                "options": {
                    "storages": {"type": "list", "elements": "str"},
                    "status": {"type": "str", "choices": list(cluster.STATUSES), "default": "ACTIVE"},
                },
            },
            "wait_timeout": {"type": "float", "default": 120},
            "poll_interval": {"type": "float", "default": 2},
        },
        supports_check_mode=True,
    )
    params = module.params
    groups = params["groups"]
    try:
        timeout = options.seconds(params, "timeout", 0.1)
        clients = [Client([tracker], timeout) for tracker in options.trackers(params["trackers"])]
        waited = cluster.wanted(params["wait_for"], groups) if params["wait_for"] is not None else None
        wait_timeout = options.seconds(params, "wait_timeout", 0)
        poll_interval = options.seconds(params, "poll_interval", 0.1)
    except WireError as error:
        module.fail_json(msg=str(error))

    def look() -> list[cluster.View]:
        return [cluster.view(client, groups) for client in clients]

    if waited is None:
        views, left, times = look(), [], {}
    else:
        views, left, elapsed = cluster.wait(look, waited, wait_timeout, poll_interval)
        times = {"elapsed": round(elapsed, 1)}
    returned = {"changed": False, **times, **cluster.shape(views)}
    for sentence in returned["disagreements"]:
        module.warn(f"trackers disagree: {sentence}")
    if left:
        module.fail_json(msg=cluster.still_missing(waited, views, left, elapsed), **returned)
    try:
        cluster.require(views, groups)
    except cluster.NoAnswer as error:
        module.fail_json(msg=str(error), **returned)
    module.exit_json(**returned)


if __name__ == "__main__":
    main()
