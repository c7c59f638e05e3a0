# Copyright: imageops.lvs_fastdfs contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a tracker can go on with what it keeps of its storages, once it is given other storage ids. Pure functions.

A tracker of FastDFS 5.05 does not start when an id that it keeps is not in ``storage_ids.conf``. It breaks whenever a storage tells it of
one that is not there, unless that storage knows that the other was deleted (``tracker_mem_sync_storages`` uses what it did not get). One that
is told to go over from addresses to ids, or back, starts: but storages that run stop replicating, or every storage is there twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_SECTION = re.compile(r"(?m)^\[Storage\d+\]$([^\[]*)")
_ITEM = re.compile(r"(?m)^\s*(\w+)=(.*)$")
_DELETED = "4"
# Seconds until every storage knows who has left, of which trackers tell with each heart-beat: three of them.
_KNOWN = 90


def _left(changelog: str) -> dict[tuple[str, str], int]:
    """When storages were deleted last (Unix time), by group and id."""
    left = {}
    for line in changelog.splitlines():
        time, group, storage, status = [*line.split(" "), "", "", "", ""][:4]
        if status == _DELETED and time.isdigit():
            left[group, storage] = int(time)
    return left


def _kept(storages: str, changelog: str) -> list[dict[str, str]]:
    """The storages of ``storage_servers_new.dat``, without those of which ``storage_changelog.dat`` says that they have left since they joined.

    The tracker notes at once who left, and writes the list anew some time later.
    """
    left = _left(changelog)
    found = [dict(_ITEM.findall(section)) for section in _SECTION.findall(storages)]
    return [
        each
        for each in found
        if left.get((each["group_name"], each.get("id") or each["ip_addr"]), -1) < int(each["join_time"])
    ]


def tracker_data_problems(
    storages: str, changelog: str, ids: Sequence[Mapping[str, Any]], tracker: str, now: int
) -> list[str]:
    """What keeps ``tracker`` from going on with ``ids`` (``fastdfs_tracker_storage_ids``), as sentences; an empty list when nothing does.

    ``storages`` and ``changelog`` are the texts of its files, empty where there is none yet; ``now`` is Unix time.
    """
    kept = _kept(storages, changelog)
    by_address = [each["ip_addr"] for each in kept if "id" not in each]
    by_id = [each for each in kept if "id" in each]
    if ids and by_address:
        return [
            f"{tracker} knows storages by their addresses ({', '.join(by_address)}), and file ids tell these addresses: "
            "take fastdfs_storage_id out of the inventory. Ids are given on a cluster's first day."
        ]
    if by_id and not ids:
        return [
            f"{tracker} knows storages by ids ({', '.join(each['id'] for each in by_id)}), and images are named after them: "
            "write for every storage the fastdfs_storage_id that it had."
        ]
    given = {(str(each["id"]), each["group"]) for each in ids}
    just = {
        (group, storage): now - time
        for (group, storage), time in _left(changelog).items()
        if ids and (storage, group) not in given and 0 <= now - time < _KNOWN
    }
    return [
        f"{tracker} knows the storage {each['id']} of {each['group_name']} ({each['ip_addr']}), and would not start without it: "
        "write its fastdfs_storage_id and group again, or take it out first (decommission_storage.yml, or the module "
        "fastdfs_member when its host is gone)."
        for each in by_id
        if (each["id"], each["group_name"]) not in given
    ] + [
        f"The storage {storage} of {group} left {tracker} {age} s ago, and one that does not know it yet would break the tracker: "
        f"run this again in {_KNOWN - age} s."
        for (group, storage), age in just.items()
    ]
