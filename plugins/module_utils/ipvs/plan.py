# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the table that stands and what is asked to the table that shall stand, and the lines that lead there."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from . import render
from .desired import Desired, InputError
from .model import FWMARK, MAX_MARK, Server, ServerId, Service, ServiceId, Table

PURGE = ("none", "servers", "services")
KEEP_WEIGHTS = ("none", "drained", "all")
_MARKS = re.compile(r"^fwmark:([0-9]+)(?:-([0-9]+))?\Z")


class Step(NamedTuple):
    """One line for ``ipvsadm -R`` and what it is about: ``(service, server or None)``, or a name and None.

    ``gives`` when it adds a real server to those that get connections, ``takes`` when it takes one from them.
    """

    line: str
    subject: tuple[Any, Any]
    gives: bool = False
    takes: bool = False


@dataclass(frozen=True)
class Scope:
    """What purge may touch. Without limits: everything."""

    networks: tuple[Any, ...] = ()
    marks: tuple[tuple[int, int], ...] = ()

    def __contains__(self, name: ServiceId) -> bool:
        if not self.networks and not self.marks:
            return True
        if name.protocol == FWMARK:
            return any(low <= name.port <= high for low, high in self.marks)
        address = ipaddress.ip_address(name.address)
        return any(address in network for network in self.networks)


@dataclass(frozen=True)
class Policy:
    """What may be removed and which weights are left as they stand."""

    purge: str = "none"
    scope: Scope = field(default_factory=Scope)
    keep_weights: str = "none"


def policy(purge: str = "none", purge_scope: list | None = None, keep_weights: str = "none") -> Policy:
    """Check how far a run may go. ``purge_scope`` has CIDRs and ``fwmark:1-99``. Raises InputError."""
    problems, networks, marks = [], [], []
    for name, value, choices in (("purge", purge, PURGE), ("keep_weights", keep_weights, KEEP_WEIGHTS)):
        if value not in choices:
            problems.append("{}: must be one of {}, not {!r}".format(name, ", ".join(choices), value))
    for entry in purge_scope or []:
        match = _MARKS.match(str(entry))
        if match:
            low = int(match.group(1))
            high = int(match.group(2) or low)
            if not 1 <= low <= high <= MAX_MARK:
                problems.append(f"purge_scope: {entry!r} is no range within 1-{MAX_MARK}")
            marks.append((low, high))
            continue
        try:
            networks.append(ipaddress.ip_network(str(entry)))
        except ValueError:
            problems.append(
                f"purge_scope: {entry!r} is neither a network such as 192.0.2.0/24 nor fwmark:1-99"
            )
    if purge == "services" and not purge_scope:
        problems.append("purge_scope: is required with purge: services, so that other people's services stay")
    if problems:
        raise InputError(problems)
    return Policy(purge, Scope(tuple(networks), tuple(marks)), keep_weights)


def settle(before: Table, wanted: Desired, rules: Policy) -> Table:
    """The whole table that shall stand: what is asked, laid over what stands, within what the rules let it touch."""
    services = {name: service for name, service in before.services.items() if name not in wanted.absent}
    if rules.purge == "services":
        services = {
            name: service
            for name, service in services.items()
            if name in wanted.services or name not in rules.scope
        }
    for name, service in wanted.services.items():
        standing = services[name].servers if name in services else {}
        purge = rules.purge != "none" and name in rules.scope and name not in wanted.unmanaged
        servers = service.servers
        if rules.keep_weights != "none":
            servers = {
                key: _keep_weight(server, standing.get(key), rules.keep_weights)
                for key, server in servers.items()
            }
        # Those that stand come first, in their order, so that what is returned does not change its order for nothing.
        kept = {key: standing[key] for key in standing if key in servers} if purge else standing
        services[name] = replace(service, servers={**kept, **servers})
    daemons = before.sync_daemons
    if wanted.sync_daemons is not None:
        daemons = {
            role: before.sync_daemons[role] if before.sync_daemons.get(role) == daemon else daemon
            for role, daemon in wanted.sync_daemons.items()
        }
    return Table(services, before.timeouts._replace(**wanted.timeouts), daemons)


def _keep_weight(server: Server, standing: Server | None, keep: str) -> Server:
    if standing is None or (keep == "drained" and standing.weight):
        return server
    return server._replace(weight=standing.weight)


def plan(before: Table, after: Table) -> list[Step]:
    """The steps from one table to the other.

    Additions and edits come first, then weights that fall to 0, then deletions, so that no pool is empty in between.
    A sync daemon that goes is stopped before all that and one that comes is started last, because the kernel refuses
    it beside real servers of another family than their service's.
    """
    first: list[Step] = []
    drains: list[Step] = []
    removals: list[Step] = []
    for name, service in after.services.items():
        standing = before.services.get(name)
        if standing is None:
            first.append(Step(render.service_line("-A", service), (name, None)))
        elif standing.settings() != service.settings():
            first.append(Step(render.service_line("-E", service), (name, None)))
        known = standing.servers if standing else {}
        for key, server in service.servers.items():
            was = known.get(key)
            if was != server:
                served, serves = bool(was and was.weight), bool(server.weight)
                line = render.server_line("-e" if was else "-a", name, server)
                step = Step(line, (name, key), serves and not served, served and not serves)
                (drains if step.takes else first).append(step)
        removals += [
            Step(render.delete_server_line(name, server), (name, key), takes=bool(server.weight))
            for key, server in known.items()
            if key not in service.servers
        ]
    removals += [
        Step(render.delete_service_line(name), (name, None))
        for name in before.services
        if name not in after.services
    ]
    stops, starts = _daemon_steps(before, after)
    timeouts = []
    if before.timeouts != after.timeouts:
        timeouts.append(Step(render.timeouts_line(after.timeouts), ("timeouts", None)))
    return stops + first + drains + removals + timeouts + starts


def in_parts(steps: list[Step]) -> tuple[list[Step], list[Step]]:
    """What has to stand first, and the rest.

    Where a service gets real servers and loses others, nothing is taken from it before the kernel has what it gets.
    """
    gaining = {step.subject[0] for step in steps if step.gives}
    at = next((at for at, step in enumerate(steps) if step.takes and step.subject[0] in gaining), 0)
    return steps[:at], steps[at:]


def _daemon_steps(before: Table, after: Table) -> tuple[list[Step], list[Step]]:
    stops, starts = [], []
    for role in ("master", "backup"):
        was, becomes = before.sync_daemons.get(role), after.sync_daemons.get(role)
        subject = ("sync daemon " + role, None)
        if was and was != becomes:
            stops.append(Step(render.stop_daemon_line(role), subject))
        if becomes and was != becomes:
            starts.append(Step(render.start_daemon_line(becomes), subject))
    return stops, starts


def named_subjects(wanted: Desired) -> set[tuple[Any, Any]]:
    """The subjects that a request speaks of, whether or not they need a step."""
    subjects: set[tuple[Any, Any]] = {(name, None) for name in [*wanted.services, *wanted.absent]}
    for name, service in wanted.services.items():
        subjects.update((name, key) for key in service.servers)
    if wanted.timeouts:
        subjects.add(("timeouts", None))
    if wanted.sync_daemons is not None:
        subjects.update(("sync daemon " + role, None) for role in ("master", "backup"))
    return subjects


def limited(steps: list[Step], subjects: set[tuple[Any, Any]]) -> list[Step]:
    """Those steps that are about these subjects, or about a real server of a service that is rebuilt by them."""
    rebuilt = {step.subject[0] for step in steps if step.line.startswith("-A ") and step.subject in subjects}
    return [step for step in steps if step.subject in subjects or step.subject[0] in rebuilt]


def refused_by_kernel(after: Table) -> list[str]:
    """What the kernel would refuse about the whole table although each part alone is right; one sentence each."""
    if not after.sync_daemons:
        return []
    return [
        f"{name}, {key}: address: the kernel lets no sync daemon run beside real servers of another family than their service's"
        for name, service in after.services.items()
        for key in service.servers
        if (":" in key.address) != (name.family == "ipv6")
    ]


def describe(subject: tuple[Any, Any]) -> str:
    """A subject in words: ``tcp 192.0.2.1:80, real server 192.0.2.10:80``."""
    name, key = subject
    return str(name) if not isinstance(key, ServerId) else f"{name}, real server {key}"


def changed_services(before: Table, after: Table) -> list[Service]:
    """Services that are new or get other settings."""
    return [
        service
        for name, service in after.services.items()
        if name not in before.services or before.services[name].settings() != service.settings()
    ]
