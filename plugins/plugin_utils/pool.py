# Copyright: imageops.lvs_fastdfs contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who gets readers: what a director's table says of the cluster's image servers. Pure functions for the day-two playbooks."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.parse import parse
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.proc import reorder

Services = Sequence[Mapping[str, Any]]


def _identity(service: Mapping[str, Any]) -> tuple[Any, ...]:
    if service.get("fwmark"):
        return int(service["fwmark"]), service.get("family") or "ipv4"
    return service["protocol"], ipaddress.ip_address(service["address"]), int(service["port"])


def pool_entries(table: Services, plan: Mapping[str, Any], host: str) -> list[dict[str, Any]]:
    """Where the image server ``host`` stands in a director's table, one entry an address of it.

    ``table`` is what ``ipvs_info`` returns as ``services``; services that ``plan`` does not know do not count. An entry has ``server`` and
    ``services`` for the module ``ipvs_drain``, the ``weights`` that it has there, and how many ``active`` connections.
    """
    ours = {_identity(service) for service in plan["services"]}
    member = plan["members"][host]
    entries = []
    for address in [each for each in (member["address"], member["address6"]) if each]:
        found = [
            ({key: service[key] for key in keys}, server["weight"], server["active_connections"])
            for service in table
            if _identity(service) in ours
            for keys in [("fwmark", "family") if service.get("fwmark") else ("address", "port", "protocol")]
            for server in service["servers"]
            if ipaddress.ip_address(server["address"]) == ipaddress.ip_address(address)
        ]
        if found:
            services, weights, active = zip(*found)
            entries.append(
                {
                    "server": address,
                    "services": list(services),
                    "weights": list(weights),
                    "active": sum(active),
                }
            )
    return entries


def pool_stands(
    results: Sequence[Mapping[str, Any]], plan: Mapping[str, Any], host: str
) -> list[dict[str, Any]]:
    """``pool_entries`` of several directors, each with its ``director``; ``results`` are a loop's over directors with ``ipvs_info``."""
    return [
        {"director": result["item"], **entry}
        for result in results
        for entry in pool_entries(result.get("services") or [], plan, host)
    ]


def pool_weights(table: Services, plan: Mapping[str, Any], host: str) -> list[int]:
    """The weights of ``host`` in the cluster's virtual services; empty when it stands in none of them."""
    return [weight for entry in pool_entries(table, plan, host) for weight in entry["weights"]]


def pool_serving(table: Services, plan: Mapping[str, Any]) -> list[str]:
    """The image servers that get new connections: they stand in every virtual service of ``plan``, nowhere with the weight 0."""
    weights = {host: pool_weights(table, plan, host) for host in plan["roles"]["image_servers"]}
    return [host for host, each in weights.items() if len(each) == len(plan["services"]) and all(each)]


def pool_drained(table: Services, plan: Mapping[str, Any]) -> list[str]:
    """The image servers that stand in ``table`` with the weight 0 only, so that they get no new connections."""
    weights = {host: pool_weights(table, plan, host) for host in plan["roles"]["image_servers"]}
    return [host for host, each in weights.items() if each and not any(each)]


def pool_order(own: str, holder: str) -> list[str]:
    """Lines for ``ipvsadm -R`` after which a director's hashing services choose as those of the director that carries the VIPs.

    Both are what a director printed: /proc/net/ip_vs, a line ``=``, and ipvsadm's listings of rules and thresholds.
    """
    listing, _separator, rules = own.partition("\n=\n")
    return reorder(parse(rules).table(), listing, holder.partition("\n=\n")[0])


def pool_away(plan: Mapping[str, Any], batch: int) -> list[list[str]]:
    """The FastDFS groups that are away as a whole while image servers are taken out ``batch`` at a time, each as the list of its members."""
    servers = list(plan["roles"]["image_servers"])
    batches = [set(servers[start : start + batch]) for start in range(0, len(servers), batch)]
    groups: dict[str, list[str]] = {}
    for host in servers:
        groups.setdefault(plan["members"][host]["group"], []).append(host)
    return [hosts for hosts in groups.values() if any(set(hosts) <= each for each in batches)]


def storage_names(ids: Sequence[str], plan: Mapping[str, Any]) -> list[str]:
    """The inventory's names for what trackers and mark files call storages; what is no storage's id stays as it is."""
    names = {plan["members"][host]["id"]: host for host in plan["roles"]["fastdfs_storages"]}
    return [names.get(each, each) for each in ids]
