# Copyright: imageops.lvs_fastdfs contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an inventory says about an image cluster, resolved once for every role.

Pure functions: ``members`` and ``plan`` turn the contract's variables (``roles/image_cluster/README.md``) into data,
without looking at anything else. ``cluster_problems.py`` says what is wrong with them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils.cluster_firewall import (
    TRACKER_PORT,
    firewall_passes,
    firewall_rules,
    links_of,
    writers_of,
)

# The first director of the inventory has this VRRP priority, each further one as much less.
FIRST_PRIORITY = 250
PRIORITY_STEP = 20
ROLE_GROUPS = (
    "lvs_directors",
    "fastdfs_trackers",
    "fastdfs_storages",
    "image_servers",
    "fastdfs_clients",
    "fastdfs_backups",
)


def as_ip(value: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that ``value`` spells, or None."""
    try:
        return ipaddress.ip_address(str(value))
    except ValueError:
        return None


def family(address: str) -> str:
    """``ipv4`` or ``ipv6``; raises ValueError for what is no address."""
    return f"ipv{ipaddress.ip_address(address).version}"


def whole(value: object) -> object:
    """The number whose digits a text is (``-e`` gives nothing but texts); anything else as it came."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,10}", value) else value


def normal(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` with digits as numbers, ``yes`` and ``false`` as booleans, and texts with commas as lists.

    What cannot be read so stays as it is, for ``cluster_problems`` to name.
    """

    def words(value: object) -> object:
        if value is None:
            return []
        return (
            [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value
        )

    made = dict(settings)
    made["fwmark"] = whole(made["fwmark"])
    made["persistence_timeout"] = whole(made["persistence_timeout"] or 0)
    made["virtual_router_id"] = whole(made["virtual_router_id"])
    made["nat_gateway"] = made["nat_gateway"] or ""
    routed = str(made["vip_routed"]).lower()
    made["vip_routed"] = {
        **dict.fromkeys(("true", "yes", "on", "1"), True),
        **dict.fromkeys(("false", "no", "off", "0"), False),
    }.get(routed, made["vip_routed"])
    for key in ("scheduler_flags", "client_networks", "reader_networks"):
        made[key] = words(made[key])
    if isinstance(made["ports"], (list, tuple)):
        made["ports"] = [whole(port) for port in made["ports"]]
    if isinstance(made["weights"], Mapping):
        made["weights"] = {host: whole(weight) for host, weight in made["weights"].items()}
    return made


def roles_of(groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The hosts of each of the contract's groups; image servers are the storages unless the inventory has its own."""
    roles = {name: list(groups.get(name) or []) for name in ROLE_GROUPS}
    if "image_servers" not in groups:
        roles["image_servers"] = list(roles["fastdfs_storages"])
    return roles


def answered(host: Mapping[str, Any]) -> bool:
    """Whether a host of which these are the variables answered in this run. Its facts may be of an earlier one, out of a cache."""
    looked = host.get("__image_cluster_looked")
    if looked is None:
        # Outside of this run others asked it.
        return "effective_user_id" in (host.get("ansible_facts") or {})
    return not looked.get("unreachable")


def silent(hosts: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Those of the hosts that did not answer in this run."""
    return [host for host in hosts if not answered(hostvars[host])]


def members(
    hostvars: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Every host of the contract's groups with what others need to know of it.

    ``address`` is ``image_cluster_address``, else ``ansible_host`` when it is an address, else the host's default IPv4
    address, else an empty string; ``address6`` is its default IPv6 address or empty, ``links`` what it may send from,
    ``vip_networks`` the IPv4 networks in which it can carry a VIP. ``id`` is the name by which trackers know a storage:
    its ``storage_id`` (None without ``fastdfs_storage_id``), else its address.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in [host for hosts in roles_of(groups).values() for host in hosts]:
        host = hostvars[name]
        facts = host.get("ansible_facts") or {}
        address = host.get("image_cluster_address") or host.get("ansible_host") or name
        if "image_cluster_address" not in host and as_ip(address) is None:
            address = (facts.get("default_ipv4") or {}).get("address", "")
        links = links_of({each: _link(facts, each) for each in facts.get("interfaces", []) if each != "lo"})
        vip_device = host.get("image_cluster_vip_interface") or (facts.get("default_ipv4") or {}).get(
            "interface", ""
        )
        paths = host.get("fastdfs_storage_paths")
        storage_id = host.get("fastdfs_storage_id")
        storage_id = None if storage_id == "" else whole(storage_id)
        tracker_settings = host.get("fastdfs_tracker_extra_settings")
        found[name] = {
            "address": str(address),
            "address6": str((facts.get("default_ipv6") or {}).get("address", "")),
            "group": str(host.get("fastdfs_storage_group") or "group1"),
            "storage_id": storage_id,
            "id": str(address if storage_id is None else storage_id),
            "paths": ["/data/fastdfs"] if paths is None else paths,
            "addresses": sorted(facts.get("all_ipv4_addresses", [])),
            "gateways": [
                facts[key]["gateway"]
                for key in ("default_ipv4", "default_ipv6")
                if (facts.get(key) or {}).get("gateway")
            ],
            "interfaces": sorted(facts.get("interfaces", [])),
            "vip_interface": host.get("image_cluster_vip_interface") or "",
            "user": facts.get("effective_user_id"),
            "user_name": facts.get("user_id", ""),
            "ssh_port": whole(host.get("ansible_port")),
            "tracker_switches": [
                name
                # What is no mapping, its role refuses.
                for name, value in (tracker_settings if isinstance(tracker_settings, Mapping) else {}).items()
                if str(value).lower() in ("true", "yes", "on", "1")
            ],
            "priority": whole(host.get("image_cluster_director_priority")),
            "contract": [name for name in host if name.startswith("image_cluster_")],
            "links": links,
            "networks": networks_of(links),
            "vip_device": vip_device,
            "vip_networks": networks_of([each for each in links if each["interface"] == vip_device]),
        }
    return found


def _link(facts: Mapping[str, Any], interface: str) -> Mapping[str, Any]:
    """The facts of ``interface``, whose name the setup module gives with some of its signs replaced."""
    names = (interface, interface.replace("-", "_"), re.sub(r"[-.:]", "_", interface))
    return next((facts[name] for name in names if facts.get(name)), {})


def networks_of(links: Sequence[Mapping[str, str]]) -> list[str]:
    """The IPv4 networks of ``links``, without addresses that stand alone."""
    networks = {ipaddress.ip_network(each["network"]) for each in links}
    return sorted(str(each) for each in networks if each.version == 4 and each.prefixlen < 32)


def services(settings: Mapping[str, Any], servers: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The virtual services in the shape of the ``ipvs`` module.

    With a firewall mark, one for each address family of the VIPs; else one for each VIP and port.
    """
    families = sorted({family(vip) for vip in settings["vips"]})
    common: dict[str, Any] = {"scheduler": settings["scheduler"]}
    if settings.get("scheduler_flags"):
        common["scheduler_flags"] = list(settings["scheduler_flags"])
    if settings.get("persistence_timeout"):
        common["persistence_timeout"] = int(settings["persistence_timeout"])

    def pool(of_family: str, port: int) -> list[dict[str, Any]]:
        key = "address" if of_family == "ipv4" else "address6"
        return [
            {
                "address": server[key],
                "port": port,
                "forward": settings["forward"],
                "weight": settings["weights"][name],
            }
            for name, server in servers.items()
        ]

    if settings["fwmark"]:
        return [
            {"fwmark": int(settings["fwmark"]), "family": each, **common, "servers": pool(each, 0)}
            for each in families
        ]
    return [
        {
            "address": vip,
            "port": int(port),
            "protocol": "tcp",
            **common,
            "servers": pool(family(vip), int(port)),
        }
        for vip in settings["vips"]
        for port in settings["ports"]
    ]


def directors(
    roles: Mapping[str, Sequence[str]], found: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What each director must know of itself and of the others: its ``priority`` (VRRP, 1 to 254) and its ``peers``' addresses."""
    names = roles["lvs_directors"]
    return {
        name: {
            "priority": FIRST_PRIORITY - PRIORITY_STEP * index
            if found[name]["priority"] is None
            else found[name]["priority"],
            "peers": [found[other]["address"] for other in names if other != name],
        }
        for index, name in enumerate(names)
    }


def other_groups(
    host: str, roles: Mapping[str, Sequence[str]], found: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The image servers of every group that ``host`` is not of, in the shape of ``nginx_image_other_groups``."""
    servers: dict[str, list[str]] = {}
    for other in roles["fastdfs_storages"]:
        if other in roles["image_servers"] and found[other]["group"] != found[host]["group"]:
            servers.setdefault(found[other]["group"], []).append(found[other]["address"])
    return [{"group": group, "servers": addresses} for group, addresses in servers.items()]


def plan(
    settings: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """What ``site.yml`` hands to the roles, from settings and members without problems."""
    roles = roles_of(groups)
    # As verify.yml chooses it.
    verifier = (
        "" if groups.get("image_readers") else (roles["fastdfs_clients"] or roles["fastdfs_trackers"])[0]
    )
    direct = (
        set(roles["image_servers"]) - set(roles["fastdfs_clients"]) - set(groups.get("image_readers") or [])
    )
    return {
        **{
            key: settings[key]
            for key in (
                "vips",
                "ports",
                "fwmark",
                "forward",
                "nat_gateway",
                "director_mode",
                "scheduler",
                "scheduler_flags",
                "weights",
                "failover",
                "virtual_router_id",
            )
        },
        "persistent": bool(settings.get("persistence_timeout")),
        "members": dict(found),
        "roles": roles,
        "trackers": [f"{found[host]['address']}:{TRACKER_PORT}" for host in roles["fastdfs_trackers"]],
        "storage_ids": [
            {
                "id": found[host]["storage_id"],
                "group": found[host]["group"],
                "address": found[host]["address"],
            }
            for host in roles["fastdfs_storages"]
            if found[host]["storage_id"] is not None
        ],
        "writers": writers_of(settings, roles, found),
        "services": services(settings, {host: found[host] for host in roles["image_servers"]}),
        "directors": directors(roles, found),
        "firewall": {host: firewall_rules(host, settings, roles, found, verifier) for host in found},
        "passes": {host: firewall_passes(host, settings, roles, found) for host in found},
        "peers": {
            host: [
                found[other]["address"]
                for other in roles["fastdfs_storages"]
                if other != host
                and other in roles["image_servers"]
                and found[other]["group"] == found[host]["group"]
            ]
            for host in roles["image_servers"]
        },
        "other_groups": {host: other_groups(host, roles, found) for host in roles["image_servers"]},
        # With nat, image servers answer each other without the director: they fetch what has not arrived yet. A host that also reads
        # through the VIP needs its answers to come back through the director, so it is not among them.
        "nat_direct": {
            host: [
                found[other]["address"]
                for other in roles["image_servers"]
                if other in direct and other != host
            ]
            for host in roles["image_servers"]
        },
    }
