# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ipvsadm prints becomes the model. All its numeric listings can be read in one go, in any order.

The lines are those of ipvsadm 1.26 to 1.31: ``-S -n`` for services and real servers, ``-L -n --thresholds`` for what
``-S`` leaves out, ``-L --timeout``, ``-L --daemon``, and for counters ``-L -n --stats --exact`` and ``--rate --exact``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Optional, Tuple

from .desired import canonical
from .model import (
    FULL_NETMASK,
    FWMARK,
    Server,
    ServerId,
    Service,
    ServiceId,
    SyncDaemon,
    Table,
    Timeouts,
    family_of,
    netmask,
    normal_flags,
)
from .render import COUNTED, RATES, SUMMED

_SERVICE_OPTIONS = {"-t": "tcp", "-u": "udp", "--sctp-service": "sctp", "-f": FWMARK}
_FORWARDS = {"-g": "dr", "-i": "tunnel", "-m": "nat"}
_CHECKSUMS = {"--tun-nocsum": "none", "--tun-csum": "checksum", "--tun-remcsum": "remote"}
_WITH_VALUE = frozenset(
    [
        "-t",
        "-u",
        "--sctp-service",
        "-f",
        "-s",
        "-p",
        "-M",
        "--pe",
        "-b",
        "-r",
        "-w",
        "-x",
        "-y",
        "--tun-type",
        "--tun-port",
    ]
)
_WITHOUT_VALUE = frozenset(["-6", "-o", *_FORWARDS, *_CHECKSUMS])
_THRESHOLDS = {"upper_threshold": "-x", "lower_threshold": "-y"}
_OLD_WORDS = {"pe": "--pe", "ops": "-o"}  # ipvsadm 1.26 prints these in -S
_DAEMON_OPTIONS = {
    "maxlen": "--sync-maxlen",
    "group": "--mcast-group",
    "port": "--mcast-port",
    "ttl": "--mcast-ttl",
}
# What a section's column header says about its numbers.
_COLUMNS = {
    "Uthreshold": ("upper_threshold", "lower_threshold", *SUMMED),
    "Conns": COUNTED,
    "CPS": RATES,
}

Subject = Tuple[ServiceId, Optional[ServerId]]


class ParseError(ValueError):
    """ipvsadm printed a line that is not understood; guessing could break a table."""


@dataclass
class Listing:
    """What ipvsadm printed. ``timeouts`` is None when it did not come as far as printing them."""

    services: dict[ServiceId, Service] = field(default_factory=dict)
    timeouts: Timeouts | None = None
    sync_daemons: dict[str, SyncDaemon] = field(default_factory=dict)
    version: str | None = None
    numbers: dict[Subject, dict[str, int]] = field(default_factory=dict)

    def table(self) -> Table:
        return Table(self.services, self.timeouts or Timeouts(), self.sync_daemons)


def parse(text: str) -> Listing:
    """Read any mix of ipvsadm's numeric listings; ParseError names the line that is not understood."""
    listing = Listing()
    names: dict[str, ServiceId] = {}
    rules: list[tuple[ServiceId, ServerId, str]] = []
    columns: tuple[str, ...] = ()
    service: ServiceId | None = None
    for line in text.splitlines():
        words = line.split()
        if not words or line.startswith(("IP Virtual Server", "  -> RemoteAddress:Port")):
            continue
        try:
            if words[0] == "-a":
                start, _option, rest = line.partition(" -r ")
                if start not in names:
                    names[start] = _service_id(_options(start.split()[1:]))
                server, _blank, settings = rest.partition(" ")
                rules.append((names[start], _endpoint(server), settings))
            elif words[0] == "->" and service:
                _note(listing, (service, _endpoint(words[1])), columns, words[2:])
            elif words[0] == "Prot":
                columns = next((_COLUMNS[word] for word in words if word in _COLUMNS), ())
            elif words[0] in ("TCP", "UDP", "SCTP", "FWM"):
                service, rest = _listed_service(words)
                # Only counters have numbers for a service; in other listings its settings stand there.
                if columns in (COUNTED, RATES):
                    _note(listing, (service, None), columns, rest)
            else:
                _read_single(listing, words, line)
        except (ValueError, KeyError, IndexError) as error:
            raise ParseError(f"ipvsadm printed a line that is not understood: {line!r}") from error
    for name, key, rest_of_rule in rules:
        settings = _settings(rest_of_rule)
        known = listing.numbers.get((name, key))
        if known:  # what the rule itself says comes first
            settings = {**{threshold: known.get(threshold, 0) for threshold in _THRESHOLDS}, **settings}
        listing.services[name].servers[key] = Server(*key, **settings)
    return listing


def _read_single(listing: Listing, words: list[str], line: str) -> None:
    """A line that says all about its object by itself."""
    if words[0] == "-A":
        _add_service(listing, _options(words[1:]))
    elif words[0] == "Timeout":
        listing.timeouts = Timeouts(*(int(word) for word in words[-3:]))
    elif words[1:3] == ["sync", "daemon"]:
        daemon = _sync_daemon(words[0], line)
        listing.sync_daemons[daemon.role] = daemon
    elif words[0] == "ipvsadm":
        listing.version = words[1].lstrip("v")
    else:
        raise ValueError(line)


def _options(words: list[str]) -> dict[str, str]:
    """The options of a rule; one without a value has ''. ``-b`` may stand without one (``flag-3`` of mh and sh)."""
    options = {}
    rest = iter(words)
    for read in rest:
        word = _OLD_WORDS.get(read, read)
        if word in _WITH_VALUE:
            options[word] = next(rest, "")
        elif word in _WITHOUT_VALUE:
            options[word] = ""
        else:
            raise ValueError(word)
    return options


@lru_cache(maxsize=65536)
def _endpoint(text: str) -> ServerId:
    address, _colon, port = text.rpartition(":")
    # inet_ntop and Python write an IPv4 address alike, but not every IPv6 one.
    return ServerId(canonical(address[1:-1]) if address[0] == "[" else address, int(port))


def _mark(text: str) -> int:
    return int(text) % 2**32  # printed as a signed number


def _service_id(options: dict[str, str]) -> ServiceId:
    for option, protocol in _SERVICE_OPTIONS.items():
        if option in options:
            if protocol == FWMARK:
                return ServiceId(FWMARK, "ipv6" if "-6" in options else "ipv4", "", _mark(options[option]))
            address, port = _endpoint(options[option])
            return ServiceId(protocol, family_of(address), address, port)
    raise ValueError("no service")


def _add_service(listing: Listing, options: dict[str, str]) -> None:
    name = _service_id(options)
    # An empty -b is what ipvsadm prints for the one flag that it has no name for.
    flags = (options["-b"] or "flag-3").split(",") if "-b" in options else ()
    listing.services[name] = Service(
        id=name,
        scheduler=options["-s"],
        scheduler_flags=normal_flags(options["-s"], flags),
        persistence_timeout=int(options.get("-p", 0)),
        persistence_netmask=_netmask(name.family, options.get("-M")),
        persistence_engine=options.get("--pe", ""),
        one_packet="-o" in options,
    )


def _netmask(family: str, text: str | None) -> int | str:
    if text is None:
        return FULL_NETMASK[family]
    return int(text) if family == "ipv6" else netmask(text)


# A table of thousands of real servers has few different settings.
@lru_cache(maxsize=4096)
def _settings(text: str) -> dict[str, str | int]:
    """What a rule says of a real server beside its name, as the model's fields; thresholds only where it has them."""
    options = _options(text.split())
    settings = {
        "forward": next((forward for option, forward in _FORWARDS.items() if option in options), "dr"),
        "weight": int(options.get("-w", 1)),
        "tunnel_type": options.get("--tun-type", "ipip"),
        "tunnel_port": int(options.get("--tun-port", 0)),
        "tunnel_checksum": next((kind for option, kind in _CHECKSUMS.items() if option in options), "none"),
    }
    settings.update((name, int(options[option])) for name, option in _THRESHOLDS.items() if option in options)
    return settings


def _listed_service(words: list[str]) -> tuple[ServiceId, list[str]]:
    """The service of a ``-L`` line and what follows its name."""
    if words[0] == "FWM":
        ipv6 = words[2:3] == ["IPv6"]
        return ServiceId(FWMARK, "ipv6" if ipv6 else "ipv4", "", _mark(words[1])), words[3 if ipv6 else 2 :]
    address, port = _endpoint(words[1])
    return ServiceId(words[0].lower(), family_of(address), address, port), words[2:]


def _note(listing: Listing, subject: Subject, columns: tuple[str, ...], words: list[str]) -> None:
    if columns and words.count("0") < len(words):  # what has no numbers has zeros
        listing.numbers.setdefault(subject, {}).update(zip(columns, map(int, words)))


def _sync_daemon(role: str, line: str) -> SyncDaemon:
    inside = line[line.index("(") + 1 : line.rindex(")")]
    values = dict(part.split("=", 1) for part in inside.split(", "))
    extra = tuple((option, values[name]) for name, option in _DAEMON_OPTIONS.items() if name in values)
    return SyncDaemon(role, values["mcast"], int(values["syncid"]), extra)
