"""What other tables drop.

The rulesets in nftables/ were listed by nft 1.0.6 after it had read the file of the same name, or iptables-nft-restore 1.8.9 its rules.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils.foreign_firewall import foreign_drops

RECORDED = Path(__file__).parent / "nftables"
RULES = {
    "read": ("tcp", [80, 443], ["0.0.0.0/0", "::/0"]),
    "check": ("tcp", [80], ["10.0.0.1", "10.0.0.7", "fd00::1"]),
    "storage": ("tcp", [23000], ["10.0.0.3", "10.5.0.0/16"]),
    "tracker": ("tcp", [22122], ["10.0.0.3"]),
    "vrrp": ("vrrp", [], ["10.0.0.7"]),
    "sync": ("udp", [8848], ["10.0.0.7"]),
    "tunnel": ("ipip", [], ["10.0.0.1", "fd00::1"]),
    "range": ("tcp", ["9000-9010"], ["10.0.0.3"]),
}


def rule(name: str) -> dict:
    protocol, ports, sources = RULES[name]
    return {"name": name, "protocol": protocol, "ports": ports, "sources": sources}


def out(protocol: str, ports: list, *addresses: str, hook: str = "output") -> dict:
    return {"name": "it", "hook": hook, "protocol": protocol, "ports": ports, "addresses": list(addresses)}


def recorded(name: str) -> dict:
    return json.loads((RECORDED / f"{name}.json").read_text())


def added(name: str, rules: list[dict], passes: list[dict] | None = None, own: tuple = ()) -> list[str]:
    """The commands at the end of the sentences."""
    said = foreign_drops(recorded(name), rules, passes or [], own)
    assert all(" of the table " in each and " drops " in each for each in said)
    return [each.split(": add ")[1] for each in said]


@pytest.mark.parametrize("listed", [{}, {"nftables": []}])
def test_nothing_is_said_where_there_is_no_table(listed):
    assert foreign_drops(listed, [rule(name) for name in RULES]) == []


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        (
            "read",
            [
                "nft 'insert rule inet filter input meta nfproto ipv4 tcp dport { 80, 443 } accept'",
                "nft 'insert rule inet filter input meta nfproto ipv6 tcp dport { 80, 443 } accept'",
            ],
        ),
        (
            "check",
            [
                "nft 'insert rule inet filter input ip saddr { 10.0.0.1, 10.0.0.7 } tcp dport { 80 } accept'",
                "nft 'insert rule inet filter input ip6 saddr { fd00::1 } tcp dport { 80 } accept'",
            ],
        ),
        (
            "storage",
            [
                "nft 'insert rule inet filter input ip saddr { 10.0.0.3, 10.5.0.0/16 } tcp dport { 23000 } accept'"
            ],
        ),
        ("vrrp", ["nft 'insert rule inet filter input ip saddr { 10.0.0.7 } meta l4proto 112 accept'"]),
        ("sync", ["nft 'insert rule inet filter input ip saddr { 10.0.0.7 } udp dport { 8848 } accept'"]),
        (
            "tunnel",
            [
                "nft 'insert rule inet filter input ip saddr { 10.0.0.1 } meta l4proto 4 accept'",
                "nft 'insert rule inet filter input ip6 saddr { fd00::1 } meta l4proto 41 accept'",
            ],
        ),
        # The range 1024-21999 is let in.
        ("range", []),
    ],
)
def test_a_policy_that_drops_is_named_with_the_rule_that_it_lacks(name, commands):
    assert added("closed", [rule(name)]) == commands


def test_an_address_in_a_network_that_is_named_too_is_no_element_of_its_own():
    (command,) = added("closed", [rule("storage") | {"sources": ["10.5.0.0/16", "10.5.0.9", "10.0.0.3"]}])
    assert "ip saddr { 10.0.0.3, 10.5.0.0/16 }" in command


def test_the_sentence_says_who_drops_what_from_whom():
    (sentence,) = foreign_drops(recorded("closed"), [rule("storage")])
    assert sentence.startswith(
        "The chain input of the table inet filter drops tcp 23000 from 10.0.0.3, 10.5.0.0/16 (storage): add nft 'insert"
    )


@pytest.mark.parametrize("name", [name for name in RULES if name not in ("range", "tracker")])
def test_what_is_let_in_is_not_spoken_of(name):
    needed = rule(name)
    if name in ("read", "check"):
        # The file says this of all of IPv4 and of one network of IPv6.
        needed["sources"] = [each for each in needed["sources"] if each != "::/0"]
    assert added("open", [needed]) == []


def test_what_is_let_in_from_others_only_is_spoken_of():
    assert added("open", [rule("vrrp") | {"sources": ["10.0.0.9"]}]) != []
    assert added("open", [rule("sync") | {"sources": ["10.0.0.9"]}]) != []
    assert added("open", [rule("check") | {"sources": ["fd01::1"]}]) != []
    assert added("open", [rule("tracker") | {"sources": ["192.0.2.1"]}]) != []
    # A jump to a chain that returns, and a set that ends before it.
    assert added("open", [rule("storage") | {"ports": ["22899"]}]) != []


@pytest.mark.parametrize("name", ["storage", "tracker", "read"])
def test_what_depends_on_things_that_are_not_known_is_not_spoken_of(name):
    needed = rule(name)
    needed["sources"] = [each for each in needed["sources"] if ":" not in each]
    assert added("unsure", [needed]) == []


def test_a_chain_of_zones_that_ends_in_reject_is_seen_and_our_own_table_is_not():
    assert added("zones", [rule("storage")]) == [
        "nft 'insert rule inet firewalld filter_INPUT ip saddr { 10.0.0.3, 10.5.0.0/16 } tcp dport { 23000 } accept'"
    ]
    assert added("zones", [rule("storage")], own=("firewalld",)) == []


def test_a_table_that_iptables_keeps_gets_a_rule_of_iptables():
    assert added("iptables", [rule("check"), rule("vrrp"), rule("range")]) == [
        "iptables -I INPUT -s 10.0.0.1,10.0.0.7 -p tcp --dport 80 -j ACCEPT",
        "iptables -I INPUT -s 10.0.0.7 -p 112 -j ACCEPT",
        "iptables -I INPUT -s 10.0.0.3 -p tcp --dport 9000:9010 -j ACCEPT",
    ]
    assert added("iptables", [rule("read")]) == ["iptables -I INPUT -p tcp --dport 80 -j ACCEPT"]


def test_what_iptables_may_let_in_by_a_match_that_nft_cannot_tell_is_not_spoken_of():
    assert added("iptables-multiport", [rule("storage")]) == []


@pytest.mark.parametrize(
    ("sent", "commands"),
    [
        (
            out("tcp", [22122], "10.0.0.4", "10.0.0.5"),
            ["nft 'insert rule inet filter output ip daddr { 10.0.0.5 } tcp dport { 22122 } accept'"],
        ),
        (out("tcp", [22], "10.0.0.51"), []),
        (
            out("udp", [8848], "224.0.0.81"),
            ["nft 'insert rule inet filter output ip daddr { 224.0.0.81 } udp dport { 8848 } accept'"],
        ),
        (
            out("tcp", [80], "10.0.0.2", hook="forward"),
            ["nft 'insert rule inet filter forward ip saddr { 10.0.0.2 } tcp sport { 80 } accept'"],
        ),
    ],
)
def test_what_is_sent_and_forwarded_counts_too(sent, commands):
    assert added("closed", [], [sent]) == commands


def test_answers_that_iptables_does_not_forward_are_named():
    assert added("iptables", [], [out("tcp", [80, 443], "10.0.0.2", hook="forward")]) == [
        "iptables -I FORWARD -s 10.0.0.2 -p tcp --sport 80 -j ACCEPT"
        " && iptables -I FORWARD -s 10.0.0.2 -p tcp --sport 443 -j ACCEPT"
    ]


def test_chains_that_go_in_circles_end():
    def rule_of(chain: str, target: str) -> dict:
        return {
            "rule": {"family": "ip", "table": "t", "chain": chain, "expr": [{"jump": {"target": target}}]}
        }

    base = {"family": "ip", "table": "t", "name": "a", "type": "filter", "hook": "input", "policy": "drop"}
    listed = {"nftables": [{"chain": base}, rule_of("a", "b"), rule_of("b", "a")]}
    assert foreign_drops(listed, [rule("storage")]) == []
