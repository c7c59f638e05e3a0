# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user asks for, checked: lists and mappings as the ``ipvs`` module takes them become the model."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache

from . import model
from .model import FWMARK, Server, Service, ServiceId, SyncDaemon
from .render import COUNTERS

SERVICE_FIELDS = frozenset(
    (
        *(
            "address",
            "port",
            "protocol",
            "fwmark",
            "family",
            "scheduler",
            "scheduler_flags",
            "one_packet",
            "state",
        ),
        *("persistence_timeout", "persistence_netmask", "persistence_engine", "servers"),
    )
)
SERVER_FIELDS = frozenset(
    (
        *("address", "port", "forward", "weight", "upper_threshold", "lower_threshold"),
        *("tunnel_type", "tunnel_port", "tunnel_checksum"),
    )
)
DAEMON_FIELDS = frozenset(("interface", "role", "sync_id"))
FLAGS = ("mh-port", "mh-fallback", "sh-port", "sh-fallback", "flag-1", "flag-2", "flag-3")
# What these names may hold is the kernel's to say; that they are one word keeps a line for ipvsadm one line.
_WORD = re.compile(r"^[A-Za-z0-9_-]{1,15}\Z")
# What Ansible takes for yes and no; this code runs without Ansible, too.
_YES = frozenset(("true", "yes", "on", "y", "t", "1", "1.0"))
_NO = frozenset(("false", "no", "off", "n", "f", "0", "0.0"))
_WHOLE = re.compile(r"^\s*[+-]?[0-9]{1,15}(\.0*)?\s*\Z")
_INTERFACE = re.compile(r"^[^\s/]{1,15}\Z")
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_BROADCAST = ipaddress.ip_address("255.255.255.255")
_OCTAL = re.compile(r"(^|\.)0[0-9]")


class InputError(ValueError):
    """Input that cannot be right. ``problems`` has one sentence an object, each naming it and the field."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Desired:
    """The checked request. ``unmanaged`` are services whose real servers are not spoken of.

    ``leaving`` are those in ``absent``, with '' for a scheduler that was not named: what was is the kernel's to check.
    """

    services: dict[ServiceId, Service] = field(default_factory=dict)
    absent: frozenset[ServiceId] = frozenset()
    unmanaged: frozenset[ServiceId] = frozenset()
    timeouts: dict[str, int] = field(default_factory=dict)
    sync_daemons: dict[str, SyncDaemon] | None = None
    leaving: tuple[Service, ...] = ()


def desired(services: list, timeouts: dict | None = None, sync_daemons: list | None = None) -> Desired:
    """Check a request in the shape of the ``ipvs`` module and return it as the model.

    The counters that ``ipvs_info`` puts beside the settings are passed over. Raises InputError with every service, real
    server, timeout and daemon that is wrong.
    """
    problems: list[str] = []
    wanted: dict[ServiceId, Service] = {}
    absent, unmanaged, leaving, seen = set(), set(), [], {}
    for number, raw in enumerate(_collect(problems, "services", entries, services) or []):
        where = f"services[{number}]{label(raw)}"
        try:
            known(raw, SERVICE_FIELDS, COUNTERS)
            name = service_id(raw)
            if name in seen:
                raise ValueError(f"address or fwmark: the same service as services[{seen[name]}]")
            seen[name] = number
            if _choice(raw, "state", ("present", "absent"), "present") == "absent":
                # Its name is all that is needed; what else is said must make sense all the same.
                timeout = raw.get("persistence_timeout") or (1 if name.port == 0 else None)
                service = _service(name, {**raw, "persistence_timeout": timeout}, where, problems)
                absent.add(name)
                leaving.append(replace(service, scheduler=raw.get("scheduler") or ""))
                continue
            wanted[name] = _service(name, raw, where, problems)
            if raw.get("servers") is None:
                unmanaged.add(name)
        except ValueError as error:
            problems.append(f"{where}: {error}")
    clocks = _collect(problems, "timeouts", _timeouts, {} if timeouts is None else timeouts)
    daemons = None if sync_daemons is None else _sync_daemons(sync_daemons, problems)
    if problems:
        raise InputError(problems)
    return Desired(wanted, frozenset(absent), frozenset(unmanaged), clocks, daemons, tuple(leaving))


@lru_cache(maxsize=65536)
def canonical(address: str) -> str:
    """The one spelling of an IP address; ValueError when it is none."""
    if (_OCTAL.search(address) and ":" not in address) or "%" in address:
        raise ValueError(f"{address!r} is not an IP address")
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        raise ValueError(f"{address!r} is not an IP address") from None


def integer(raw: dict, name: str, low: int, high: int, default: int | None = None) -> int:
    """The integer ``raw[name]`` within low…high; the default when it is left out. ValueError names the field."""
    value = raw.get(name)
    if value is None:
        if default is None:
            raise ValueError(f"{name}: is required")
        return default
    number = value
    # As text, and as what a division in a template makes.
    if (isinstance(value, str) and _WHOLE.match(value)) or (isinstance(value, float) and value.is_integer()):
        number = int(float(value))
    if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
        raise ValueError(f"{name}: must be an integer from {low} to {high}, not {value!r}")
    return number


def label(raw) -> str:
    """The service as the user wrote it, to be found again in a long list, even when it is wrong."""
    if not isinstance(raw, dict):
        return ""
    if raw.get("fwmark") is not None:
        return " (fwmark {})".format(raw["fwmark"])
    if raw.get("address") is None:
        return ""
    return " ({} {} port {})".format(raw.get("protocol") or "tcp", raw["address"], raw.get("port"))


def _collect(problems: list[str], where: str, check, raw):
    try:
        return check(raw)
    except ValueError as error:
        problems.append(f"{where}: {error}")
        return None


def entries(value) -> list:
    """The entries of a list, or of whatever else a template makes that can be gone through; not letters, not keys."""
    if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__iter__"):
        raise ValueError(f"must be a list, not {value!r}")
    return list(value)


def known(raw, fields: frozenset[str], others: tuple[str, ...] = ()) -> None:
    """Raise ValueError unless this is a mapping of these fields. ``others`` may be there as well, and are not advertised."""
    if not isinstance(raw, dict):
        raise ValueError(f"must be a mapping, not {raw!r}")
    unknown = set(raw) - fields
    if unknown and unknown.difference(others):
        names = ", ".join(sorted(str(name) for name in unknown.difference(others)))
        raise ValueError("{}: no such field; there are {}".format(names, ", ".join(sorted(fields))))


def _choice(raw: dict, name: str, choices: tuple[str, ...], default: str) -> str:
    value = raw.get(name)
    if value is None:
        return default
    if value not in choices:
        raise ValueError("{}: must be one of {}, not {!r}".format(name, ", ".join(choices), value))
    return value


def _word(raw: dict, name: str, default: str) -> str:
    value = raw.get(name)
    if value in (None, ""):
        return default
    if not isinstance(value, str) or not _WORD.match(value):
        raise ValueError(f"{name}: must be a name of at most 15 letters and digits, not {value!r}")
    return value


def _address(raw: dict, name: str = "address") -> str:
    value = raw.get(name)
    if value in (None, ""):
        raise ValueError(f"{name}: is required")
    if not isinstance(value, str):
        raise ValueError(f"{name}: {value!r} is not an IP address")
    try:
        return canonical(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def service_id(raw: dict) -> ServiceId:
    """The virtual service that a mapping names by ``address``, ``port``, ``protocol`` or ``fwmark``, ``family``; else ValueError."""
    marked = raw.get("fwmark") is not None
    if marked == (raw.get("address") is not None):
        raise ValueError("give either fwmark or address, %s" % ("not both" if marked else "there is neither"))
    if marked:
        for name in ("port", "protocol"):
            if raw.get(name) is not None:
                raise ValueError(f"{name}: has no meaning with fwmark")
        family = _choice(raw, "family", model.FAMILIES, "ipv4")
        return ServiceId(FWMARK, family, "", integer(raw, "fwmark", 1, model.MAX_MARK))
    if raw.get("family") is not None:
        raise ValueError("family: goes with fwmark only, an address has its own")
    address = _address(raw)
    protocol = _choice(raw, "protocol", model.PROTOCOLS, "tcp")
    return ServiceId(protocol, model.family_of(address), address, integer(raw, "port", 0, model.MAX_PORT))


def _service(name: ServiceId, raw: dict, where: str, problems: list[str]) -> Service:
    scheduler = _word(raw, "scheduler", model.DEFAULT_SCHEDULER)
    timeout = integer(raw, "persistence_timeout", 1, model.MAX_TIMEOUT, 0)
    netmask = _netmask(name.family, raw)
    engine = _word(raw, "persistence_engine", "")
    one_packet = _boolean(raw, "one_packet")
    if not timeout:
        for field_name in ("persistence_netmask", "persistence_engine"):
            if raw.get(field_name) not in (None, ""):
                raise ValueError(f"{field_name}: needs persistence_timeout")
        if name.protocol != FWMARK and name.port == 0:
            raise ValueError("port: 0 (every port) needs persistence_timeout")
    if one_packet and name.protocol not in ("udp", FWMARK):
        raise ValueError("one_packet: goes with protocol udp or with fwmark only")
    flags = _flags(scheduler, raw.get("scheduler_flags") or [])
    servers: dict[model.ServerId, Server] = {}
    listed = _collect(problems, f"{where}: servers", entries, raw.get("servers") or [])
    for number, raw_server in enumerate(listed or []):
        label = raw_server.get("address") if isinstance(raw_server, dict) else raw_server
        try:
            server = _server(name, raw_server)
            if server.id in servers:
                raise ValueError(f"address: the same real server, {server.id}, is listed before")
            servers[server.id] = server
        except ValueError as error:
            problems.append(f"{where}, servers[{number}] ({label}): {error}")
    return Service(name, scheduler, flags, timeout, netmask, engine, one_packet, servers)


def _netmask(family: str, raw: dict) -> int | str:
    """The prefix length, or the dotted mask that is none, as somebody may have set it and ``ipvs_info`` returns it."""
    value, full = raw.get("persistence_netmask"), model.FULL_NETMASK[family]
    if family == "ipv6":
        return integer(raw, "persistence_netmask", 1, full, full)
    if isinstance(value, str) and "." in value:
        try:
            return model.netmask(canonical(value))
        except ValueError as error:
            raise ValueError(f"persistence_netmask: {error}") from None
    return integer(raw, "persistence_netmask", 0, full, full)


def _boolean(raw: dict, name: str) -> bool:
    value = raw.get(name)
    text = str(value).lower()
    if value is None or text in _NO:
        return False
    if text in _YES:
        return True
    raise ValueError(f"{name}: must be true or false, not {value!r}")


def _flags(scheduler: str, flags) -> tuple[str, ...]:
    if not isinstance(flags, (list, tuple)):
        raise ValueError(f"scheduler_flags: must be a list, not {flags!r}")
    for flag in flags:
        if flag not in FLAGS:
            raise ValueError("scheduler_flags: must be of {}, not {!r}".format(", ".join(FLAGS), flag))
        owner = flag.split("-")[0]
        if owner in model.NAMED_FLAGS and owner != scheduler:
            raise ValueError(f"scheduler_flags: {flag} needs scheduler {owner}, not {scheduler}")
        if flag == "flag-3" and scheduler in model.NAMED_FLAGS:
            raise ValueError(
                f"scheduler_flags: flag-3 means nothing to {scheduler} and ipvsadm cannot read it back"
            )
    return model.normal_flags(scheduler, flags)


def _server(service: ServiceId, raw: dict) -> Server:
    known(raw, SERVER_FIELDS, COUNTERS)
    address = _address(raw)
    family = model.family_of(address)
    ip = ipaddress.ip_address(address)
    # What the kernel takes for no unicast address, and would refuse only after others have been changed.
    if (
        ip.is_multicast
        or ip.is_unspecified
        or ip in _THIS_NETWORK
        or ip == _BROADCAST
        or (ip.version == 6 and (ip.is_link_local or ip.ipv4_mapped))
    ):
        raise ValueError(f"address: {address} is not a unicast address that can be a real server")
    forward = _choice(raw, "forward", model.FORWARDS, "dr")
    if family != service.family and forward != "tunnel":
        raise ValueError(f"address: {address} for an {service.family} service needs forward: tunnel")
    marked = service.protocol == FWMARK
    port = integer(raw, "port", 0, model.MAX_PORT, 0 if marked else service.port)
    if forward != "nat" and not marked:
        port = service.port  # ipvsadm forces it: only NAT rewrites ports
    upper = integer(raw, "upper_threshold", 0, model.MAX_THRESHOLD, 0)
    lower = integer(raw, "lower_threshold", 0, model.MAX_THRESHOLD, 0)
    if lower > upper:
        raise ValueError(f"lower_threshold: {lower} is above upper_threshold {upper}")
    weight = integer(raw, "weight", 0, model.MAX_WEIGHT, 1)
    return Server(address, port, forward, weight, upper, lower, *_tunnel(forward, raw))


def _tunnel(forward: str, raw: dict) -> tuple[str, int, str]:
    kind = _choice(raw, "tunnel_type", model.TUNNEL_TYPES, "ipip")
    checksum = _choice(raw, "tunnel_checksum", ("none", "checksum", "remote"), "none")
    port = integer(raw, "tunnel_port", 1, model.MAX_PORT, 0)
    if forward != "tunnel":
        for name in ("tunnel_type", "tunnel_port", "tunnel_checksum"):
            if raw.get(name) is not None:
                raise ValueError(f"{name}: needs forward: tunnel, not {forward}")
    if kind == "gue" and not port:
        raise ValueError("tunnel_port: is required with tunnel_type: gue")
    if kind != "gue" and port:
        raise ValueError("tunnel_port: goes with tunnel_type: gue only")
    if checksum not in model.CHECKSUMS[kind]:
        raise ValueError(f"tunnel_checksum: {checksum} is not for tunnel_type: {kind}")
    return kind, port, checksum


def _timeouts(raw: dict) -> dict[str, int]:
    known(raw, frozenset(model.Timeouts._fields))
    return {
        name: integer(raw, name, 1, model.MAX_TIMEOUT)
        for name in model.Timeouts._fields
        if raw.get(name) is not None
    }


def _sync_daemons(raws: list, problems: list[str]) -> dict[str, SyncDaemon]:
    daemons: dict[str, SyncDaemon] = {}
    for number, raw in enumerate(_collect(problems, "sync_daemons", entries, raws) or []):
        daemon = _collect(problems, f"sync_daemons[{number}]", _sync_daemon, raw)
        if daemon and daemon.role in daemons:
            problems.append(f"sync_daemons[{number}]: role: there can be only one {daemon.role}")
        elif daemon:
            daemons[daemon.role] = daemon
    return daemons


def _sync_daemon(raw: dict) -> SyncDaemon:
    known(raw, DAEMON_FIELDS)
    if raw.get("role") is None:
        raise ValueError("role: is required")
    interface = raw.get("interface")
    if not isinstance(interface, str) or not _INTERFACE.match(interface):
        raise ValueError(f"interface: must be the name of a network interface, not {interface!r}")
    role = _choice(raw, "role", ("master", "backup"), "")
    return SyncDaemon(role, interface, integer(raw, "sync_id", 0, model.MAX_SYNC_ID, 0))
