# Copyright: imageops.lvs_fastdfs contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state of a cluster on one screen: lines for people, made from what ``playbooks/status.yml`` has asked its hosts. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs.cluster import GONE
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils.cluster import answered

MIB = 1 << 20
FULL = 0.9  # of a disk in use, from which on it is trouble
LATE = 60  # seconds of lag, from which on it is trouble
SILENT = 900  # seconds without a word of a service that has one every 15, unless it moves something large
Plan = Mapping[str, Any]
Hostvars = Mapping[str, Mapping[str, Any]]


class Status:
    """What is seen, and beside it what is wrong."""

    def __init__(self, plan: Plan, hostvars: Hostvars) -> None:
        self.plan = plan
        self.hostvars = hostvars
        self.wrong: list[str] = []
        self.names = {member["address"]: host for host, member in plan["members"].items()}
        # As trackers and mark files name them.
        self.storages = {plan["members"][host]["id"]: host for host in plan["roles"]["fastdfs_storages"]}

    def lines(self) -> list[str]:
        """The whole screen; its end says what is wrong."""
        silent = [host for host in self.plan["members"] if not self._answered(host)]
        self.wrong += [f"{host} cannot be reached." for host in silent]
        found = [
            *("Directors", *_indented(self._directors())),
            *("Trackers", *_indented(self._trackers())),
            *self._groups(),
        ]
        if self.plan["roles"]["fastdfs_backups"]:
            found += ["Backup", *_indented(self._backups())]
        return [*found, *(["What is wrong", *_indented(self.wrong)] if self.wrong else ["Nothing is wrong"])]

    def _answered(self, host: str) -> bool:
        return answered(self.hostvars[host])

    def _registered(self, host: str, name: str) -> Mapping[str, Any]:
        """What a task registered, or nothing where it failed."""
        found = self.hostvars[host].get(name) or {}
        return {} if found.get("unreachable") or found.get("failed") else found

    def _state(self, host: str) -> Mapping[str, Any]:
        try:
            return json.loads(self._registered(host, "status_host").get("stdout") or "{}")
        except ValueError:
            return {}

    def _directors(self) -> Iterator[str]:
        holders = []
        for host in self.plan["roles"]["lvs_directors"]:
            said = (self._registered(host, "directors_state").get("stdout") or "").splitlines()
            carried = [line.split()[1] for line in said if line.startswith("carries ")]
            if carried:
                holders.append(host)
            ready = "ready" in said or self.plan["director_mode"] == "static"
            if not self._answered(host):
                yield f"{host}: cannot be reached"
                continue
            yield (
                f"{host}: "
                + (f"carries {', '.join(carried)}" if carried else "carries no VIP")
                + ("" if ready else ", could not take one")
            )
            if not ready:
                self.wrong.append(f"{host}: keepalived does not run there, or was told to keep off the VIPs.")
            yield from _indented(self._table(host))
        if len(holders) != 1:
            self.wrong.append(f"The VIPs are on {' and '.join(holders) or 'no director that answers'}.")

    def _table(self, host: str) -> Iterator[str]:
        for service in self._registered(host, "directors_table").get("services") or []:
            name = (
                f"mark {service['fwmark']}"
                if service.get("fwmark")
                else f"{service['address']}:{service['port']}"
            )
            yield f"{name} {service['scheduler']}"
            there = set()
            for server in service["servers"]:
                known = self.names.get(server["address"], server["address"])
                there.add(known)
                active, inactive = server.get("active_connections", 0), server.get("inactive_connections", 0)
                yield f"  {known} weight {server['weight']}, {active} active and {inactive} inactive connections"
            ours = self.plan["roles"]["image_servers"] if service.get("family") != "ipv6" else []
            self.wrong += [f"{each} is not in the table of {host}." for each in ours if each not in there]

    def _trackers(self) -> Iterator[str]:
        for tracker in self._told().get("trackers") or []:
            name = self.names.get(tracker["address"].rpartition(":")[0], tracker["address"])
            if not tracker["reachable"]:
                self.wrong.append(f"{name} does not answer as a tracker: {tracker['error']}.")
            yield f"{name}: " + (
                f"runs for {_time(tracker['running_time'])}{', leads' if tracker['leader'] else ''}"
                if tracker["reachable"]
                else "does not answer"
            )
        self.wrong += self._told().get("disagreements") or []

    def _told(self) -> Mapping[str, Any]:
        """What the first tracker host that could ask was told."""
        asked = [self._registered(host, "status_trackers") for host in self.plan["roles"]["fastdfs_trackers"]]
        return next((each for each in asked if each.get("groups") is not None), {})

    def _groups(self) -> Iterator[str]:
        told = self._told().get("groups")
        if told is None:
            self.wrong.append("No tracker tells anything of groups and storages.")
        else:
            known = {storage["id"] for group in told for storage in group["storages"]}
            self.wrong += [
                f"{host} is no storage that trackers know."
                for host in self.plan["roles"]["fastdfs_storages"]
                if self.plan["members"][host]["id"] not in known
            ]
        for group in told or []:
            yield f"{group['name']}: {group['active_count']} of {group['storage_count']} storages ACTIVE, {_space(group['free_mb'] * MIB)} free"
            for storage in group["storages"]:
                name = self.storages.get(storage["id"], storage["address"])
                if storage["status"] in GONE and name not in self.plan["members"]:
                    # It left, and trackers list it for ever.
                    continue
                if storage["status"] != "ACTIVE":
                    self.wrong.append(f"{name} of {group['name']} is {storage['status']}.")
                yield f"  {name}: {storage['status']}, version {storage['version']}"
                if name in self.plan["members"]:
                    yield from _indented(_indented(self._storage(name)))

    def _storage(self, host: str) -> Iterator[str]:
        state = self._state(host)
        if not state and self._answered(host):
            self.wrong.append(f"{host} does not say what it has.")
        for each in state.get("disks") or []:
            yield self._disk(host, each)
        for each in state.get("marks") or []:
            peer = self.storages.get(each["peer"], each["peer"])
            if each["bytes"] is None or each["bytes"] < 0:
                self.wrong.append(
                    f"{host} does not know any more how far it is with what it sends to {peer}."
                )
                continue
            yield f"to {peer}: " + (
                f"{each['bytes']} bytes of the binlog to go, {_time(each['seconds'])}"
                if each["bytes"]
                else "all sent"
            )
            if each["seconds"] > LATE:
                self.wrong.append(f"{host} is {_time(each['seconds'])} behind with what it sends to {peer}.")
        if state:
            self.wrong += [
                f"{host} has never shipped anything to {archive}."
                for archive in self.plan["roles"]["fastdfs_backups"]
                if archive not in state["ships"]
            ]
        for archive, each in (state.get("ships") or {}).items():
            yield f"to {archive}: " + (
                f"{_time(each['lag_seconds'])} behind" if each["lag_seconds"] else "all archived"
            )
            if each["trouble"] or each["lag_seconds"] > LATE:
                self.wrong.append(
                    f"{host} ships to {archive}: {each['trouble'] or _time(each['lag_seconds']) + ' behind'}."
                )
            self._heard(host, each, f"fdfs-backup-ship@{archive}")

    def _heard(self, host: str, said: Mapping[str, Any], service: str) -> None:
        if said["age"] > SILENT:
            self.wrong.append(
                f"{service} of {host} has said nothing for {_time(said['age'])}: see systemctl status {service} there."
            )

    def _disk(self, host: str, disk: Mapping[str, Any]) -> str:
        if not disk.get("total"):
            self.wrong.append(f"{disk['path']} of {host} is not there.")
            return f"{disk['path']}: not there"
        used = 1 - disk["free"] / disk["total"]
        if used > FULL:
            self.wrong.append(f"{disk['path']} of {host} is {used:.0%} full.")
        return f"{disk['path']}: {used:.0%} full, {_space(disk['free'])} free"

    def _backups(self) -> Iterator[str]:
        for host in self.plan["roles"]["fastdfs_backups"]:
            state = self._state(host)
            yield f"{host}:" + ("" if state else " nothing known")
            if not state and self._answered(host):
                self.wrong.append(f"{host} does not say what it has.")
            for each in state.get("disks") or []:
                yield f"  {self._disk(host, each)}"
            for keep in state.get("keeps") or []:
                if keep["trouble"]:
                    self.wrong.append(f"{host}: {keep['trouble']}.")
                self._heard(host, keep, "fdfs-backup-keep")
                for storage, each in keep["storages"].items():
                    yield f"  from {storage}: {each['archived']} archived and {each['rejected']} rejected since the service started"
                    if each["asked_again"]:
                        self.wrong.append(
                            f"{host} waits for {each['asked_again']} files of {storage} that it asked for again."
                        )


def status_lines(plan: Plan, hostvars: Hostvars) -> list[str]:
    """The screen of ``playbooks/status.yml``."""
    return Status(plan, hostvars).lines()


def _indented(lines: Sequence[str] | Iterator[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _space(size: float) -> str:
    """Bytes in the unit that leaves few digits."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _time(seconds: int | None) -> str:
    if seconds is None:
        return "an unknown time"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
