# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random input for the ``ipvs`` module, drawn from a small world so that tables often speak of the same objects."""

from __future__ import annotations

from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.desired import Desired, desired
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.plan import Policy
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.run import Host, Outcome, reconcile
from fake_ipvsadm import SCHEDULERS, FakeIpvsadm
from hypothesis import strategies as st

VIPS = {
    "ipv4": ["192.0.2.1", "192.0.2.2", "198.51.100.1"],
    "ipv6": ["2001:db8::1", "2001:DB8:0::2", "::ffff:1.2.3.4"],
}
REALS = {
    "ipv4": ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
    "ipv6": ["2001:db8:1::1", "2001:db8:1:0::2", "fd00::3"],
}
FLAGS = {"mh": ["mh-port", "mh-fallback", "flag-1"], "sh": ["sh-port", "sh-fallback", "flag-2"]}


def host(fake: FakeIpvsadm, offered: frozenset[str] | None = SCHEDULERS | {"pe_sip"}) -> Host:
    return Host(fake, lambda: fake.loaded, lambda: offered, fake.proc)


def apply(fake: FakeIpvsadm, wanted: Desired, rules: Policy | None = None, check: bool = False) -> Outcome:
    return reconcile(host(fake), wanted, rules or Policy(), check)


@st.composite
def server(draw, family: str, mixed: bool) -> dict:
    forward = draw(st.sampled_from(["dr", "tunnel", "nat"]))
    if mixed and forward == "tunnel":
        family = draw(st.sampled_from(["ipv4", "ipv6"]))
    upper = draw(st.sampled_from([0, 0, 7, 70000]))
    result = {
        "address": draw(st.sampled_from(REALS[family])),
        "forward": forward,
        "weight": draw(st.sampled_from([0, 0, 1, 2, 65535])),
        "upper_threshold": upper,
        "lower_threshold": draw(st.integers(0, min(upper, 9))),
    }
    if forward == "nat":
        result["port"] = draw(st.sampled_from([0, 80, 8080]))
    if forward == "tunnel":
        kind = draw(st.sampled_from(["ipip", "gue", "gre"]))
        sums = {"ipip": ["none"], "gue": ["none", "checksum", "remote"], "gre": ["none", "checksum"]}
        result.update(tunnel_type=kind, tunnel_checksum=draw(st.sampled_from(sums[kind])))
        if kind == "gue":
            result["tunnel_port"] = draw(st.sampled_from([6080, 5555]))
    return result


@st.composite
def service(draw, mixed: bool) -> dict:
    result = {"scheduler": draw(st.sampled_from(sorted(SCHEDULERS)))}
    family = draw(st.sampled_from(["ipv4", "ipv6"]))
    protocol = draw(st.sampled_from(["tcp", "udp", "sctp", "fwmark"]))
    persistent = draw(st.booleans())
    if protocol == "fwmark":
        result.update(fwmark=draw(st.sampled_from([1, 2, 2**31, 2**32 - 1])), family=family)
    else:
        result.update(address=draw(st.sampled_from(VIPS[family])), protocol=protocol)
        result["port"] = draw(st.sampled_from([80, 443, 0] if persistent else [80, 443]))
    if persistent:
        result["persistence_timeout"] = draw(st.sampled_from([1, 360, 2678400]))
        result["persistence_netmask"] = draw(
            st.sampled_from([8, 24, 32] + ([0, "255.0.255.0"] if family == "ipv4" else []))
        )
        result["persistence_engine"] = draw(st.sampled_from([None, "sip"]))
    if protocol in ("udp", "fwmark"):
        result["one_packet"] = draw(st.booleans())
    choices = FLAGS.get(result["scheduler"], ["flag-1", "flag-2", "flag-3"])
    result["scheduler_flags"] = draw(st.lists(st.sampled_from(choices), max_size=2))
    chosen = draw(st.lists(server(family, mixed), max_size=4))
    result["servers"] = unique(chosen, lambda s: desired([{**result, "servers": [s]}]).services)
    return result


def unique(entries: list[dict], read) -> list[dict]:
    """Those entries that name an object for the first time, equal addresses written differently included."""
    seen, kept = set(), []
    for entry in entries:
        (value,) = read(entry).values()
        name = (value.id, *value.servers)
        if name not in seen:
            seen.add(name)
            kept.append(entry)
    return kept


@st.composite
def requests(draw, absent: bool = True) -> dict:
    """Arguments for ``desired()``."""
    daemons = draw(st.sampled_from([None, [], ["master"], ["backup", "master"]]))
    mixed = daemons == [] or (daemons is None and not absent)
    services = unique(
        draw(st.lists(service(mixed), max_size=5)), lambda s: desired([{**s, "servers": []}]).services
    )
    if absent:
        services = [
            {**s, "state": draw(st.sampled_from(["present", "present", "absent"]))}
            if draw(st.booleans())
            else {**s, "servers": draw(st.sampled_from([s["servers"], None]))}
            for s in services
        ]
    timeouts = draw(st.sampled_from([None, {"tcp": 600}, {"tcp": 900, "tcp_fin": 1, "udp": 2678400}]))
    interfaces = st.sampled_from(["eth0", "eth1"])
    if daemons is not None:
        daemons = [
            {"role": role, "interface": draw(interfaces), "sync_id": draw(st.integers(0, 2))}
            for role in daemons
        ]
    return {"services": services, "timeouts": timeouts, "sync_daemons": daemons}
