# Copyright: imageops.lvs_fastdfs contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What storages and backup hosts have to know of each other, from the cluster's plan and from the keys that a play has read on the hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError


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
            "sources": [plan["members"][name]["address"]],
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
