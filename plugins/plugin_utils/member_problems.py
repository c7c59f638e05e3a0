# Copyright: imageops.lvs_fastdfs contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the hosts of an image cluster, one by one: addresses, root, FastDFS groups, storage ids and store paths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils.cluster import as_ip

# A tracker tells a group's storages in one answer of 8 KB.
MAX_STORAGES = 13
MAX_PATHS = 256
# Greater ones would be taken for addresses in the names of images.
MAX_ID = 2**24 - 1
# As the role fastdfs_storage has them.
_GROUP = re.compile(r"[A-Za-z0-9]{1,16}")
_PATH = re.compile(r"(/[A-Za-z0-9_.+-]+)+")

Members = Mapping[str, Mapping[str, Any]]


def _addresses(found: Members) -> Iterator[str]:
    for name, member in found.items():
        if as_ip(member["address"]) is None:
            was = f"{member['address']!r}" if member["address"] else "not known"
            yield f"The address of {name} is {was}: set image_cluster_address to the IP address that its peers use."
            continue
        if as_ip(member["address"]).version != 4 or as_ip(member["address"]).is_loopback:
            yield (
                f"The address of {name} is {member['address']}, and FastDFS 5.05 needs an IPv4 address that other hosts reach: "
                "set image_cluster_address to one."
            )
        elif member["addresses"] and member["address"] not in member["addresses"]:
            yield (
                f"The address of {name} is {member['address']}, and the host has {', '.join(member['addresses'])}: "
                "set image_cluster_address to the one that its peers use."
            )
    by_address: dict[str, list[str]] = {}
    for name, member in found.items():
        address = as_ip(member["address"])
        if address is not None:
            by_address.setdefault(str(address), []).append(name)
    for address, names in by_address.items():
        if len(names) > 1:
            yield f"{' and '.join(names)} have one address, {address}: give each host its own (image_cluster_address or ansible_host)."


def _root(found: Members) -> Iterator[str]:
    for name, member in found.items():
        if member["user"] is not None and member["user"] != 0:
            yield f"{name} is reached as user {member['user_name']}, which may not change it: set ansible_become: true."


def _groups(found: Members, roles: Mapping[str, Sequence[str]]) -> Iterator[str]:
    by_group: dict[str, list[str]] = {}
    for host in roles["fastdfs_storages"]:
        group = found[host]["group"]
        by_group.setdefault(group, []).append(host)
    for group, hosts in by_group.items():
        if len(hosts) > MAX_STORAGES:
            yield f"{group} has {len(hosts)} storages, and FastDFS 5.05 can name {MAX_STORAGES} of a group to its clients: take some out."
        first = hosts[0]
        for host in hosts[1:]:
            counts = [len(found[each]["paths"]) for each in (first, host)]
            if counts[0] != counts[1]:
                yield (
                    f"{first} has {counts[0]} and {host} has {counts[1]} fastdfs_storage_paths, and both are of {group}: "
                    "give every storage of a group the same number of paths."
                )
        # An image server fetches what it lacks from other image servers only.
        if roles["image_servers"] and not set(hosts) & set(roles["image_servers"]):
            yield (
                f"No storage of {group} is in image_servers ({', '.join(hosts)}), so readers of the VIPs would miss its images: "
                "put all of them into image_servers."
            )


def _group_names(found: Members, storages: Sequence[str]) -> Iterator[str]:
    for host in storages:
        group = found[host]["group"]
        if not _GROUP.fullmatch(group):
            yield f"fastdfs_storage_group of {host} is {group!r}: write 1 to 16 letters and digits, for example group1."


def _ids(found: Members, storages: Sequence[str]) -> Iterator[str]:
    ids = {host: found[host]["storage_id"] for host in storages if found[host]["storage_id"] is not None}
    for host, number in ids.items():
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= MAX_ID:
            yield f"fastdfs_storage_id of {host} is {number!r}: write a whole number from 1 to {MAX_ID} that no other storage has."
    lacking = [host for host in storages if host not in ids]
    if ids and lacking:
        yield (
            f"{', '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} no fastdfs_storage_id, and {', '.join(ids)} "
            f"{'has' if len(ids) == 1 else 'have'}: write one for every storage, or for none."
        )
    by_id: dict[str, list[str]] = {}
    for host, number in ids.items():
        by_id.setdefault(str(number), []).append(host)
    for number, hosts in by_id.items():
        if len(hosts) > 1:
            yield f"{' and '.join(hosts)} have one fastdfs_storage_id, {number}: write for each storage one that no other has."


def _paths(found: Members, storages: Sequence[str]) -> Iterator[str]:
    for host in storages:
        paths = found[host]["paths"]
        what = f"fastdfs_storage_paths of {host}"
        if not isinstance(paths, list) or not 0 < len(paths) <= MAX_PATHS:
            yield f"{what} is {paths!r}: write a list of absolute paths, for example [/data/fastdfs]."
            continue
        for number, path in enumerate(paths):
            if not str(path).startswith("/") or ".." in str(path).split("/"):
                yield f"{what} has {path!r}, which is not absolute: write a path that starts with / and has no '..'."
            elif not _PATH.fullmatch(str(path)) or "." in str(path).split("/"):
                yield f"{what} has {path!r}: write an absolute path of letters, digits and _ . + - without a slash at its end."
            elif path in paths[:number]:
                yield f"{what} names {path} twice: write it once."
            for other in paths:
                if str(path).startswith(f"{other}/") and path != other:
                    yield f"{what} has {path} inside {other}, where their files would meet: write separate directories."


def member_problems(found: Members, roles: Mapping[str, Sequence[str]]) -> list[str]:
    """Every problem of the hosts, as sentences; ``found`` comes from ``cluster.members``, ``roles`` from ``cluster.roles_of``."""
    storages = roles["fastdfs_storages"]
    said = [
        *_addresses(found),
        *_root(found),
        *_group_names(found, storages),
        *_ids(found, storages),
        *_paths(found, storages),
    ]
    # What follows from sound hosts only.
    return said or list(_groups(found, roles))
