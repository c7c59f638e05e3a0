"""Who gets readers, by a director's table."""

from __future__ import annotations

from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils.pool import (
    pool_away,
    pool_drained,
    pool_order,
    pool_serving,
    pool_stands,
    pool_weights,
)

MEMBERS = {
    "image1": {"address": "10.0.0.2", "address6": "fd00::2"},
    "image2": {"address": "10.0.0.3", "address6": "fd00::3"},
}
PLAN = {
    "roles": {"image_servers": ["image1", "image2"]},
    "members": MEMBERS,
    "services": [{"fwmark": 1, "family": "ipv4"}, {"fwmark": 1, "family": "ipv6"}],
}


def table(first4, first6, second=1):
    def pool(*weights):
        return [
            {"address": address, "weight": weight, "active_connections": 0}
            for address, weight in weights
            if weight is not None
        ]

    return [
        {"fwmark": 1, "family": "ipv4", "servers": pool(("10.0.0.2", first4), ("10.0.0.3", second))},
        {"fwmark": 1, "family": "ipv6", "servers": pool(("fd00:0::2", first6), ("fd00::3", second))},
        # Somebody else's service on the same hosts.
        {
            "protocol": "tcp",
            "address": "10.0.0.100",
            "port": 25,
            "family": "ipv4",
            "servers": pool(("10.0.0.2", 9)),
        },
    ]


def test_weights_are_those_of_our_services_in_both_families():
    assert pool_weights(table(2, 3), PLAN, "image1") == [2, 3]
    assert pool_weights(table(None, None), PLAN, "image1") == []


def test_a_server_serves_when_it_stands_in_every_service_with_a_weight():
    assert pool_serving(table(1, 1), PLAN) == ["image1", "image2"]
    assert pool_serving(table(0, 1), PLAN) == ["image2"]
    assert pool_serving(table(1, None), PLAN) == ["image2"]
    assert pool_serving(table(None, None, 0), PLAN) == []


def test_services_by_address_are_told_apart_by_protocol_address_and_port():
    planned = [{"protocol": "tcp", "address": "fd00::64", "port": 80}]
    found = [
        {
            "protocol": "tcp",
            "address": "fd00:0:0::64",
            "port": 80,
            "servers": [{"address": "fd00::2", "weight": 4, "active_connections": 7}],
        },
        {
            "protocol": "tcp",
            "address": "fd00::64",
            "port": 8080,
            "servers": [{"address": "fd00::2", "weight": 5, "active_connections": 1}],
        },
    ]
    plan = {**PLAN, "services": planned}
    assert pool_weights(found, plan, "image1") == [4]
    results = [{"item": "director1", "services": found}, {"item": "director2", "services": []}]
    assert pool_stands(results, plan, "image1") == [
        {
            "director": "director1",
            "server": "fd00::2",
            "services": [{"address": "fd00:0:0::64", "port": 80, "protocol": "tcp"}],
            "weights": [4],
            "active": 7,
        }
    ]


def test_a_server_is_drained_when_it_stands_with_the_weight_0_only():
    assert pool_drained(table(0, 0), PLAN) == ["image1"]
    assert pool_drained(table(0, 1), PLAN) == []
    assert pool_drained(table(None, None), PLAN) == []


def test_a_group_is_away_when_a_batch_takes_all_its_members():
    groups = {"image1": "group1", "image2": "group1", "image3": "group2", "image4": "group2"}
    plan = {"roles": {"image_servers": list(groups)}, "members": {h: {"group": g} for h, g in groups.items()}}
    assert pool_away(plan, 1) == []
    assert pool_away(plan, 2) == [["image1", "image2"], ["image3", "image4"]]
    plan["roles"] = {"image_servers": ["image1", "image3", "image2", "image4"]}
    assert pool_away(plan, 2) == []
    plan["roles"] = {"image_servers": ["image1", "image3", "image4"]}
    assert pool_away(plan, 1) == [["image1"]]


def test_a_directors_table_gets_the_order_of_the_one_with_the_vips():
    head = "three lines\nthat are\nheaders\n"
    first = "  -> 0A000002:0000      Route   1      0          0         \n"
    second = "  -> 0A000003:0000      Route   2      0          0         \n"
    rules = (
        "\n=\n-A -f 1 -s mh -b mh-fallback\n-a -f 1 -r 10.0.0.2:0 -g -w 1\n-a -f 1 -r 10.0.0.3:0 -g -w 2\n"
    )
    own, holder = (
        f"{head}FWM  00000001 mh \n{servers}{rules}" for servers in (first + second, second + first)
    )
    assert pool_order(own, holder) == [
        "-d -f 1 -r 10.0.0.2:0",
        "-a -f 1 -r 10.0.0.2:0 -g -w 1 -x 0 -y 0",
        "-d -f 1 -r 10.0.0.3:0",
        "-a -f 1 -r 10.0.0.3:0 -g -w 2 -x 0 -y 0",
    ]
    assert pool_order(own, own) == []
