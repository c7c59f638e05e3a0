"""Who sends what to whom: what each host opens, and from which addresses its peers really come."""

from __future__ import annotations

import pytest
import sound_cluster
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils import cluster, cluster_problems

GROUPS = {
    "lvs_directors": ["director1", "director2"],
    "fastdfs_storages": ["image1", "image2"],
    "fastdfs_trackers": ["tracker1"],
    "fastdfs_clients": ["tracker1"],
    "image_readers": ["reader1"],
}
READERS = ["192.0.2.0/24"]
SETTINGS = {
    **sound_cluster.SETTINGS,
    "ports": [80, 443],
    "director_mode": "keepalived",
    "client_networks": ["10.5.0.0/16"],
    "reader_networks": READERS,
}
ADDRESSES = {"director1": "10.0.0.1", "director2": "10.0.0.7", "image1": "10.0.0.2", "image2": "10.0.0.3"}
ADDRESSES["tracker1"] = "10.0.0.4"


def link(*addresses: str) -> dict:
    """The facts of an interface with these addresses, of which IPv4 ones are in networks of 256."""
    four = [
        {"address": each, "netmask": "255.255.255.0", "network": each.rsplit(".", 1)[0] + ".0"}
        for each in addresses
        if ":" not in each
    ]
    six = [
        {"address": each, "prefix": "64", "scope": "link" if each.startswith("fe80") else "global"}
        for each in addresses
        if ":" in each
    ]
    return {"ipv4": four[0] if four else {}, "ipv4_secondaries": four[1:], "ipv6": six}


def host(name: str, **links: dict) -> dict:
    """A host of which facts tell these interfaces; the default route is that of eth0."""
    links = links or {"eth0": link(ADDRESSES[name])}
    address6 = [each["address"] for each in links["eth0"]["ipv6"] if each["scope"] == "global"]
    facts = {
        "interfaces": ["lo", *links],
        "default_ipv4": {"address": links["eth0"]["ipv4"]["address"], "interface": "eth0"},
        "default_ipv6": {"address": address6[0]} if address6 else {},
        "lo": {"ipv4": {"address": "127.0.0.1", "netmask": "255.0.0.0", "network": "127.0.0.0"}},
        **links,
    }
    return {"ansible_host": ADDRESSES[name], "ansible_facts": facts}


def made(hosts: dict | None = None, groups: dict | None = None, **settings) -> dict:
    hostvars = {name: host(name) for name in ADDRESSES} | (hosts or {})
    groups, settings = GROUPS | (groups or {}), SETTINGS | settings
    found = cluster.members(hostvars, groups)
    assert cluster_problems.problems(settings, found, groups) == []
    return cluster.plan(settings, found, groups)


def rules(name: str, hosts: dict | None = None, groups: dict | None = None, **settings) -> dict:
    """What that host opens: names of rules with protocol, ports and sources."""
    opened = made(hosts, groups, **settings)["firewall"][name]
    return {each["name"]: (each["protocol"], each["ports"], each["sources"]) for each in opened}


WRITERS = ["10.0.0.4", "10.0.0.2", "10.0.0.3", "10.5.0.0/16"]


@pytest.mark.parametrize(
    ("name", "opened"),
    [
        (
            "director1",
            {
                "read": ("tcp", [80, 443], READERS),
                "vrrp": ("vrrp", [], ["10.0.0.7"]),
                "sync": ("udp", [8848], ["10.0.0.7"]),
            },
        ),
        (
            "image1",
            {
                "read": ("tcp", [80, 443], READERS),
                "check": ("tcp", [80], ["10.0.0.1", "10.0.0.7"]),
                "peers": ("tcp", [80], ["10.0.0.3"]),
                "storage": ("tcp", [23000], ["10.0.0.4", "10.0.0.3", "10.5.0.0/16"]),
            },
        ),
        ("tracker1", {"tracker": ("tcp", [22122], ["10.0.0.2", "10.0.0.3", "10.5.0.0/16"])}),
    ],
)
def test_each_host_opens_what_its_role_needs_to_those_who_need_it(name, opened):
    assert rules(name) == opened


def test_one_director_opens_nothing_to_directors_and_one_image_server_nothing_to_peers():
    groups = {"lvs_directors": ["director1"], "fastdfs_storages": ["image1"]}
    settings = {"weights": {"image1": 1}}
    assert list(rules("director1", groups=groups, **settings)) == ["read"]
    assert list(rules("image1", groups=groups, **settings)) == ["read", "check", "storage"]


def test_a_static_director_hears_no_other():
    groups = {"lvs_directors": ["director1"]}
    assert list(rules("director1", groups=groups, director_mode="static")) == ["read"]


@pytest.mark.parametrize(("clients", "reader"), [(["tracker1"], "10.0.0.4"), ([], "10.0.0.4")])
def test_without_readers_of_its_own_the_inventory_s_first_client_reads_when_it_is_verified(clients, reader):
    groups = {"image_readers": [], "fastdfs_clients": clients}
    for name in ("director1", "image1"):
        assert rules(name, groups=groups)["read"] == ("tcp", [80, 443], [*READERS, reader])


# Adverts have a network of their own, as docs/security.md advises.
APART = {
    "director1": host("director1", eth0=link("10.0.0.11"), eth1=link("10.9.0.1"))
    | {"image_cluster_address": "10.9.0.1"},
    "director2": host("director2", eth0=link("10.0.0.17"), eth1=link("10.9.0.2"))
    | {"image_cluster_address": "10.9.0.2"},
}


def test_directors_with_a_network_for_adverts_check_and_copy_connections_from_the_other_one():
    assert rules("image1", APART)["check"] == (
        "tcp",
        [80],
        ["10.9.0.1", "10.9.0.2", "10.0.0.11", "10.0.0.17"],
    )
    opened = rules("director1", APART)
    assert opened["vrrp"] == ("vrrp", [], ["10.9.0.2"])
    assert opened["sync"] == ("udp", [8848], ["10.0.0.17"])


def test_tunnels_come_from_where_directors_send_from():
    opened = rules("image1", APART, forward="tunnel")
    assert opened["tunnel"] == ("ipip", [], opened["check"][2])
    assert "tunnel" not in rules("image1", APART)


def test_a_host_sends_from_the_first_address_in_the_network_and_never_from_a_vip():
    director = host("director1", eth0=link("10.0.0.8", "10.0.0.1", "10.0.0.100"), eth1=link("10.9.0.1"))
    assert rules("image1", {"director1": director})["check"][2] == ["10.0.0.1", "10.0.0.7", "10.0.0.8"]


def test_what_lies_behind_a_router_may_be_reached_from_any_address_of_the_host():
    director = host("director1", eth0=link("10.8.0.1"), eth1=link("10.9.0.1"))
    director |= {"image_cluster_address": "10.9.0.1", "image_cluster_vip_interface": "eth0"}
    checks = rules("image1", {"director1": director}, vip_routed=True)["check"][2]
    assert checks == ["10.9.0.1", "10.0.0.7", "10.8.0.1"]


def test_a_storage_in_a_network_that_may_write_changes_nothing_for_the_daemons_of_others():
    more = {"image3": {**host("image2", eth0=link("10.0.0.9")), "ansible_host": "10.0.0.9"}}
    groups = {"fastdfs_storages": ["image1", "image2", "image3"]}

    def both(networks: list[str]) -> tuple[dict, dict]:
        weights = {"image1": 1, "image2": 1, "image3": 1}
        return made(client_networks=networks), made(more, groups, client_networks=networks, weights=weights)

    before, after = both(["10.0.0.0/24", "10.5.0.0/16"])
    assert before["writers"] == after["writers"] == ["10.0.0.0/24", "10.5.0.0/16"]
    assert before["firewall"]["tracker1"] == after["firewall"]["tracker1"]
    before, after = both(["10.5.0.0/16"])
    assert set(after["writers"]) - set(before["writers"]) == {"10.0.0.9"}


def test_writers_are_those_who_send_and_the_daemons_are_told_the_same():
    client = host("tracker1", eth0=link("10.0.0.44", "10.0.0.4"))
    cluster_made = made({"tracker1": client})
    assert cluster_made["writers"] == [*WRITERS[:3], "10.0.0.44", "10.5.0.0/16"]
    (tracker,) = cluster_made["firewall"]["tracker1"]
    # The host itself needs no rule.
    assert tracker["sources"] == [*WRITERS[1:3], "10.5.0.0/16"]
    (storage,) = (each for each in cluster_made["firewall"]["image1"] if each["name"] == "storage")
    assert storage["sources"] == ["10.0.0.4", "10.0.0.3", "10.0.0.44", "10.5.0.0/16"]


SIX = {
    name: host(name, eth0=link(address, f"fd00::{address.rsplit('.', 1)[1]}", "fe80::1"))
    for name, address in ADDRESSES.items()
}
VIPS6 = ["10.0.0.100", "fd00::100"]


def test_image_servers_are_checked_and_tunnelled_to_over_both_families():
    opened = rules("image1", SIX, vips=VIPS6, forward="tunnel")
    both = ["10.0.0.1", "10.0.0.7", "fd00::1", "fd00::7"]
    assert opened["check"][2] == opened["tunnel"][2] == both
    assert opened["peers"][2] == ["10.0.0.3"]
    assert rules("image1", SIX)["check"][2] == both[:2]


def test_checks_that_nothing_opens_the_ports_to_are_refused():
    groups, settings = GROUPS, SETTINGS | {"vips": VIPS6}
    found = cluster.members(SIX | {"director1": host("director1")}, groups)
    sentences = cluster_problems.problems(settings, found, groups)
    assert [each.split(":")[0] for each in sentences] == [
        "image_cluster_reader_networks would shut out the health checks of director1, which has no global IPv6 address to ask "
        f"{name} (fd00"
        for name in ("image1", "image2")
    ]
    for other in ({"reader_networks": ["::/0"]}, {"director_mode": "static"}):
        alone = groups | {"lvs_directors": ["director1"]}
        assert cluster_problems.problems(settings | other, found, alone) == []


def passes(name: str, groups: dict | None = None, **settings) -> dict:
    """What that host sends and forwards: names with hook, protocol, ports and addresses."""
    told = made({"backup1": {"ansible_host": "10.0.0.51", "ansible_port": 2222}}, groups, **settings)[
        "passes"
    ]
    return {
        each["name"]: (each["hook"], each["protocol"], each["ports"], each["addresses"])
        for each in told[name]
    }


SERVERS = ["10.0.0.2", "10.0.0.3"]


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        (
            "director1",
            {
                "check": ("output", "tcp", [80], SERVERS),
                "read": ("output", "tcp", [80, 443], ["10.0.0.100"]),
                "vrrp": ("output", "vrrp", [], ["10.0.0.7"]),
                "sync": ("output", "udp", [8848], ["224.0.0.81"]),
            },
        ),
        (
            "image1",
            {
                "tracker": ("output", "tcp", [22122], ["10.0.0.4"]),
                "storage": ("output", "tcp", [23000], ["10.0.0.3"]),
                "backup": ("output", "tcp", [2222], ["10.0.0.51"]),
                "peers": ("output", "tcp", [80], ["10.0.0.3"]),
            },
        ),
        ("tracker1", {"storage": ("output", "tcp", [23000], SERVERS)}),
        ("backup1", {}),
    ],
)
def test_each_host_knows_what_it_sends(name, sent):
    assert passes(name, {"fastdfs_backups": ["backup1"]}) == sent


def test_what_a_director_sends_on_depends_on_how_it_forwards():
    assert passes("director1", forward="tunnel")["tunnel"] == ("output", "ipip", [], SERVERS)
    translated = passes("director1", forward="nat", nat_gateway="10.0.0.99")
    assert translated["read"] == ("output", "tcp", [80, 443], SERVERS)
    assert translated["answers"] == ("forward", "tcp", [80, 443], SERVERS)
