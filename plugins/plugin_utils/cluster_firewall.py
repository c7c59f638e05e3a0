# Copyright: imageops.lvs_fastdfs contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who sends what to whom in an image cluster: what each host opens, from the addresses that its peers really send from."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

TRACKER_PORT = 22122
STORAGE_PORT = 23000
SYNC_PORT = 8848
# The kernel's own, to which connections are copied.
SYNC_GROUP = "224.0.0.81"

Settings = Mapping[str, Any]
Roles = Mapping[str, Sequence[str]]
Members = Mapping[str, Mapping[str, Any]]


def links_of(facts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """The addresses of a host's interfaces with their networks, first those that the kernel prefers; ``facts`` maps interfaces to their facts.

    Loopback and link-local addresses are left out: nobody is sent to from there.
    """
    links = []
    for interface, link in sorted(facts.items()):
        four = [each for each in [link.get("ipv4"), *link.get("ipv4_secondaries", [])] if each]
        made = [(each["address"], f"{each['address']}/{each['netmask']}") for each in four]
        made += [(each["address"], f"{each['address']}/{each['prefix']}") for each in link.get("ipv6", [])]
        for address, network in made:
            ip = ipaddress.ip_address(address)
            if not (ip.is_loopback or ip.is_link_local):
                net = str(ipaddress.ip_network(network, strict=False))
                links.append({"interface": interface, "address": address, "network": net})
    return links


def senders(member: Mapping[str, Any], target: str, vips: Sequence[str]) -> list[str]:
    """The addresses from which the kernel of ``member`` may send to ``target``; none where its facts are not known.

    On a link that is the link's first IPv4 address in the target's network. IPv6 has rules of its own for that, so there it is each one. To
    a target behind a router it may be any address of the host, since routes are not among the facts. It is never a VIP.
    """
    to = ipaddress.ip_address(target)
    own = {str(ipaddress.ip_address(vip)) for vip in vips}
    links = [
        each
        for each in member["links"]
        if ipaddress.ip_address(each["address"]).version == to.version and each["address"] not in own
    ]
    near = [each for each in links if to in ipaddress.ip_network(each["network"])]
    if not near:
        return list(dict.fromkeys(each["address"] for each in links))
    longest = max(ipaddress.ip_network(each["network"]).prefixlen for each in near)
    near = [each for each in near if ipaddress.ip_network(each["network"]).prefixlen == longest]
    if to.version == 6:
        return [each["address"] for each in near]
    first: dict[str, str] = {}
    for each in near:
        first.setdefault(each["interface"], each["address"])
    return list(dict.fromkeys(first.values()))


def sources(names: Sequence[str], targets: Sequence[str], settings: Settings, found: Members) -> list[str]:
    """The addresses from which the hosts ``names`` send to ``targets``: what the inventory says, then what their facts say."""
    given = [found[name]["address"] for name in names]
    sent = [
        address
        for name in names
        for target in targets
        for address in senders(found[name], target, settings["vips"])
    ]
    return list(dict.fromkeys(given + sent))


def with_ipv6(settings: Settings) -> bool:
    """Whether a VIP is an IPv6 address, so that directors reach image servers by IPv6, too."""
    return any(":" in str(vip) for vip in settings["vips"])


def writers_of(settings: Settings, roles: Roles, found: Members) -> list[str]:
    """The addresses and networks that may talk to trackers and storages, for the firewall and for FastDFS's ``allow_hosts``.

    A host in a network that the inventory names is not named beside it: one more there changes nothing of what the others' daemons were
    started with.
    """
    names = [
        name for group in ("fastdfs_trackers", "fastdfs_storages", "fastdfs_clients") for name in roles[group]
    ]
    targets = [
        found[name]["address"] for group in ("fastdfs_trackers", "fastdfs_storages") for name in roles[group]
    ]
    named = [ipaddress.ip_network(each, strict=False) for each in settings["client_networks"]]
    others = [
        each
        for each in sources(names, targets, settings, found)
        if not any(ipaddress.ip_address(each) in network for network in named)
    ]
    return list(dict.fromkeys([*others, *settings["client_networks"]]))


def checked(host: str, settings: Settings, found: Members) -> list[str]:
    """The addresses at which directors reach the image server ``host``."""
    member = found[host]
    return [member["address"], *([member["address6"]] if with_ipv6(settings) and member["address6"] else [])]


def _sync_sources(names: Sequence[str], settings: Settings, found: Members) -> list[str]:
    """Connections are copied by multicast, from the first IPv4 address of the interface that carries the VIPs."""
    made = []
    for name in names:
        member = found[name]
        first = [
            each["address"]
            for each in member["links"]
            if each["interface"] == member["vip_device"]
            and ":" not in each["address"]
            and each["address"] not in settings["vips"]
        ]
        made.append(first[0] if first else member["address"])
    return made


def firewall_rules(
    host: str, settings: Settings, roles: Roles, found: Members, verifier: str = ""
) -> list[dict[str, Any]]:
    """What ``host`` opens and to whom, in the shape of ``firewall_image_rules``.

    ``verifier`` is a host of the cluster that ``verify.yml`` reads with, because the inventory has no readers of its own.
    """
    directors, servers = roles["lvs_directors"], roles["image_servers"]
    peers = [name for name in directors if name != host]
    rules: list[dict[str, Any]] = []

    # What a host sends to itself stays on its loopback interface, which is open.
    own = {found[host]["address"], *(each["address"] for each in found[host]["links"])}

    def allow(name: str, protocol: str, ports: Sequence[int], allowed: Sequence[str]) -> None:
        others = [each for each in dict.fromkeys(allowed) if each not in own]
        rules.append({"name": name, "protocol": protocol, "ports": list(ports), "sources": others})

    if host in directors or host in servers:
        targets = [*settings["vips"], found[host]["address"]]
        reader = sources([verifier], targets, settings, found) if verifier else []
        allow("read", "tcp", settings["ports"], [*settings["reader_networks"], *reader])
    if host in servers:
        here = checked(host, settings, found)
        # Health checks and image servers that lack an image ask at the first port.
        allow("check", "tcp", settings["ports"][:1], sources(directors, here, settings, found))
        others = [name for name in servers if name != host]
        if others:
            allow("peers", "tcp", settings["ports"][:1], sources(others, here[:1], settings, found))
        if settings["forward"] == "tunnel":
            allow("tunnel", "ipip", [], sources(directors, here, settings, found))
    if host in directors and settings["director_mode"] == "keepalived" and peers:
        allow("vrrp", "vrrp", [], [found[name]["address"] for name in peers])
        allow("sync", "udp", [SYNC_PORT], _sync_sources(peers, settings, found))
    writers = writers_of(settings, roles, found)
    if host in roles["fastdfs_trackers"]:
        allow("tracker", "tcp", [TRACKER_PORT], writers)
    if host in roles["fastdfs_storages"]:
        allow("storage", "tcp", [STORAGE_PORT], writers)
    return rules


def firewall_passes(host: str, settings: Settings, roles: Roles, found: Members) -> list[dict[str, Any]]:
    """What ``host`` sends, and forwards of what others answer, in the shape of ``firewall_image_passes``."""
    passes: list[dict[str, Any]] = []

    def passed(
        name: str, protocol: str, ports: Sequence[int], addresses: Sequence[str], hook: str = "output"
    ) -> None:
        to = list(dict.fromkeys(addresses))
        if to:
            passes.append(
                {"name": name, "hook": hook, "protocol": protocol, "ports": list(ports), "addresses": to}
            )

    def others(group: str) -> list[str]:
        return [found[name]["address"] for name in roles[group] if name != host]

    ports, forward = settings["ports"], settings["forward"]
    storage, client = host in roles["fastdfs_storages"], host in roles["fastdfs_clients"]
    if storage or client or host in roles["fastdfs_trackers"]:
        passed("tracker", "tcp", [TRACKER_PORT], others("fastdfs_trackers"))
    if storage or client:
        passed("storage", "tcp", [STORAGE_PORT], others("fastdfs_storages"))
    if storage:
        for name in roles["fastdfs_backups"]:
            passed("backup", "tcp", [found[name]["ssh_port"] or 22], [found[name]["address"]])
    if host in roles["image_servers"]:
        passed("peers", "tcp", ports[:1], others("image_servers"))
    if host in roles["lvs_directors"]:
        servers = [address for name in roles["image_servers"] for address in checked(name, settings, found)]
        passed("check", "tcp", ports[:1], servers)
        # The kernel sends on what readers ask as if it were the director's own.
        if forward == "tunnel":
            passed("tunnel", "ipip", [], servers)
        else:
            passed("read", "tcp", ports, settings["vips"] if forward == "dr" else servers)
        if forward == "nat":
            passed("answers", "tcp", ports, servers, "forward")
        if settings["director_mode"] == "keepalived" and others("lvs_directors"):
            passed("vrrp", "vrrp", [], others("lvs_directors"))
            passed("sync", "udp", [SYNC_PORT], [SYNC_GROUP])
    return passes
