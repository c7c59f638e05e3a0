# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model as text: lines for ``ipvsadm -R``, the shape that the ``ipvs`` module takes, and a listing for people."""

from __future__ import annotations

import ipaddress

from .model import FULL_NETMASK, FWMARK, Server, Service, ServiceId, SyncDaemon, Table, Timeouts, endpoint

_SERVICE_OPTIONS = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
_FORWARD_OPTIONS = {"dr": "-g", "tunnel": "-i", "nat": "-m"}
_CHECKSUM_OPTIONS = {"none": "--tun-nocsum", "checksum": "--tun-csum", "remote": "--tun-remcsum"}

# What ipvsadm gives for real servers only, and what it counts for both.
SUMMED = ("active_connections", "inactive_connections")
COUNTED = ("connections", "in_packets", "out_packets", "in_bytes", "out_bytes")
RATES = tuple(f"{name}_per_second" for name in COUNTED)
COUNTERS = (*SUMMED, *COUNTED, *RATES)


def service_option(name: ServiceId) -> str:
    """The service as ipvsadm's option, ``-t 192.0.2.1:80`` or ``-f 1 -6``."""
    if name.protocol == FWMARK:
        return "-f {}{}".format(name.port, " -6" if name.family == "ipv6" else "")
    return f"{_SERVICE_OPTIONS[name.protocol]} {endpoint(name.address, name.port)}"


def service_line(command: str, service: Service) -> str:
    """``-A`` or ``-E`` with every attribute: what an edit leaves out, ipvsadm resets."""
    parts = [command, service_option(service.id), "-s", service.scheduler]
    if service.persistence_timeout:
        parts += ["-p", str(service.persistence_timeout), "-M", _netmask(service)]
    if service.persistence_engine:
        parts += ["--pe", service.persistence_engine]
    if service.one_packet:
        parts.append("-o")
    if service.scheduler_flags:
        parts += ["-b", ",".join(service.scheduler_flags)]
    return " ".join(parts)


def delete_service_line(name: ServiceId) -> str:
    return "-D " + service_option(name)


def server_line(command: str, name: ServiceId, server: Server) -> str:
    """``-a`` or ``-e`` with every attribute, for the same reason."""
    parts = [
        command,
        service_option(name),
        "-r",
        endpoint(server.address, server.port),
        _FORWARD_OPTIONS[server.forward],
        f"-w {server.weight} -x {server.upper_threshold} -y {server.lower_threshold}",
    ]
    # ipip is what every ipvsadm does; those before 1.30 skip a line with --tun-type.
    if server.forward == "tunnel" and server.tunnel_type != "ipip":
        parts.append("--tun-type " + server.tunnel_type)
        if server.tunnel_port:
            parts.append(f"--tun-port {server.tunnel_port}")
        parts.append(_CHECKSUM_OPTIONS[server.tunnel_checksum])
    return " ".join(parts)


def delete_server_line(name: ServiceId, server: Server) -> str:
    return f"-d {service_option(name)} -r {endpoint(server.address, server.port)}"


def timeouts_line(timeouts: Timeouts) -> str:
    return "--set {} {} {}".format(*timeouts)


def start_daemon_line(daemon: SyncDaemon) -> str:
    line = f"--start-daemon {daemon.role} --mcast-interface {daemon.interface} --syncid {daemon.sync_id}"
    return " ".join([line] + ["{} {}".format(*option) for option in daemon.extra])


def stop_daemon_line(role: str) -> str:
    return "--stop-daemon " + role


def _netmask(service: Service) -> str:
    mask = service.persistence_netmask
    if service.id.family == "ipv6" or isinstance(mask, str):
        return str(mask)
    return str(ipaddress.ip_network(f"0.0.0.0/{mask}").netmask)


def server_shape(server: Server) -> dict:
    """The real server as an element of ``servers`` of the ``ipvs`` module."""
    shape = {
        "address": server.address,
        "port": server.port,
        "forward": server.forward,
        "weight": server.weight,
        "upper_threshold": server.upper_threshold,
        "lower_threshold": server.lower_threshold,
    }
    if server.forward == "tunnel":
        shape.update(tunnel_type=server.tunnel_type, tunnel_checksum=server.tunnel_checksum)
        if server.tunnel_port:
            shape["tunnel_port"] = server.tunnel_port
    return shape


def service_shape(service: Service) -> dict:
    """The service as an element of ``services`` of the ``ipvs`` module."""
    name = service.id
    if name.protocol == FWMARK:
        shape = {"fwmark": name.port, "family": name.family}
    else:
        shape = {"address": name.address, "port": name.port, "protocol": name.protocol}
    shape.update(
        scheduler=service.scheduler,
        scheduler_flags=list(service.scheduler_flags),
        one_packet=service.one_packet,
        state="present",
        servers=[server_shape(server) for server in service.servers.values()],
    )
    if service.persistence_timeout:
        shape.update(
            persistence_timeout=service.persistence_timeout, persistence_netmask=service.persistence_netmask
        )
    if service.persistence_engine:
        shape["persistence_engine"] = service.persistence_engine
    return shape


def table_shape(table: Table) -> dict:
    """The table as the ``ipvs`` module returns it: ``services``, ``timeouts`` and ``sync_daemons`` as it takes them."""
    return {
        "services": [service_shape(service) for service in table.services.values()],
        "timeouts": table.timeouts._asdict(),
        "sync_daemons": [
            {"role": daemon.role, "interface": daemon.interface, "sync_id": daemon.sync_id}
            for daemon in table.sync_daemons.values()
        ],
    }


def counted_shape(table: Table, numbers: dict) -> dict:
    """The same with counters (by service and real server) put beside the settings; a service has its servers' sums."""
    shape = table_shape(table)
    for name, service in zip(table.services, shape["services"]):
        service.update(dict.fromkeys(COUNTERS, 0), **_counters(numbers, (name, None)))
        for key, server in zip(table.services[name].servers, service["servers"]):
            server.update(dict.fromkeys(COUNTERS, 0), **_counters(numbers, (name, key)))
            for counter in SUMMED:
                service[counter] += server[counter]
    return shape


def _counters(numbers: dict, subject: tuple) -> dict[str, int]:
    return {name: value for name, value in numbers.get(subject, {}).items() if name in COUNTERS}


def listing(table: Table) -> str:
    """The table for a person to read and to compare, a line for each object, in the order of names."""
    lines = []
    for name in sorted(table.services):
        service = table.services[name]
        lines.append(" ".join([f"{name} {service.scheduler}", *_service_remarks(service)]))
        lines += ["  " + _server_text(service.servers[key]) for key in sorted(service.servers)]
    lines.append("timeouts tcp {} tcp_fin {} udp {}".format(*table.timeouts))
    for role in sorted(table.sync_daemons):
        daemon = table.sync_daemons[role]
        lines.append(f"sync daemon {role} on {daemon.interface}, sync_id {daemon.sync_id}")
    return "\n".join(lines) + "\n"


def _service_remarks(service: Service) -> list[str]:
    remarks = list(service.scheduler_flags)
    if service.persistence_timeout:
        remarks.append(f"persistent {service.persistence_timeout} s")
        if service.persistence_netmask != FULL_NETMASK[service.id.family]:
            remarks.append(f"per /{service.persistence_netmask}")
    if service.persistence_engine:
        remarks.append("engine " + service.persistence_engine)
    if service.one_packet:
        remarks.append("one packet")
    return remarks


def _server_text(server: Server) -> str:
    words = [f"{server.id} {server.forward}"]
    if server.forward == "tunnel" and server.tunnel_type != "ipip":
        port = f":{server.tunnel_port}" if server.tunnel_port else ""
        words.append(f"{server.tunnel_type}{port}, checksum {server.tunnel_checksum}")
    words.append(f"weight {server.weight}")
    if server.upper_threshold or server.lower_threshold:
        words.append(f"thresholds {server.upper_threshold}/{server.lower_threshold}")
    return " ".join(words)
