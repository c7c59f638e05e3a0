# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exact lines, and their order."""

from __future__ import annotations

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs import render
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.desired import desired
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.model import (
    SyncDaemon,
    Table,
    Timeouts,
)
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.plan import (
    plan,
    policy,
    refused_by_kernel,
    settle,
)

WEB = {"address": "192.0.2.1", "port": 80, "scheduler": "wrr"}
A = {"address": "10.0.0.1"}
B = {"address": "10.0.0.2"}


def table(*services: dict, **rest) -> Table:
    return Table(desired(list(services)).services, **rest)


def lines(before: Table, after: Table) -> list[str]:
    return [step.line for step in plan(before, after)]


@pytest.mark.parametrize(
    ("service", "line"),
    [
        (WEB, "-A -t 192.0.2.1:80 -s wrr"),
        ({**WEB, "protocol": "udp", "one_packet": True}, "-A -u 192.0.2.1:80 -s wrr -o"),
        ({**WEB, "protocol": "sctp"}, "-A --sctp-service 192.0.2.1:80 -s wrr"),
        ({**WEB, "persistence_timeout": 9}, "-A -t 192.0.2.1:80 -s wrr -p 9 -M 255.255.255.255"),
        (
            {**WEB, "persistence_timeout": 9, "persistence_netmask": 20},
            "-A -t 192.0.2.1:80 -s wrr -p 9 -M 255.255.240.0",
        ),
        (
            {**WEB, "persistence_timeout": 9, "persistence_engine": "sip"},
            "-A -t 192.0.2.1:80 -s wrr -p 9 -M 255.255.255.255 --pe sip",
        ),
        (
            {**WEB, "scheduler": "mh", "scheduler_flags": ["mh-port", "flag-1"]},
            "-A -t 192.0.2.1:80 -s mh -b mh-fallback,mh-port",
        ),
        ({"address": "2001:DB8::1", "port": 80}, "-A -t [2001:db8::1]:80 -s wlc"),
        ({"fwmark": 4294967295}, "-A -f 4294967295 -s wlc"),
        (
            {"fwmark": 1, "family": "ipv6", "persistence_timeout": 9, "persistence_netmask": 64},
            "-A -f 1 -6 -s wlc -p 9 -M 64",
        ),
    ],
)
def test_a_service_is_added_with_every_attribute(service, line):
    assert lines(Table(), table(service)) == [line]


@pytest.mark.parametrize(
    ("server", "options"),
    [
        ({}, "-g -w 1 -x 0 -y 0"),
        ({"weight": 0, "upper_threshold": 9, "lower_threshold": 8}, "-g -w 0 -x 9 -y 8"),
        ({"forward": "nat"}, "-m -w 1 -x 0 -y 0"),
        ({"forward": "tunnel"}, "-i -w 1 -x 0 -y 0"),
        (
            {"forward": "tunnel", "tunnel_type": "gue", "tunnel_port": 6080, "tunnel_checksum": "remote"},
            "-i -w 1 -x 0 -y 0 --tun-type gue --tun-port 6080 --tun-remcsum",
        ),
        ({"forward": "tunnel", "tunnel_type": "gre"}, "-i -w 1 -x 0 -y 0 --tun-type gre --tun-nocsum"),
        (
            {"forward": "tunnel", "tunnel_type": "gre", "tunnel_checksum": "checksum"},
            "-i -w 1 -x 0 -y 0 --tun-type gre --tun-csum",
        ),
    ],
)
def test_a_real_server_is_added_and_edited_with_every_attribute(server, options):
    after = table({**WEB, "servers": [{**A, **server}]})
    assert lines(table(WEB), after) == [f"-a -t 192.0.2.1:80 -r 10.0.0.1:80 {options}"]
    other = table({**WEB, "servers": [{**A, **server, "weight": 77}]})
    assert (
        lines(other, after)[0].startswith("-e -t 192.0.2.1:80 -r 10.0.0.1:")
        and options in lines(other, after)[0]
    )


@pytest.mark.parametrize(
    "change",
    [
        {"scheduler": "rr"},
        {"scheduler_flags": ["flag-1"]},
        {"persistence_timeout": 9},
        {"persistence_timeout": 9, "persistence_netmask": 24},
        {"persistence_timeout": 9, "persistence_engine": "sip"},
    ],
)
def test_each_attribute_of_a_service_is_compared(change):
    (line,) = lines(table(WEB), table({**WEB, **change}))
    assert line.startswith("-E -t 192.0.2.1:80 ")
    (line,) = lines(table({**WEB, **change}), table(WEB))
    assert line == "-E -t 192.0.2.1:80 -s wrr"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"persistence_timeout": 9}, {"persistence_timeout": 8}),
        ({"persistence_timeout": 9}, {"persistence_timeout": 9, "persistence_netmask": 24}),
        ({"protocol": "udp"}, {"protocol": "udp", "one_packet": True}),
    ],
)
def test_attributes_that_need_others_are_compared(one, other):
    before, after = table({**WEB, **one}), table({**WEB, **other})
    assert len(lines(before, after)) == len(lines(after, before)) == 1


@pytest.mark.parametrize("purge", ["servers", "services"])
def test_real_servers_that_are_not_spoken_of_are_not_purged(purge):
    before = table({**WEB, "servers": [A, B]})
    rules = policy(purge, ["192.0.2.0/24"])
    assert lines(before, settle(before, desired([WEB]), rules)) == []
    assert len(lines(before, settle(before, desired([{**WEB, "servers": []}]), rules))) == 2


@pytest.mark.parametrize(
    ("keep", "stands", "weight"),
    [
        ("none", 0, 5),
        ("none", 1, 5),
        ("drained", 0, 0),
        ("drained", 1, 5),
        ("drained", None, 5),
        ("all", 0, 0),
        ("all", 1, 1),
        ("all", None, 5),
    ],
)
def test_weights_that_stand_are_kept_as_the_rules_say(keep, stands, weight):
    before = table({**WEB, "servers": [] if stands is None else [{**A, "weight": stands}]})
    after = settle(before, desired([{**WEB, "servers": [{**A, "weight": 5}]}]), policy(keep_weights=keep))
    assert [server.weight for service in after.services.values() for server in service.servers.values()] == [
        weight
    ]


def test_purge_stays_inside_its_scope():
    outside = {**WEB, "address": "198.51.100.1", "servers": [A, B]}
    before = table({**WEB, "servers": [A, B]}, outside, {"fwmark": 100}, {"fwmark": 7})
    rules = policy("services", ["192.0.2.0/24", "fwmark:1-99"])
    asked = desired([{**WEB, "servers": [A]}, {**outside, "servers": [A]}])
    assert lines(before, settle(before, asked, rules)) == ["-d -t 192.0.2.1:80 -r 10.0.0.2:80", "-D -f 7"]


@pytest.mark.parametrize(
    "change",
    [
        {"weight": 2},
        {"weight": 0},
        {"upper_threshold": 1},
        {"upper_threshold": 1, "lower_threshold": 1},
        {"forward": "nat"},
        {"forward": "tunnel"},
        {"forward": "tunnel", "tunnel_type": "gre"},
        {"forward": "tunnel", "tunnel_type": "gre", "tunnel_checksum": "checksum"},
        {"forward": "tunnel", "tunnel_type": "gue", "tunnel_port": 1},
    ],
)
def test_each_attribute_of_a_real_server_is_compared(change):
    plain, changed = table({**WEB, "servers": [A]}), table({**WEB, "servers": [{**A, **change}]})
    for before, after in ((plain, changed), (changed, plain)):
        (line,) = lines(before, after)
        assert line.startswith("-e -t 192.0.2.1:80 -r 10.0.0.1:80 ")


def test_additions_come_first_then_drains_then_deletions():
    before = table(
        {"fwmark": 9, "servers": [A]},
        {**WEB, "servers": [A, B, {"address": "10.0.0.3"}]},
    )
    after = table(
        {
            **WEB,
            "scheduler": "rr",
            "servers": [{**A, "weight": 0}, {**B, "weight": 5}, {"address": "10.0.0.4"}],
        },
        {"fwmark": 1, "servers": [A]},
    )
    assert lines(before, after) == [
        "-E -t 192.0.2.1:80 -s rr",
        "-e -t 192.0.2.1:80 -r 10.0.0.2:80 -g -w 5 -x 0 -y 0",
        "-a -t 192.0.2.1:80 -r 10.0.0.4:80 -g -w 1 -x 0 -y 0",
        "-A -f 1 -s wlc",
        "-a -f 1 -r 10.0.0.1:0 -g -w 1 -x 0 -y 0",
        "-e -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 0 -x 0 -y 0",
        "-d -t 192.0.2.1:80 -r 10.0.0.3:80",
        "-D -f 9",
    ]


def test_timeouts_and_daemons():
    before = Table(
        sync_daemons={"master": SyncDaemon("master", "eth0", 1), "backup": SyncDaemon("backup", "eth0", 1)}
    )
    after = Table({}, Timeouts(600, 120, 300), {"master": SyncDaemon("master", "eth1", 1)})
    assert lines(before, after) == [
        "--stop-daemon master",
        "--stop-daemon backup",
        "--set 600 120 300",
        "--start-daemon master --mcast-interface eth1 --syncid 1",
    ]


def test_a_daemon_that_is_as_asked_keeps_its_other_options():
    standing = SyncDaemon("master", "eth0", 1, (("--mcast-ttl", "7"),))
    wanted = desired([], None, [{"role": "master", "interface": "eth0", "sync_id": 1}])
    after = settle(Table(sync_daemons={"master": standing}), wanted, policy())
    assert after.sync_daemons["master"].extra == (("--mcast-ttl", "7"),)


def test_daemons_and_timeouts_that_are_left_out_are_left_alone():
    before = Table({}, Timeouts(1, 2, 3), {"master": SyncDaemon("master", "eth0", 1)})
    assert settle(before, desired([]), policy()) == before
    assert settle(before, desired([], {"udp": 9}, []), policy()) == Table({}, Timeouts(1, 2, 9), {})


def test_the_kernel_has_no_daemon_beside_mixed_families():
    mixed = {**WEB, "servers": [{"address": "2001:db8::9", "forward": "tunnel"}]}
    after = table(mixed, sync_daemons={"master": SyncDaemon("master", "eth0", 1)})
    (problem,) = refused_by_kernel(after)
    assert problem.startswith(
        "tcp 192.0.2.1:80, [2001:db8::9]:80: address: the kernel lets no sync daemon run"
    )
    assert refused_by_kernel(table(mixed)) == []


def test_a_listing_for_people():
    mixed = {
        "address": "2001:db8::9",
        "forward": "tunnel",
        "tunnel_type": "gue",
        "tunnel_port": 6080,
        "weight": 0,
    }
    full = table(
        {**WEB, "servers": [B, {**A, "forward": "nat", "port": 8080, "upper_threshold": 9}, mixed]},
        {
            "fwmark": 1,
            "scheduler": "sh",
            "scheduler_flags": ["sh-port"],
            "persistence_timeout": 60,
            "persistence_netmask": 24,
        },
        sync_daemons={"backup": SyncDaemon("backup", "eth0", 7)},
    )
    assert render.listing(full).splitlines() == [
        "fwmark 1 sh sh-port persistent 60 s per /24",
        "tcp 192.0.2.1:80 wrr",
        "  10.0.0.1:8080 nat weight 1 thresholds 9/0",
        "  10.0.0.2:80 dr weight 1",
        "  [2001:db8::9]:80 tunnel gue:6080, checksum none weight 0",
        "timeouts tcp 900 tcp_fin 120 udp 300",
        "sync daemon backup on eth0, sync_id 7",
    ]
