# Copyright: imageops.lvs_fastdfs contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with an inventory's image cluster: each problem one sentence that says what to write instead."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.desired import InputError, desired
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils.cluster import (
    as_ip,
    directors,
    family,
    roles_of,
    services,
)
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils.cluster_firewall import (
    STORAGE_PORT,
    TRACKER_PORT,
    checked,
    senders,
)
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils.member_problems import member_problems

SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf", "twos")
FORWARDS = ("dr", "tunnel", "nat")
MODES = ("keepalived", "static")
FAILOVERS = ("standard", "fast", "faster")
# What the contract has of single hosts, and what playbooks keep under its prefix.
HOST_VARIABLES = ("address", "vip_interface", "director_priority", "capacity", "handed", "plan")
MAX_WEIGHT = 65535
# The exit status of a health check is the weight and 2.
MAX_CHECKED_WEIGHT = 253
MAX_MARK = 2**32 - 1

Settings = Mapping[str, Any]
Members = Mapping[str, Mapping[str, Any]]


def _whole(value: object, low: int, high: int) -> bool:
    """Whether ``value`` is a whole number from ``low`` to ``high``; ``cluster.normal`` has made numbers of digits."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _network(value: object, strict: bool = True) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(str(value), strict=strict)
    except ValueError:
        return None


def _plain(value: object) -> bool:
    """Whether a network is an address alone or with the number of its bits, not with a mask of dots."""
    return str(value).partition("/")[2] in ("", *map(str, range(129)))


def _for_fastdfs(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether FastDFS understands it in ``allow_hosts``."""
    return network.version == 4 and network.prefixlen >= 16


def _one_of(settings: Settings, key: str, known: Sequence[str]) -> Iterator[str]:
    if settings[key] not in known:
        yield f"image_cluster_{key} is {settings[key]!r}, which is unknown: write one of {', '.join(known)}."


def _groups(settings: Settings, roles: Mapping[str, Sequence[str]]) -> Iterator[str]:
    needed = {
        "lvs_directors": "the hosts that carry the VIPs",
        "fastdfs_trackers": "the hosts that writers ask first",
        "fastdfs_storages": "the hosts that keep the images",
        "image_servers": "the hosts that answer readers (left out, they are the fastdfs_storages)",
    }
    for group, meaning in needed.items():
        if not roles[group]:
            yield f"The group {group} is empty: put {meaning} into it."
    if settings["director_mode"] == "static" and len(roles["lvs_directors"]) > 1:
        names = ", ".join(roles["lvs_directors"])
        yield f"image_cluster_director_mode static is for one director, and lvs_directors holds {names}: keep one of them."
    for host in roles["fastdfs_backups"]:
        others = [group for group in roles if group != "fastdfs_backups" and host in roles[group]]
        if others:
            yield (
                f"{host} is in fastdfs_backups and in {', '.join(others)}: whoever takes over a server must not reach the backup, "
                "so give it a host of its own."
            )
    for host in roles["image_servers"]:
        if host not in roles["fastdfs_storages"]:
            yield f"{host} is in image_servers and not in fastdfs_storages: an image server of this version keeps images, add it there too."
    for director in roles["lvs_directors"]:
        if director in roles["image_servers"]:
            yield f"{director} is in lvs_directors and in image_servers: a host cannot forward a VIP and answer it, take it out of one."


def _spelling(settings: Settings, found: Members) -> Iterator[str]:
    known = {f"image_cluster_{key}" for key in (*settings, *HOST_VARIABLES)}
    for name in sorted({name for member in found.values() for name in member["contract"]} - known):
        # One that resembles none may be somebody's own.
        for meant in get_close_matches(name[14:], [each[14:] for each in known], n=1, cutoff=0.8):
            yield f"{name} is no variable of the contract, so it decides nothing: write image_cluster_{meant}, or another name."


def _further(member: Mapping[str, Any]) -> list[str]:
    """The addresses of a host that have a network: a VIP that it carries stands alone (/32 or /128)."""
    return [
        each["address"]
        for each in member["links"]
        if each["network"] not in (f"{each['address']}/32", f"{each['address']}/128")
    ]


def _vips(settings: Settings, found: Members, directors: Sequence[str]) -> Iterator[str]:
    vips = settings["vips"]
    if not isinstance(vips, (list, tuple)) or not vips:
        what = f"{vips!r}, which is no list" if vips else "missing"
        yield f"image_cluster_vips is {what}: write the list of addresses that readers use, for example [192.168.10.251]."
        return
    owners = {
        str(as_ip(each)): f"the own address of {name}"
        for name, member in found.items()
        # A director may carry a VIP that somebody gave it by hand, with its network.
        for each in (member["address"], member["address6"], *(() if name in directors else _further(member)))
        if each
    }
    gateways = {str(as_ip(each)): name for name, member in found.items() for each in member["gateways"]}
    owners |= {address: f"the default gateway of {name}" for address, name in gateways.items()}
    for vip in vips:
        address = as_ip(vip)
        if address is None:
            yield f"image_cluster_vips has {vip!r}, which is no IP address: write an address such as 192.168.10.251, without a prefix length."
            continue
        if str(address) in owners:
            yield f"The VIP {vip} is {owners[str(address)]}: choose an address that no host has."
            continue
        if (
            address.is_unspecified
            or address.is_multicast
            or address.is_link_local
            or address.is_loopback
            or address.is_reserved
        ):
            yield f"The VIP {vip} is an address that no reader can connect to: choose a unicast address of the readers' network."
            continue
        if settings["vip_routed"]:
            continue
        for director in directors:
            networks = found[director]["vip_networks"]
            for net in map(ipaddress.ip_network, networks):
                # A /31 has neither.
                if net.prefixlen < 31 and address in (net.network_address, net.broadcast_address):
                    yield f"The VIP {vip} is the first or the last address of {net}, which stands for the network: choose one between them."
            if (
                address.version == 4
                and networks
                and not any(address in ipaddress.ip_network(net) for net in networks)
            ):
                yield (
                    f"The VIP {vip} lies in no subnet of {director} ({', '.join(networks)}): choose an address there, or set "
                    "image_cluster_vip_routed: true when routers send it to the directors."
                )
    for address, count in Counter(str(as_ip(vip)) for vip in vips if as_ip(vip)).items():
        if count > 1:
            yield f"image_cluster_vips names {address} {count} times: write it once."


def _kinds(settings: Settings) -> Iterator[str]:
    if not isinstance(settings["vip_routed"], bool):
        yield f"image_cluster_vip_routed is {settings['vip_routed']!r}: write true or false."
    if not isinstance(settings["scheduler_flags"], (list, tuple)):
        yield f"image_cluster_scheduler_flags is {settings['scheduler_flags']!r}: write a list, for example [mh-port]."


def _numbers(settings: Settings) -> Iterator[str]:
    ports = settings["ports"]
    if not isinstance(ports, (list, tuple)) or not ports:
        yield "image_cluster_ports is empty or no list: write the TCP ports of the read path, for example [80]."
    else:
        for port in ports:
            if not _whole(port, 1, 65535):
                yield f"image_cluster_ports has {port!r}: write TCP ports from 1 to 65535."
    if not _whole(settings["fwmark"], 0, MAX_MARK):
        yield f"image_cluster_fwmark is {settings['fwmark']!r}: write a mark from 1 to {MAX_MARK}, or 0 for one virtual service a port."
    timeout = settings.get("persistence_timeout")
    if not _whole(timeout, 0, 86400 * 31):
        yield f"image_cluster_persistence_timeout is {timeout!r}: write seconds up to {86400 * 31}, or 0 for none."


def _switches(found: Members, roles: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for host in roles["fastdfs_trackers"]:
        where = f"fastdfs_tracker_extra_settings of {host} has"
        if "use_storage_id" in found[host]["tracker_switches"]:
            yield f"{where} use_storage_id, and nobody else would know the ids: take it out, and write fastdfs_storage_id for every storage."
        if roles["fastdfs_backups"] and "use_trunk_file" in found[host]["tracker_switches"]:
            yield (
                f"{where} use_trunk_file, and images inside of trunk files cannot be shipped: take it out, or do without "
                f"fastdfs_backups ({', '.join(roles['fastdfs_backups'])})."
            )


def _ports(settings: Settings, found: Members) -> Iterator[str]:
    """The read path's ports are open to readers and balanced: nothing else may listen there."""
    ports = settings["ports"]
    numbers = [port for port in ports if _whole(port, 1, 65535)] if isinstance(ports, (list, tuple)) else []
    taken = {22: "ssh", TRACKER_PORT: "the trackers", STORAGE_PORT: "the storages"}
    taken |= {member["ssh_port"]: f"ssh on {name}" for name, member in found.items() if member["ssh_port"]}
    for port, count in Counter(numbers).items():
        if count > 1:
            yield f"image_cluster_ports names {port} {count} times: write it once."
        if port in taken:
            yield f"image_cluster_ports has {port}, the port of {taken[port]}: write ports that only readers use, for example [80]."


def _weights(settings: Settings, servers: Sequence[str]) -> Iterator[str]:
    weights = settings["weights"]
    maximum = MAX_CHECKED_WEIGHT if settings["director_mode"] == "keepalived" else MAX_WEIGHT
    if not isinstance(weights, Mapping):
        yield f"image_cluster_weights is {weights!r}: write auto, or a mapping such as {{image1: 2, image2: 1}}."
        return
    for host, weight in weights.items():
        if host not in servers:
            yield f"image_cluster_weights names {host}, which is not in image_servers: take it out, or add the host to the group."
        if not _whole(weight, 0, maximum):
            why = ", the most that a health check can carry" if maximum == MAX_CHECKED_WEIGHT else ""
            yield f"image_cluster_weights gives {host} {weight!r}: write a whole number from 0 (drained) to {maximum}{why}."
    for host in servers:
        if host not in weights:
            yield f"image_cluster_weights has no weight for {host}: add it, or write auto."
    if servers and all(weights.get(host) == 0 for host in servers):
        yield "image_cluster_weights drains every image server, so that readers would meet nobody: give one of them a weight of 1 or more."


def _networks(settings: Settings) -> Iterator[str]:
    for key in ("client_networks", "reader_networks"):
        if not isinstance(settings[key], (list, tuple)):
            yield f"image_cluster_{key} is {settings[key]!r}: write a list of networks, for example [10.0.5.0/24]."
            continue
        for network in settings[key]:
            if _network(network) is None:
                loose = _network(network, strict=False)
                instead = str(loose) if loose else "one such as 10.0.5.0/24"
                yield f"image_cluster_{key} has {network!r}, which is no network: write {instead}."
            elif not _plain(network):
                yield f"image_cluster_{key} has {network!r}: write {_network(network)}, which daemons and firewall read alike."
            elif key == "client_networks" and not _for_fastdfs(_network(network)):
                yield (
                    f"image_cluster_client_networks has {network}, and FastDFS 5.05 takes IPv4 addresses and networks from /16 to /31 only: "
                    "write smaller IPv4 networks."
                )


def _families(settings: Settings, found: Members, servers: Sequence[str]) -> Iterator[str]:
    vips = [str(vip) for vip in settings["vips"]]
    gateway = str(settings["nat_gateway"])
    for vip in vips if settings["forward"] == "nat" else ():
        if family(vip) != family(gateway):
            yield (
                f"The VIP {vip} and image_cluster_nat_gateway {gateway} are of two address families: answers from that VIP would not "
                "go back through the gateway. Write VIPs of the gateway's family only."
            )
    if any(family(vip) == "ipv6" for vip in vips):
        for host in servers:
            if not found[host]["address6"]:
                yield f"An IPv6 VIP needs IPv6 on every image server, and {host} has no default IPv6 address: give it one, or drop the VIP."


def _adverts(settings: Settings, found: Members, roles: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """VRRP adverts name addresses of the family in which they are sent, one at least (RFC 5798, 5.2.9)."""
    first, *others = roles["lvs_directors"]
    own = found[first]["address"]
    if settings["director_mode"] != "keepalived" or not others or not own:
        return
    if family(own) not in {family(str(vip)) for vip in settings["vips"]}:
        name = family(own).replace("ip", "IP")
        yield (
            f"Directors speak {name} with each other ({first} is {own}), and no VIP is an {name} address, so no advert could name one: "
            "write one into image_cluster_vips, too, or an image_cluster_address of the VIPs' family for each director."
        )


def _health_checks(settings: Settings, found: Members, roles: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The firewall opens image servers to the addresses that directors send from. One that is not known may be no reader's, either."""
    everybody = any(
        _network(each) and _network(each).prefixlen == 0
        for each in settings["reader_networks"]
        if ":" in str(each)
    )
    if settings["director_mode"] != "keepalived" or everybody:
        return
    for director in roles["lvs_directors"]:
        for server in roles["image_servers"]:
            for address in checked(server, settings, found):
                if (
                    ":" in address
                    and found[director]["links"]
                    and not senders(found[director], address, settings["vips"])
                ):
                    yield (
                        f"image_cluster_reader_networks would shut out the health checks of {director}, which has no global IPv6 address to ask "
                        f"{server} ({address}) from: give {director} one, or add ::/0."
                    )


def _gateway(settings: Settings, found: Members, servers: Sequence[str]) -> Iterator[str]:
    gateway = as_ip(settings["nat_gateway"])
    for host in servers if settings["forward"] == "nat" and gateway.version == 4 else ():
        networks = found[host]["networks"]
        if networks and not any(gateway in ipaddress.ip_network(each) for each in networks):
            yield (
                f"image_cluster_nat_gateway {gateway} lies in no subnet of {host} ({', '.join(networks)}): "
                "write the directors' address in a subnet of the image servers."
            )


def _vrrp(settings: Settings, found: Members, roles: Mapping[str, Sequence[str]]) -> Iterator[str]:
    router = settings["virtual_router_id"]
    if not _whole(router, 1, 255):
        yield f"image_cluster_virtual_router_id is {router!r}: write a VRRP id from 1 to 255 that nobody else uses on the directors' network."
    first: dict[object, str] = {}
    for host, director in directors(roles, found).items():
        priority = director["priority"]
        if not _whole(priority, 1, 254):
            yield (
                f"The VRRP priority of {host} is {priority!r}: write image_cluster_director_priority from 1 to 254, or leave it out "
                "to have it made from the inventory's order."
            )
        elif priority in first:
            yield (
                f"{first[priority]} and {host} have the same VRRP priority {priority}, so an election between them would have two winners: "
                "write another image_cluster_director_priority for one of them."
            )
        first.setdefault(priority, host)


def _forwarding(settings: Settings) -> Iterator[str]:
    gateway = settings.get("nat_gateway")
    if settings["forward"] == "nat" and as_ip(gateway) is None:
        yield (
            f"image_cluster_forward nat needs image_cluster_nat_gateway, and it is {gateway or 'not set'}: "
            "write the directors' inside address, through which answers go back."
        )


def _interfaces(found: Members, directors: Sequence[str]) -> Iterator[str]:
    for host in directors:
        name, there = found[host]["vip_interface"], found[host]["interfaces"]
        if name and there and name not in there:
            yield f"image_cluster_vip_interface is {name}, and {host} has no such interface: write one of {', '.join(there)}."


def _table(settings: Settings, found: Members, servers: Sequence[str]) -> Iterator[str]:
    """What the module ``ipvs`` would say of the services in the last play, said in the first."""
    try:
        desired(services(settings, {host: found[host] for host in servers}))
    except InputError as error:
        for said in dict.fromkeys(each.split("): ", 1)[-1] for each in error.problems):
            name = f"image_cluster_{said.split(':')[0]}"
            yield f"The directors' table cannot be made ({said}): correct {name if name[14:] in settings else 'what it speaks of'}."


def overruled(
    hostvars: Mapping[str, Mapping[str, Any]], hosts: Sequence[str], handed: Sequence[str]
) -> list[str]:
    """A sentence for each of the ``handed`` variables that the inventory sets, although a playbook's value would win."""
    setters = {name: [host for host in hosts if name in hostvars[host]] for name in handed}
    return [
        f"{name} is set for {', '.join(those)}, and this playbook hands {name} to its role itself: remove it from the inventory "
        "(roles/image_cluster/README.md has the variables that decide)."
        for name, those in setters.items()
        if those
    ]


def disagreements(
    settings: Settings, hostvars: Mapping[str, Mapping[str, Any]], hosts: Sequence[str]
) -> list[str]:
    """A sentence for each setting of the whole cluster that one host has and another has not, or has otherwise.

    The settings are read from one host, and --limit decides from which.
    """
    said = []
    for name in (f"image_cluster_{key}" for key in settings):
        values = {host: repr(hostvars[host][name]) if name in hostvars[host] else "not set" for host in hosts}
        first = next(iter(values), "")
        other = next((host for host in values if values[host] != values[first]), None)
        if other:
            said.append(
                f"{name} is {values[first]} for {first} and {values[other]} for {other}: set it once, for the group all."
            )
    return said


def problems(settings: Settings, found: Members, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Every problem of the cluster, as sentences; an empty list when there is none.

    ``settings`` are the ``image_cluster_*`` variables without their prefix, ``found`` comes from ``cluster.members``.
    """
    roles = roles_of(groups)
    said = [
        *_groups(settings, roles),
        *_spelling(settings, found),
        *_one_of(settings, "director_mode", MODES),
        *_one_of(settings, "scheduler", SCHEDULERS),
        *_one_of(settings, "forward", FORWARDS),
        *_one_of(settings, "failover", FAILOVERS),
        *_vrrp(settings, found, roles),
        *_forwarding(settings),
        *_switches(found, roles),
        *member_problems(found, roles),
        *_vips(settings, found, roles["lvs_directors"]),
        *_interfaces(found, roles["lvs_directors"]),
        *_kinds(settings),
        *_numbers(settings),
        *_ports(settings, found),
        *_weights(settings, roles["image_servers"]),
        *_networks(settings),
    ]
    # What follows from sound input only.
    servers = roles["image_servers"]
    said = said or [
        *_families(settings, found, servers),
        *_adverts(settings, found, roles),
        *_gateway(settings, found, servers),
        *_health_checks(settings, found, roles),
    ]
    return said or list(_table(settings, found, servers))
