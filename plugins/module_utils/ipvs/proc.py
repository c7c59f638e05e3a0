# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``/proc/net/ip_vs`` shows of a table: less than ipvsadm's listings, and many times cheaper to read.

The lines are those of ``ip_vs_info_seq_show`` (net/netfilter/ipvs/ip_vs_ctl.c): numbers in hex, IPv6 addresses with all of their digits::

    TCP  C0000201:0050 wrr
      -> 0A000001:0050      Route   1      0          0

Persistence is left to ipvsadm: the file gives its timeout in ticks of that kernel.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import Dict, Set, Tuple

from .model import FWMARK, Server, Service, Table
from .render import delete_server_line, server_line

PATH = "/proc/net/ip_vs"
HASHING = ("mh", "sh")
_FORWARDS = {"dr": "Route", "tunnel": "Tunnel", "nat": "Masq"}

# Real servers (address and port, forwarding, weight) by what stands in the line of their service.
Shown = Dict[Tuple[str, ...], Set[Tuple[str, ...]]]


def tells_all(table: Table) -> bool:
    """Whether everything that this table has can be seen in the file."""
    return all(
        not service.scheduler_flags
        and not service.persistence_timeout
        and not service.persistence_engine
        and (service.id.family == "ipv4" or _plain_ipv6(service))
        and all(_plain(server) for server in service.servers.values())
        for service in table.services.values()
    )


def shown(table: Table) -> Shown:
    """The table as the file would show it."""
    return {
        _service(service): {
            (_endpoint(server.address, server.port), _FORWARDS[server.forward], str(server.weight))
            for server in service.servers.values()
        }
        for service in table.services.values()
    }


def read(text: str) -> Shown:
    """What the file shows."""
    return {service: set(servers) for service, servers in _lines(text).items()}


def reorder(table: Table, text: str, other: str) -> list[str]:
    """Lines for ipvsadm that bring the real servers of hashing services into the order that they have in ``other``.

    ``text`` is the file that belongs to ``table``, ``other`` that of another director. Where two servers meet in a hash table, the order
    decides: kernels with the same servers in another order do not choose alike. A server that is added again finds its connections.
    """
    lines = []
    own, wanted = _lines(text), _lines(other)
    for service in table.services.values():
        key = _service(service)
        order = [server[0] for server in wanted.get(key, [])]
        servers = {_endpoint(each.address, each.port): each for each in service.servers.values()}
        now = [server[0] for server in own.get(key, [])]
        if service.scheduler not in HASHING or now == order or sorted(now) != sorted(order):
            continue
        # The kernel puts the newest first.
        for server in map(servers.__getitem__, reversed(order)):
            lines += [delete_server_line(service.id, server), server_line("-a", service.id, server)]
    return lines


def _lines(text: str) -> dict[tuple[str, ...], list[tuple[str, ...]]]:
    """The words for each real server by those for its service. The first three lines are headers."""
    found: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    servers: list[tuple[str, ...]] = []
    for line in text.splitlines()[3:]:
        words = line.split()
        if words[0] == "->":
            servers.append((words[1], words[2], words[3]))
        else:
            servers = found.setdefault(tuple(words), [])
    return found


def _plain_ipv6(service: Service) -> bool:
    """Of IPv6 services the file does not tell one packet, and of marks not that they are of IPv6."""
    return not (service.one_packet or service.id.protocol == FWMARK)


def _plain(server: Server) -> bool:
    if server.upper_threshold or server.lower_threshold:
        return False
    return server.forward != "tunnel" or (server.tunnel_type, server.tunnel_checksum) == ("ipip", "none")


def _service(service: Service) -> tuple[str, ...]:
    name = service.id
    if name.protocol == FWMARK:
        words = ["FWM", f"{name.port:08X}"]
    else:
        words = [name.protocol.upper(), _endpoint(name.address, name.port)]
    words.append(service.scheduler)
    if service.one_packet:
        words.append("ops")
    return tuple(words)


@lru_cache(maxsize=65536)
def _endpoint(address: str, port: int) -> str:
    if ":" in address:
        # Not ipaddress, which writes an embedded IPv4 address with dots since Python 3.13.
        digits = socket.inet_pton(socket.AF_INET6, address).hex()
        return f"[{':'.join(digits[at : at + 4] for at in range(0, 32, 4))}]:{port:04X}"
    return f"{socket.inet_aton(address).hex().upper()}:{port:04X}"
