"""What clients get from a real kernel: traffic in the proportions of the weights, and everything else that a table promises."""

from __future__ import annotations

import pytest

SHARES = {"web1": 6, "web2": 4, "web3": 2}  # twelve connections by the weights 3, 2 and 1
HALF = {name: count // 2 for name, count in SHARES.items()}
KINDS = ["tcp", "udp", "sctp", "ipv6"]


@pytest.fixture(scope="module")
def traffic(machine):
    return machine("traffic.py")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("forward", ["dr", "tunnel", "nat"])
def test_connections_come_in_the_proportions_of_the_weights(traffic, forward, kind):
    assert traffic["balances"][forward][kind] == SHARES


@pytest.mark.parametrize("forward", ["dr", "tunnel", "nat"])
def test_a_firewall_mark_joins_ports(traffic, forward):
    assert traffic["balances"][forward]["fwmark"] == {"80": HALF, "8080": HALF}


def test_nat_can_change_the_port(traffic):
    assert traffic["balances"]["nat"]["other port"] == SHARES


def test_every_scheduler_of_the_kernel_carries_connections(traffic):
    found = traffic["schedulers"]
    assert {"rr", "wrr", "lc", "wlc", "sh", "mh"} <= set(found)
    assert {name: sum(counts.values()) for name, counts in found.items()} == dict.fromkeys(found, 12)
    assert not [name for name, counts in found.items() if "-" in counts]


def test_schedulers_do_what_their_names_say(traffic):
    found = traffic["schedulers"]
    assert found["rr"] == {"web1": 4, "web2": 4, "web3": 4}
    assert found["wrr"] == SHARES
    assert found["fo"] == {"web1": 12}
    for name in ("sh", "mh", "dh"):  # one client, one real server
        assert len(found[name]) == 1
    for name in ("sh+sh-port", "mh+mh-port"):  # with the flag, each port is a client
        assert len(found[name]) > 1


def test_a_client_stays_with_its_server(traffic):
    client, neighbour, stranger = traffic["persistence"]["32"]
    assert {count for found in (client, neighbour, stranger) for count in found.values()} == {4}
    assert client != neighbour
    client, neighbour, stranger = traffic["persistence"]["24"]
    assert client == neighbour
    assert client != stranger


def test_a_server_at_its_upper_threshold_gets_no_more(traffic):
    assert traffic["thresholds"] == {"web1": 2, "web2": 6, "web3": 0}


def test_a_connection_lives_as_long_as_the_timeout_says(traffic):
    assert traffic["timeouts"]["held"] == {"tcp": 77, "tcp_fin": 33, "udp": 22}
    ((minutes, seconds),) = [map(int, text.split(":")) for text in traffic["timeouts"]["expire"]]
    assert 60 < minutes * 60 + seconds <= 77


def test_a_second_director_hears_of_connections(traffic):
    assert traffic["sync"] == {"held": [["master", "eth0", 9]], "told": True, "left": 0}


def test_counters(traffic):
    service = traffic["counters"]
    assert (service["connections"], service["active_connections"]) == (6, 1)
    assert service["in_packets"] > 6 * 3
    assert service["out_packets"] == 0  # answers do not come through a director of direct routing
    assert {server["address"]: server["connections"] for server in service["servers"]} == {
        "10.9.0.11": 3,
        "10.9.0.12": 2,
        "10.9.0.13": 1,
    }


def test_a_drain_waits_for_open_connections_and_keeps_new_ones_away(traffic):
    drained = traffic["drain"]
    assert drained["weights"] == [0, 2, 1]
    assert drained["meanwhile"] == {"web2": 2, "web3": 2}
    assert drained["looks"] == 2
    assert drained["left"] == 0
