# Copyright: imageops.lvs_fastdfs contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What other people's nftables tables drop of the traffic that a host of ours needs, and the rule that each of them lacks.

Reads the ruleset as ``nft -j list ruleset`` gives it (libnftables-json(5)). What an expression means for a packet is known, not known, or
depends on what the packet has not said (an interface, a mark), which is None here; a chain is named only when it drops the packet whatever
that is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HOOKS = {"input": ("prerouting", "input"), "output": ("output", "postrouting"), "forward": ("forward",)}
PROTOCOLS = {
    "icmp": 1,
    "igmp": 2,
    "ipip": 4,
    "ipencap": 4,
    "ipv4": 4,
    "tcp": 6,
    "udp": 17,
    "ipv6": 41,
    "gre": 47,
}
PROTOCOLS |= {"esp": 50, "ah": 51, "icmpv6": 58, "ipv6-icmp": 58, "vrrp": 112, "carp": 112, "sctp": 132}
# iptables-nft keeps matches of its own, whose arguments are not told.
XT_STATE = ("conntrack", "state")
XT_VERDICTS = {"REJECT": "drop"}
DEPTH = 16
FAMILIES = {"ip": (4,), "ip6": (6,), "inet": (4, 6)}


@dataclass(frozen=True)
class Packet:
    """The first packet of what a rule needs. ``source`` and ``destination`` are networks, or None when they are not known."""

    hook: str
    version: int
    protocol: int
    sport: tuple[int, int] | None = None
    dport: tuple[int, int] | None = None
    source: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    destination: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None


class Ruleset:
    """Chains, rules and sets of a ruleset, by table."""

    def __init__(self, listed: Mapping[str, Any]) -> None:
        self.chains: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.rules: dict[tuple[str, str, str], list[list[Any]]] = {}
        self.sets: dict[tuple[str, str, str], dict[str, Any]] = {}
        for entry in listed.get("nftables", []):
            for kind, each in entry.items():
                if kind == "chain":
                    self.chains[each["family"], each["table"], each["name"]] = each
                elif kind == "rule":
                    key = (each["family"], each["table"], each["chain"])
                    self.rules.setdefault(key, []).append(each.get("expr", []))
                elif kind in ("set", "map"):
                    self.sets[each["family"], each["table"], each["name"]] = each

    def bases(self, hooks: Sequence[str]) -> Iterator[tuple[tuple[str, str, str], dict[str, Any]]]:
        """The chains at these hooks that decide about packets."""
        for key, chain in self.chains.items():
            if chain.get("hook") in hooks and chain.get("type") == "filter" and key[0] in FAMILIES:
                yield key, chain


def _number(value: object) -> int | None:
    if isinstance(value, str):
        value = PROTOCOLS.get(value, int(value) if value.isdigit() else None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _span(value: object) -> tuple[int, int] | None:
    """First and last of what a right side says: a port, a protocol, an address, a range or a prefix; None for what is none of these."""
    if isinstance(value, Mapping) and "elem" in value:
        value = value["elem"]["val"]
    if isinstance(value, Mapping) and "range" in value:
        first, last = (_span(each) for each in value["range"])
        return (first[0], last[1]) if first and last else None
    if isinstance(value, Mapping) and "prefix" in value:
        value = f"{value['prefix']['addr']}/{value['prefix']['len']}"
    if isinstance(value, str) and (":" in value or value.count(".") == 3):
        try:
            return _ends(ipaddress.ip_network(value, strict=False))
        except ValueError:
            return None
    number = _number(value)
    return None if number is None else (number, number)


def _ends(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> tuple[int, int]:
    return int(network.network_address), int(network.broadcast_address)


def _within(mine: tuple[int, int], spans: Iterable[tuple[int, int] | None]) -> bool | None:
    """Whether all of ``mine`` lies in the spans, or nothing of it; else it depends. A span that could not be read may be anything."""
    at, touched, unread = mine[0], False, False
    for span in sorted(spans, key=lambda each: each or (-1, -1)):
        if span is None:
            unread = True
            continue
        touched = touched or (span[0] <= mine[1] and mine[0] <= span[1])
        if span[0] <= at <= span[1]:
            at = span[1] + 1
    if at > mine[1]:
        return True
    return None if touched or unread else False


def _all(truths: Iterable[bool | None]) -> bool | None:
    truths = list(truths)
    return False if False in truths else None if None in truths else True


def _any(truths: Iterable[bool | None]) -> bool | None:
    truths = list(truths)
    return True if True in truths else None if None in truths else False


def _elements(right: object, ruleset: Ruleset, table: tuple[str, str]) -> list[Any] | None:
    """The alternatives of a right side; None when they are not told or may change by themselves."""
    if isinstance(right, str) and right.startswith("@"):
        named = ruleset.sets.get((*table, right[1:]))
        if named is None or any(each in named.get("flags", []) for each in ("dynamic", "timeout")):
            return None
        return named.get("elem", [])
    if isinstance(right, Mapping) and "set" in right:
        return right["set"]
    return right if isinstance(right, list) else [right]


def _flags(value: object) -> set[str]:
    if isinstance(value, Mapping):
        value = value.get("|", [])
    return {value} if isinstance(value, str) else {each for each in value or [] if isinstance(each, str)}


def _field(left: Mapping[str, Any], packet: Packet) -> Any:
    """What the packet has at the left side of a match: a span, words, False for a field that it has not, or None when it is not known."""
    meta, ct = left.get("meta", {}).get("key"), left.get("ct", {}).get("key")
    told = {
        ("meta", "l4proto"): (packet.protocol, packet.protocol),
        ("meta", "nfproto"): {f"ipv{packet.version}"},
        ("meta", "protocol"): {"ip" if packet.version == 4 else "ip6"},
        ("ct", "state"): {"new"} if packet.hook != "forward" else None,
        # Nobody translates what comes to our ports.
        ("ct", "status"): {"none"},
    }
    return (
        _payload(left["payload"], packet)
        if "payload" in left
        else told.get(("meta", meta) if meta else ("ct", ct))
    )


def _payload(payload: Mapping[str, Any], packet: Packet) -> Any:
    protocol, name = payload.get("protocol"), payload.get("field")
    networks = {"saddr": packet.source, "daddr": packet.destination}
    if protocol in ("ip", "ip6"):
        if packet.version != {"ip": 4, "ip6": 6}[protocol]:
            return False
        if name in ("protocol", "nexthdr"):
            return packet.protocol, packet.protocol
        return _ends(networks[name]) if networks.get(name) else None
    if protocol in PROTOCOLS and PROTOCOLS[protocol] != packet.protocol:
        return False
    ports = {"sport": packet.sport, "dport": packet.dport, "flags": {"syn"}}
    return ports.get(name) if protocol in (*PROTOCOLS, "th") else None


def _equal(left: Any, elements: Sequence[Any] | None, packet: Packet) -> bool | None:
    """Whether the left side is one of the elements."""
    if "concat" in left:
        parts = left["concat"]
        if elements is None:
            return _all([False if _field(each, packet) is False else None for each in parts])
        rows = [
            each.get("concat") or each.get("elem", {}).get("val", {}).get("concat")
            for each in elements
            if isinstance(each, Mapping)
        ]
        return _any(
            [
                None
                if row is None
                else _all([_equal(part, [value], packet) for part, value in zip(parts, row)])
                for row in rows
            ]
        )
    if left.get("meta", {}).get("key") in ("iifname", "iif", "oifname", "oif"):
        # It comes from another host and goes to one.
        return False if elements == ["lo"] else None
    mine = _field(left, packet)
    if mine is False or mine is None or elements is None:
        return False if mine is False else None
    if isinstance(mine, set):
        words = set()
        for each in elements:
            words |= _flags(each)
        return bool(mine & words)
    return _within(mine, [_span(each) for each in elements])


def _match(match: Mapping[str, Any], packet: Packet, ruleset: Ruleset, table: tuple[str, str]) -> bool | None:
    left, operator = match["left"], match["op"]
    if isinstance(left, Mapping) and "&" in left:
        inner, mask = left["&"]
        mine = _field(inner, packet)
        if mine is False:
            return False
        said = (mine & _flags(mask)) == _flags(match["right"]) if isinstance(mine, set) else None
    elif operator in ("==", "!=", "in") and isinstance(left, Mapping):
        said = _equal(left, _elements(match["right"], ruleset, table), packet)
        if said is False and operator == "!=" and _lacks(left, packet):
            return False
    else:
        return None
    return (not said) if operator == "!=" and said is not None else said


def _lacks(left: Mapping[str, Any], packet: Packet) -> bool:
    """Whether the packet has no such field at all, so that even "is not" is not true."""
    return "payload" in left and _field(left, packet) is False


NEUTRAL = ("counter", "log", "comment", "mangle", "notrack", "ct helper", "set", "map", "meter")
UNSURE = ("limit", "quota", "ct count")


def _outcomes(
    verdict: Mapping[str, Any], packet: Packet, ruleset: Ruleset, key: tuple[str, str, str], depth: int
) -> set[str]:
    """What a verdict may end in: accept, drop, return (to the chain before) or continue."""
    kind, value = next(iter(verdict.items()))
    if kind in ("accept", "drop", "return", "continue"):
        return {kind}
    if kind == "reject":
        return {"drop"}
    if kind in ("jump", "goto"):
        seen = _chain((key[0], key[1], value["target"]), packet, ruleset, depth + 1)
        # After goto nobody comes back here.
        return {{"jump": "continue", "goto": "return"}[kind] if each == "return" else each for each in seen}
    # A program decides (queue), or something that this does not know.
    return {"accept", "drop", "continue"}


def _rule(
    expressions: Sequence[Mapping[str, Any]],
    packet: Packet,
    ruleset: Ruleset,
    key: tuple[str, str, str],
    depth: int,
) -> set[str]:
    """What a rule may end in. ``continue`` is among it when the rule may not match."""
    truths: list[bool | None] = []
    for expression in expressions:
        kind, value = next(iter(expression.items()))
        if kind == "match":
            truths.append(_match(value, packet, ruleset, key[:2]))
            if truths[-1] is False:
                return {"continue"}
        elif kind in UNSURE or (kind == "xt" and value["type"] == "match" and value["name"] != "comment"):
            truths.append(None)
        elif kind == "vmap":
            return _vmap(value, truths, packet, ruleset, key, depth)
        elif kind == "xt" or kind not in NEUTRAL:
            name = XT_VERDICTS.get(value.get("name", "")) if kind == "xt" else kind
            if name is None:
                continue
            if name == "accept" and _goes_on(expressions):
                return {"continue"}
            ends = _outcomes({name: value}, packet, ruleset, key, depth)
            return ends if _all(truths) else ends | {"continue"}
    return {"continue"}


def _goes_on(expressions: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a rule of iptables is for connections that are there already.

    It asks for states without telling which. Where it asks for nothing else, new ones would be everybody's to everything.
    """
    lefts = [each["match"]["left"] for each in expressions if "match" in each]
    foreign = {each["xt"]["name"] for each in expressions if "xt" in each} - {"comment"}
    return (
        bool(foreign)
        and foreign <= set(XT_STATE)
        and all(left == {"meta": {"key": "l4proto"}} for left in lefts)
    )


def _vmap(
    value: Mapping[str, Any],
    truths: list[bool | None],
    packet: Packet,
    ruleset: Ruleset,
    key: tuple[str, str, str],
    depth: int,
) -> set[str]:
    rows = _elements(value["data"], ruleset, key[:2])
    if rows is None:
        return {"accept", "drop", "continue"}
    seen: set[str] = set()
    for element, verdict in rows:
        said = _all([*truths, _equal(value["key"], [element], packet)])
        if said is not False:
            seen |= _outcomes(verdict, packet, ruleset, key, depth)
        if said:
            return seen
    return seen | {"continue"}


def _chain(key: tuple[str, str, str], packet: Packet, ruleset: Ruleset, depth: int = 0) -> set[str]:
    """What a chain may end in: accept, drop, or return."""
    if depth > DEPTH:
        return {"accept", "drop", "return"}
    seen: set[str] = set()
    for expressions in ruleset.rules.get(key, []):
        ends = _rule(expressions, packet, ruleset, key, depth)
        seen |= ends - {"continue"}
        if "continue" not in ends:
            return seen
    return seen | {"return"}


def _dropped(key: tuple[str, str, str], policy: str, packet: Packet, ruleset: Ruleset) -> bool:
    """Whether this chain drops the packet whatever is not known of it."""
    if packet.version not in FAMILIES[key[0]]:
        return False
    return {policy if each == "return" else each for each in _chain(key, packet, ruleset)} == {"drop"}


def _spans(ports: Sequence[object]) -> list[tuple[int, int] | None]:
    made: list[tuple[int, int] | None] = []
    for port in ports:
        first, dash, last = str(port).partition("-")
        made.append((int(first), int(last if dash else first)))
    return made or [None]


def _packets(need: Mapping[str, Any]) -> Iterator[tuple[str, object, Packet]]:
    """The packets of a need: each with the address and the port that it stands for."""
    for address in need["addresses"]:
        network = ipaddress.ip_network(address, strict=False)
        protocol = need["protocol"]
        number = PROTOCOLS["ipv6"] if protocol == "ipip" and network.version == 6 else PROTOCOLS[protocol]
        far = {"source": network} if need["hook"] != "output" else {"destination": network}
        for port, span in zip(need["ports"] or [""], _spans(need["ports"])):
            near = {"sport": span} if need["hook"] == "forward" else {"dport": span}
            yield address, port, Packet(need["hook"], network.version, number, **far, **near)


def _collapsed(addresses: Sequence[str]) -> list[str]:
    """The same addresses without those that lie in others; none for everybody."""
    networks = list(
        ipaddress.collapse_addresses(ipaddress.ip_network(each, strict=False) for each in addresses)
    )
    if networks[0].prefixlen == 0:
        return []
    return [str(each.network_address if each.prefixlen == each.max_prefixlen else each) for each in networks]


def _command(
    key: tuple[str, str, str],
    need: Mapping[str, Any],
    version: int,
    addresses: Sequence[str],
    ports: Sequence[object],
) -> str:
    """The command that adds the rule which the chain lacks."""
    number = {"ipip": 4 if version == 4 else 41, "vrrp": 112}.get(need["protocol"])
    far, near = {"input": ("s", "dport"), "output": ("d", "dport"), "forward": ("s", "sport")}[need["hook"]]
    addresses = _collapsed(addresses)
    if key[:2] in (("ip", "filter"), ("ip6", "filter")) and key[2].isupper():
        # iptables keeps this table, and knows only rules of its own. One with several ports would be one that nft cannot tell.
        words = ["iptables" if version == 4 else "ip6tables", "-I", key[2]]
        words += [f"-{far}", ",".join(addresses)] if addresses else []
        words += ["-p", str(number or need["protocol"])]
        asked = [[f"--{near}", str(each).replace("-", ":")] for each in ports] if number is None else [[]]
        return " && ".join(" ".join([*words, *each, "-j", "ACCEPT"]) for each in asked)
    words = [f"meta nfproto ipv{version}"] if key[0] == "inet" else []
    if addresses:
        words = [f"{'ip' if version == 4 else 'ip6'} {far}addr {{ {', '.join(addresses)} }}"]
    if number is None:
        words.append(f"{need['protocol']} {near} {{ {', '.join(map(str, ports))} }}")
    else:
        words.append(f"meta l4proto {number}")
    return f"nft 'insert rule {' '.join([*key, *words])} accept'"


def foreign_drops(
    listed: Mapping[str, Any],
    rules: Sequence[Mapping[str, Any]],
    passes: Sequence[Mapping[str, Any]] = (),
    own: Sequence[str] = (),
) -> list[str]:
    """A sentence for each chain of another table that drops what this host needs, with the rule that it lacks.

    ``listed`` is what ``nft -j list ruleset`` says. ``rules`` have ``name``, ``protocol`` (tcp, udp, ipip or vrrp), ``ports`` and ``sources``.
    ``passes`` have ``addresses`` in place of sources, and ``hook``: output is to these addresses and ports, forward comes from them. ``own``
    names tables that are not looked at. Raises ValueError for an address that is none.
    """
    ruleset = Ruleset(listed)
    needs = [{**rule, "hook": "input", "addresses": rule["sources"]} for rule in rules] + list(passes)
    said = []
    for need in needs:
        for key, chain in ruleset.bases(HOOKS[need["hook"]]):
            if key[1] in own:
                continue
            policy = chain.get("policy", "accept")
            shut: dict[tuple[int, object], list[str]] = {}
            for address, port, packet in _packets(need):
                if _dropped(key, policy, packet, ruleset):
                    shut.setdefault((packet.version, port), []).append(address)
            # Ports with the same addresses are one rule.
            rows: dict[tuple[int, tuple[str, ...]], list[object]] = {}
            for (version, port), addresses in shut.items():
                rows.setdefault((version, tuple(addresses)), []).append(port)
            for (version, addresses), ports in rows.items():
                way = {"input": "from", "output": "to", "forward": "from"}[need["hook"]]
                what = " ".join([need["protocol"], ", ".join(map(str, ports))]).strip()
                said.append(
                    f"The chain {key[2]} of the table {key[0]} {key[1]} drops {what} {way} {', '.join(addresses)} ({need['name']}): "
                    f"add {_command(key, need, version, addresses, ports)}"
                )
    return said
