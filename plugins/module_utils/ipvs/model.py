# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The IPVS table as values: virtual services, real servers, timeouts, sync daemons. No input or output here."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import NamedTuple

FAMILIES = ("ipv4", "ipv6")
PROTOCOLS = ("tcp", "udp", "sctp")
FWMARK = "fwmark"
FORWARDS = ("dr", "tunnel", "nat")
TUNNEL_TYPES = ("ipip", "gue", "gre")
CHECKSUMS = {"ipip": ("none",), "gue": ("none", "checksum", "remote"), "gre": ("none", "checksum")}
FULL_NETMASK = {"ipv4": 32, "ipv6": 128}

# The kernel has three flag bits; two schedulers give the first two of them names, and ipvsadm prints the names.
NAMED_FLAGS = {
    "mh": {"flag-1": "mh-fallback", "flag-2": "mh-port"},
    "sh": {"flag-1": "sh-fallback", "flag-2": "sh-port"},
}

DEFAULT_SCHEDULER = "wlc"
MAX_PORT = 65535
MAX_WEIGHT = 65535
MAX_MARK = 2**32 - 1
MAX_THRESHOLD = 2**31 - 1
MAX_TIMEOUT = 86400 * 31  # seconds, ipvsadm's own limit
MAX_SYNC_ID = 255


class ServiceId(NamedTuple):
    """What tells one virtual service from another. With protocol ``fwmark``, ``port`` holds the mark."""

    protocol: str
    family: str
    address: str
    port: int

    def __str__(self) -> str:
        if self.protocol == FWMARK:
            return "fwmark {}{}".format(self.port, " ipv6" if self.family == "ipv6" else "")
        return f"{self.protocol} {endpoint(self.address, self.port)}"


class ServerId(NamedTuple):
    """What tells one real server of a virtual service from another."""

    address: str
    port: int

    def __str__(self) -> str:
        return endpoint(self.address, self.port)


class Server(NamedTuple):
    """A real server. The ``tunnel_*`` values mean something with ``forward`` ``tunnel`` only."""

    address: str
    port: int
    forward: str = "dr"
    weight: int = 1
    upper_threshold: int = 0
    lower_threshold: int = 0
    tunnel_type: str = "ipip"
    tunnel_port: int = 0
    tunnel_checksum: str = "none"

    @property
    def id(self) -> ServerId:
        return ServerId(self.address, self.port)


@dataclass(frozen=True)
class Service:
    """A virtual service with its real servers.

    ``persistence_timeout`` is in seconds, 0 when not persistent. ``persistence_netmask`` is a prefix length, or the
    dotted mask where somebody has set one that is no prefix.
    """

    id: ServiceId
    scheduler: str = DEFAULT_SCHEDULER
    scheduler_flags: tuple[str, ...] = ()
    persistence_timeout: int = 0
    persistence_netmask: int | str = 32
    persistence_engine: str = ""
    one_packet: bool = False
    servers: dict[ServerId, Server] = field(default_factory=dict)

    def settings(self) -> tuple:
        """Everything that an edit of the service can change, in comparable form."""
        return (
            self.scheduler,
            self.scheduler_flags,
            self.persistence_timeout,
            self.persistence_netmask if self.persistence_timeout else None,
            self.persistence_engine,
            self.one_packet,
        )


class Timeouts(NamedTuple):
    """Connection timeouts in seconds. The defaults are the kernel's own, which stand when IPVS is loaded."""

    tcp: int = 900
    tcp_fin: int = 120
    udp: int = 300


@dataclass(frozen=True)
class SyncDaemon:
    """A connection sync daemon. ``extra`` holds what this collection does not manage, as ipvsadm's options."""

    role: str
    interface: str
    sync_id: int = 0
    extra: tuple[tuple[str, str], ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Table:
    """All that the kernel's IPVS holds. An empty one with default timeouts is what a kernel without ip_vs would hold."""

    services: dict[ServiceId, Service] = field(default_factory=dict)
    timeouts: Timeouts = field(default_factory=Timeouts)
    sync_daemons: dict[str, SyncDaemon] = field(default_factory=dict)


def family_of(address: str) -> str:
    """``ipv6`` or ``ipv4`` for an address in canonical form."""
    return "ipv6" if ":" in address else "ipv4"


def endpoint(address: str, port: int) -> str:
    """Address and port as ipvsadm writes them: ``192.0.2.1:80``, ``[2001:db8::1]:80``."""
    return ("[%s]:%s" if ":" in address else "%s:%s") % (address, port)


def netmask(dotted: str) -> int | str:
    """The prefix length of an IPv4 mask, or the mask itself when it is none: ``255.0.255.0``."""
    bits = f"{int(ipaddress.IPv4Address(dotted)):032b}"
    return bits.count("1") if "01" not in bits else dotted


def normal_flags(scheduler: str, flags) -> tuple[str, ...]:
    """Scheduler flags by the names that ipvsadm prints for this scheduler, sorted, each once."""
    names = NAMED_FLAGS.get(scheduler, {})
    return tuple(sorted({names.get(flag, flag) for flag in flags}))
