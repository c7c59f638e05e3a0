# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a real server out of service and puts it back: which entries are meant, their weights, what is waited for.

Which connections the kernel counts where (net/netfilter/ipvs): ``ActiveConn`` are TCP connections that are being opened or
stand open and SCTP associations that stand; ``InActConn`` is everything else, so all of UDP. Persistence templates are
in neither.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Callable, NamedTuple

from . import model
from .desired import InputError, canonical, entries, integer, known, label, service_id
from .model import FWMARK, Server, ServerId, Service, ServiceId, Table
from .parse import Listing, Subject
from .plan import Step, describe, plan
from .run import NOT_INSTALLED, Host, Ipvsadm, IpvsError, read, write

STATES = ("drained", "active")
WAIT = ("active", "all", "none")
ON_TIMEOUT = ("fail", "leave")
PLACE_FIELDS = frozenset(("address", "port", "protocol", "fwmark", "family", "server_port", "weight"))
READ_CONNECTIONS = "-L -n -c\n"
MIN_INTERVAL = 0.1  # seconds
# A pause is at least so many times as long as the reading before it, whatever the table's size: a director has other work.
PATIENCE = 10
# These schedulers keep to the server that a hash names, also when its weight is 0, and refuse the client then; two have a
# flag that makes them look further.
HASHES = {"sh": "sh-fallback", "mh": "mh-fallback", "dh": None}
_BRACKETS = re.compile(r"^\[([^\]]*)\](?::(.*))?\Z")


class Place(NamedTuple):
    """A virtual service in which the real server is meant, by which of its ports (None: any), and the weight for it there."""

    service: ServiceId
    port: int | None = None
    weight: int | None = None


@dataclass(frozen=True)
class Request:
    """The checked arguments. Without ``places`` the server is meant wherever it stands. Times are in seconds."""

    address: str
    port: int | None = None
    places: tuple[Place, ...] = ()
    state: str = "drained"
    weight: int | None = None
    wait: str = "active"
    timeout: float = 300.0
    poll_interval: float = 1.0

    def __str__(self) -> str:
        return self.address if self.port is None else model.endpoint(self.address, self.port)


class Count(NamedTuple):
    """What the kernel counts for a real server of a service."""

    active: int
    inactive: int


@dataclass
class Result:
    """``weights`` are those before, ``left`` the connections that still had to end when the waiting did."""

    before: Table
    after: Table
    steps: list[Step]
    weights: dict[Subject, int]
    counts: dict[Subject, Count] = field(default_factory=dict)
    left: dict[Subject, int] = field(default_factory=dict)
    elapsed: float = 0.0
    warnings: list[str] = field(default_factory=list)


def expires_templates(path: str = "/proc/sys/net/ipv4/vs/expire_quiescent_template") -> bool:
    """Whether the kernel sends persistent clients elsewhere when the weight of their server is 0."""
    try:
        with open(path) as value:
            return value.read().strip() != "0"
    except OSError:
        return True


@dataclass(frozen=True)
class Surroundings:
    """Time, and the one kernel setting that decides whether persistent clients leave."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    expires_templates: Callable[[], bool] = expires_templates


def request(params: dict) -> Request:
    """Check the arguments of the ``ipvs_drain`` module. Raises InputError with everything that is wrong."""
    problems: list[str] = []
    checked: dict = {"address": "", "state": params["state"], "wait": params["wait"]}
    active = params["state"] == "active"
    try:
        checked["address"], checked["port"] = _server(params["server"])
    except ValueError as error:
        problems.append(f"server: {error}")
    for name, low in (("timeout", 0), ("poll_interval", MIN_INTERVAL)):
        try:
            checked[name] = _seconds(params[name], low)
        except ValueError as error:
            problems.append(f"{name}: {error}")
    try:
        checked["weight"] = _weight(params, active)
    except ValueError as error:
        problems.append(str(error))
    places = []
    try:
        named = None if params["services"] is None else entries(params["services"])
    except ValueError as error:
        named = None
        problems.append(f"services: {error}")
    for number, raw in enumerate(named or []):
        try:
            known(raw, PLACE_FIELDS)
            port = None if raw.get("server_port") is None else integer(raw, "server_port", 0, model.MAX_PORT)
            places.append(Place(service_id(raw), port, _weight(raw, active)))
        except ValueError as error:
            problems.append(f"services[{number}]{label(raw)}: {error}")
    if named == []:
        # An empty list is what a filter leaves that found nothing: it must not mean everything.
        problems.append("services: is empty; leave it out to mean every service in which the server stands")
    if problems:
        raise InputError(problems)
    return Request(places=tuple(places), **checked)


def _weight(raw: dict, active: bool) -> int | None:
    """The weight for an active server. It means nothing to a drain, which takes what an earlier run returned, 0 included."""
    if raw.get("weight") is None:
        return None
    weight = integer(raw, "weight", int(active), model.MAX_WEIGHT)
    return weight if active else None


def _seconds(value, low: float) -> float:
    try:
        seconds = float("nan" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        seconds = float("nan")
    if not low <= seconds <= model.MAX_TIMEOUT:  # false for nan, too
        raise ValueError(f"must be seconds from {low} to {model.MAX_TIMEOUT}, not {value!r}")
    return seconds


def _server(raw) -> tuple[str, int | None]:
    """Address and port (None: any) from a mapping, or from ``192.0.2.1``, ``192.0.2.1:80``, ``2001:db8::1``, ``[2001:db8::1]:80``."""
    if isinstance(raw, dict):
        known(raw, frozenset(("address", "port")))
        address, port = raw.get("address"), raw.get("port")
    else:
        address, port = raw, None
        match = _BRACKETS.match(str(raw))
        if match:
            address, port = match.groups()
        elif isinstance(raw, str) and raw.count(":") == 1:
            address, port = raw.split(":")
    if not isinstance(address, str):
        raise ValueError(
            f"must be an address such as 192.0.2.1, 192.0.2.1:80 or [2001:db8::1]:80, not {raw!r}"
        )
    named = None if port is None else integer({"port": port}, "port", 0, model.MAX_PORT)
    return canonical(address), named


def chosen(table: Table, asked: Request) -> dict[Subject, int]:
    """The entries of the table that are meant, and the weight that each shall have. Raises InputError where there is none."""
    found: dict[Subject, int | None] = {}
    problems: list[str] = []
    places = asked.places or tuple(Place(name, None, None) for name in table.services)
    for place in places:
        service = table.services.get(place.service)
        port = asked.port if place.port is None else place.port
        here = [
            key
            for key in (service.servers if service else ())
            if key.address == asked.address and port in (None, key.port)
        ]
        if asked.places and not here:
            problems.append(_missing(place, service, asked))
        for key in here:
            if (place.service, key) in found:
                problems.append(f"services: {describe((place.service, key))} is named twice")
            found[place.service, key] = asked.weight if place.weight is None else place.weight
    if not found and not problems:
        problems.append(f"server: {asked} stands in no virtual service{_elsewhere(table, asked)}")
    if asked.state == "drained":
        wanted = dict.fromkeys(found, 0)
    else:
        has = weights_of(table, found)
        wanted = {subject: weight or has[subject] for subject, weight in found.items()}
        problems += [
            f"weight: is required with state: active, because {describe(subject)} has weight 0"
            " and nothing says which it had before"
            for subject, weight in wanted.items()
            if not weight
        ]
    if problems:
        raise InputError(problems)
    return wanted


def _missing(place: Place, service: Service | None, asked: Request) -> str:
    if service is None:
        return f"services: {place.service}: there is no such virtual service"
    ports = sorted(key.port for key in service.servers if key.address == asked.address)
    hint = f", only with port {', '.join(map(str, ports))}" if ports else ""
    port = asked.port if place.port is None else place.port
    return f"services: {place.service}: {replace(asked, port=port)} does not stand there{hint}"


def _elsewhere(table: Table, asked: Request) -> str:
    hints = [
        f"port {key.port} in {name}"
        for name, service in table.services.items()
        for key in service.servers
        if key.address == asked.address
    ]
    return f", only with {', '.join(hints)}" if hints else ""


def with_weights(table: Table, weights: dict[Subject, int]) -> Table:
    """The table with these weights, everything else as it stands. What does not stand is not made."""
    services = dict(table.services)
    for (name, key), weight in weights.items():
        server = standing(table, (name, key))
        if server:
            servers = {**services[name].servers, key: server._replace(weight=weight)}
            services[name] = replace(services[name], servers=servers)
    return replace(table, services=services)


def weights_of(table: Table, subjects) -> dict[Subject, int]:
    """The weights of those of the subjects that stand."""
    return {
        (name, key): table.services[name].servers[key].weight
        for name, key in subjects
        if standing(table, (name, key))
    }


def standing(table: Table, subject: Subject) -> Server | None:
    """The real server that a subject names, if the table has it."""
    name, key = subject
    service = table.services.get(name)
    return service.servers.get(key) if service else None


def count(listing: Listing, subjects) -> dict[Subject, Count]:
    """The kernel's counts for those of the subjects that stand. One that somebody deletes has none left to wait for."""
    counts = {}
    for subject in subjects:
        if standing(listing.table(), subject):
            numbers = listing.numbers.get(subject, {})
            counts[subject] = Count(
                numbers.get("active_connections", 0), numbers.get("inactive_connections", 0)
            )
    return counts


def pending(
    counts: dict[Subject, Count], wait: str, streams: dict[ServerId, int] | None = None
) -> dict[Subject, int]:
    """How many connections of each subject have to end before the drain is over.

    UDP has no end to wait for. A firewall mark may have both UDP and others among its inactive connections: with
    ``streams`` (see below) not more of them count than there are others.
    """
    left = {}
    for (name, key), (active, inactive) in counts.items():
        number = active
        if wait == "all":
            mixed = name.protocol == FWMARK and streams is not None
            number += min(inactive, streams.get(key, 0)) if mixed else inactive
        if number and wait != "none" and name.protocol != "udp":
            left[name, key] = number
    return left


def unclear(counts: dict[Subject, Count], left: dict[Subject, int]) -> bool:
    """Whether only the kinds of the connections can tell if the drain is over."""
    return bool(left) and all(
        subject[0].protocol == FWMARK and not counts[subject].active for subject in left
    )


def streams(text: str) -> dict[ServerId, int] | None:
    """The connections of each real server that are not UDP, from ``ipvsadm -L -n -c``; None where that cannot be read.

    They are counted by address and port, and by address with port 0, which is how firewall marks name their servers.
    """
    heading, _newline, lines = text.partition("\n")
    if heading != "IPVS connection entries":
        return None
    found: Counter = Counter()
    try:
        for line in lines.splitlines()[1:]:
            protocol, _expire, _state, source, _virtual, destination = line.split()[:6]
            # What has no client port is a persistence template, which is no connection.
            if protocol != "UDP" and not source.endswith(":0"):
                address, _colon, port = destination.rpartition(":")
                address = canonical(address.strip("[]"))
                found.update({ServerId(address, int(port)), ServerId(address, 0)})
    except ValueError:
        return None
    return dict(found)


def hazards(table: Table, wanted: dict[Subject, int], expires: bool) -> list[str]:
    """What a drain to this table (weights are 0 already) does to clients that its user may not expect."""
    warnings = []
    for name in dict.fromkeys(name for name, _key in wanted):
        service = table.services[name]
        fallback = HASHES.get(service.scheduler)
        if not any(server.weight for server in service.servers.values()):
            warnings.append(f"{name} takes no new connections: none of its real servers has a weight")
        elif service.scheduler in HASHES and fallback not in service.scheduler_flags:
            remedy = f": its scheduler_flags lack {fallback}" if fallback else ""
            warnings.append(
                f"{name} refuses clients that its scheduler {service.scheduler} assigns to the drained server{remedy}"
            )
        if service.persistence_timeout and not expires:
            warnings.append(
                f"{name} is persistent: its clients come back to the drained server and may keep the drain from ending, because"
                " the kernel's setting net.ipv4.vs.expire_quiescent_template is 0"
            )
    return warnings


def drain(host: Host, asked: Request, around: Surroundings, check: bool = False) -> Result:
    """Set the weights, and wait for the connections. ``left`` says what has not ended when the time is over.

    Raises InputError when the server does not stand where it is meant, and IpvsError when the kernel does not hold the
    weights afterwards; the weights are as they were before then. IpvsError also when somebody undoes the drain.
    """
    if host.ipvsadm is None:
        raise IpvsError(NOT_INSTALLED)
    if not host.loaded():  # reading would load it, for nothing
        raise IpvsError(
            f"the kernel has no IPVS loaded (module ip_vs), so {asked} stands in no virtual service"
        )
    listing = read(host.ipvsadm)
    before = listing.table()
    wanted = chosen(before, asked)
    after = with_weights(before, wanted)
    result = Result(before, after, plan(before, after), weights_of(before, wanted))
    if asked.state == "drained":
        result.warnings = hazards(after, wanted, around.expires_templates())
    if result.steps and not check:
        listing = _set_weights(host.ipvsadm, result, wanted)
        result.after = listing.table()
        gone = [subject for subject in wanted if not standing(result.after, subject)]
        if gone and asked.state == "active":
            names = ", ".join(map(describe, gone))
            raise IpvsError(f"somebody else removed {names} meanwhile", result.steps)
    result.counts = count(listing, wanted)
    if asked.state == "drained" and not check:
        _wait(host, asked, around, listing, wanted, result)
    return result


def _set_weights(ipvsadm: Ipvsadm, result: Result, wanted: dict[Subject, int]) -> Listing:
    """Run the steps. An entry that somebody deletes meanwhile stays deleted."""
    listing, errors = write(ipvsadm, result.steps)
    observed = listing.table()
    wrong = plan(observed, with_weights(observed, wanted))
    if not wrong:
        return listing
    undo = plan(observed, with_weights(observed, result.weights))
    restored = write(ipvsadm, undo)[0].table() if undo else observed
    lost = plan(restored, with_weights(restored, result.weights))
    message = f"the kernel does not hold the weights that were asked: {_named(wrong)}"
    if errors:
        message += f". ipvsadm said: {'; '.join(dict.fromkeys(errors.splitlines()))}"
    if lost:
        message += f". The weights before could not be put back: {_named(lost)}"
    else:
        message += ". The weights before were put back"
    raise IpvsError(message, result.steps)


def _named(steps: list[Step]) -> str:
    return ", ".join(f"{describe(step.subject)} ({step.line})" for step in steps)


def _wait(
    host: Host,
    asked: Request,
    around: Surroundings,
    listing: Listing,
    wanted: dict[Subject, int],
    result: Result,
) -> None:
    """Look again and again until nothing is left or the time is over; the last look is at the very end of the time."""
    start = began = around.now()
    while True:
        _refuse_undone(listing.table(), wanted, result.steps)
        result.counts = count(listing, wanted)
        result.left = pending(result.counts, asked.wait)
        if unclear(result.counts, result.left):
            found = streams(host.ipvsadm(READ_CONNECTIONS)[1])
            result.left = pending(result.counts, asked.wait, found)
        now = around.now()
        result.elapsed = now - start
        rest = start + asked.timeout - now
        if not result.left or rest <= 0:
            return
        around.sleep(min(max(asked.poll_interval, PATIENCE * (now - began)), rest))
        began = around.now()
        listing = read(host.ipvsadm) if host.loaded() else Listing()


def _refuse_undone(table: Table, wanted: dict[Subject, int], steps: list[Step]) -> None:
    undone = plan(table, with_weights(table, wanted))
    if undone:
        names = ", ".join(describe(step.subject) for step in undone)
        raise IpvsError(
            f"somebody else gave a weight again, while its connections were waited for, to {names}", steps
        )


def still_busy(asked: Request, result: Result) -> str:
    """The sentence for a drain that has not ended in time."""
    parts = [
        f"{describe(subject)} has {count.active} active and {count.inactive} inactive"
        for subject, count in result.counts.items()
        if subject in result.left
    ]
    return (
        f"{asked} still has connections after {result.elapsed:.0f} s: {', '.join(parts)}. Its weight stays 0"
    )


def weights_shape(weights: dict[Subject, int]) -> list[dict]:
    """Weights as elements of ``services`` of the ``ipvs_drain`` module."""
    return [{**_subject_shape(subject), "weight": weight} for subject, weight in weights.items()]


def counts_shape(counts: dict[Subject, Count]) -> list[dict]:
    """Those that have connections, with their numbers."""
    return [
        {
            **_subject_shape(subject),
            "active_connections": count.active,
            "inactive_connections": count.inactive,
        }
        for subject, count in counts.items()
        if any(count)
    ]


def _subject_shape(subject: Subject) -> dict:
    name, key = subject
    if name.protocol == FWMARK:
        shape: dict = {"fwmark": name.port, "family": name.family}
    else:
        shape = {"address": name.address, "port": name.port, "protocol": name.protocol}
    return {**shape, "server_port": key.port}
