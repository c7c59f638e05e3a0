# Copyright: imageops.lvs_fastdfs contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What storages and backup hosts have to know of each other, from the cluster's plan and from the keys that a play has read on the hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs import wire
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils.cluster import answered


def _read(hostvars: Mapping[str, Mapping[str, Any]], host: str, fact: str) -> str:
    """A key that an earlier play has read. One that was left out by --limit must not be taken for one that is gone."""
    if fact not in hostvars[host]:
        raise AnsibleFilterError(f"The ssh key of {host} was not read in this run: run it without --limit.")
    return str(hostvars[host][fact])


def backup_storages(
    plan: Mapping[str, Any], hostvars: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The storages that may ship to a backup host, in the shape of ``fastdfs_backup_storages``."""
    return {
        name: {
            "group": plan["members"][name]["group"],
            "address": plan["members"][name]["address"],
            "sources": [plan["members"][name]["id"]],
            "public_key": _read(hostvars, name, "fastdfs_backup_public_key"),
        }
        for name in plan["roles"]["fastdfs_storages"]
    }


def backup_archives(
    plan: Mapping[str, Any], hostvars: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The hosts that a storage ships to, in the shape of ``fastdfs_backup_archives``."""
    return {
        name: {
            "address": plan["members"][name]["address"],
            "port": plan["members"][name]["ssh_port"] or 22,
            "host_key": _read(hostvars, name, "fastdfs_backup_host_key"),
        }
        for name in plan["roles"]["fastdfs_backups"]
    }


def restore_wanted(
    plan: Mapping[str, Any], hostvars: Mapping[str, Mapping[str, Any]], words: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """What ``playbooks/restore.yml`` brings back: for each storage that gets images, the value of ``fastdfs_backup_restore``.

    ``words`` are its extra variables. The time is that of this machine's clock.
    """
    ways = [name for name in ("what", "deleted_since", "ids_file") if words[name]]
    if len(ways) != 1:
        raise AnsibleFilterError(
            f"{'Too much' if ways else 'Nothing'} is asked for: write one of -e what=all, -e deleted_since='2026-11-25 10:00' and -e ids=FILE."
        )
    archives = plan["roles"]["fastdfs_backups"]
    archive = words["archive"] or next(iter(archives), "")
    if archive not in archives:
        raise AnsibleFilterError(
            f"{archive} is no backup host: write -e archive= with one of {', '.join(archives)}."
            if archives
            else "There is no backup host: the group fastdfs_backups is empty."
        )
    targets = _targets(plan, hostvars, [name for name in words["to"].split(",") if name])
    wanted: dict[str, Any] = {}
    if words["what"] and words["what"] != "all":
        raise AnsibleFilterError(f"-e what={words['what']} is not known: write -e what=all.")
    if words["deleted_since"]:
        wanted["since"] = _time(words["deleted_since"])
    names = _by_group(words["ids"], words["ids_file"], targets) if words["ids_file"] else {}
    return {
        host: {
            "archive": archive,
            "address": plan["members"][host]["address"],
            **wanted,
            **({"names": names[group]} if names else {}),
        }
        for group, host in targets.items()
        if not names or group in names
    }


def _targets(
    plan: Mapping[str, Any], hostvars: Mapping[str, Mapping[str, Any]], named: Sequence[str]
) -> dict[str, str]:
    """A storage for each group: the named ones, or the first of each group that answers."""
    storages = plan["roles"]["fastdfs_storages"]
    unknown = [host for host in named if host not in storages]
    if unknown:
        raise AnsibleFilterError(f"-e to={unknown[0]} is no storage: write one of {', '.join(storages)}.")
    found: dict[str, str] = {}
    for host in named or storages:
        group = plan["members"][host]["group"]
        answers = answered(hostvars[host])
        if named and group in found:
            raise AnsibleFilterError(
                f"-e to= names {found[group]} and {host} of {group}: one is enough, the others get the images from it."
            )
        if named and not answers:
            raise AnsibleFilterError(
                f"{host} cannot be reached: name another storage of {group} with -e to=."
            )
        if answers:
            found.setdefault(group, host)
    groups = {plan["members"][host]["group"] for host in named or storages}
    if set(found) != groups:
        raise AnsibleFilterError(
            f"No storage of {', '.join(sorted(groups - set(found)))} can be reached, so that nothing can be brought there."
        )
    return found


def _by_group(lines: Sequence[str], path: str, targets: Mapping[str, str]) -> dict[str, list[str]]:
    """Names by group."""
    names: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            file = wire.file_id(line.strip())
        except wire.WireError as error:
            raise AnsibleFilterError(f"Line {number} of {path}: {error}.") from error
        if file.group not in targets:
            raise AnsibleFilterError(
                f"Line {number} of {path}: there is no group {file.group} here; there is {', '.join(targets)}."
            )
        names.setdefault(file.group, []).append(file.name)
    if not names:
        raise AnsibleFilterError(f"{path} has no file ids: write one a line, like group1/M00/00/00/….")
    return names


def _time(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        raise AnsibleFilterError(
            f"-e deleted_since='{text}' is no time: write it like '2026-11-25 10:00', by the clock of this machine."
        ) from None
