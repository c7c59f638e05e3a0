# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parser, against output recorded from ipvsadm 1.31 (``make-table.txt`` is what made the table)."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs import render
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.model import (
    Server,
    ServerId,
    Service,
    ServiceId,
    SyncDaemon,
    Timeouts,
)
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.parse import ParseError, parse

RECORDED = Path(__file__).with_name("fixtures") / "ipvsadm-1.31"
WEB = ServiceId("tcp", "ipv4", "192.0.2.1", 80)


@pytest.fixture(scope="module")
def full():
    return parse((RECORDED / "full.txt").read_text())


def test_all_that_was_put_in_is_read_back(full):
    put_in = parse((RECORDED / "make-table.txt").read_text())
    assert full.services == put_in.services
    assert sum(len(service.servers) for service in full.services.values()) == 12


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        (WEB, {"scheduler": "wrr"}),
        (ServiceId("udp", "ipv4", "192.0.2.1", 53), {"scheduler": "rr", "one_packet": True}),
        (
            ServiceId("udp", "ipv4", "192.0.2.3", 5060),
            {
                "scheduler": "lblcr",
                "persistence_timeout": 60,
                "persistence_netmask": "255.0.255.0",
                "persistence_engine": "sip",
            },
        ),
        (
            ServiceId("sctp", "ipv4", "192.0.2.1", 9),
            {
                "scheduler": "sh",
                "scheduler_flags": ("sh-fallback", "sh-port"),
                "persistence_timeout": 300,
                "persistence_netmask": 24,
            },
        ),
        (
            ServiceId("tcp", "ipv4", "192.0.2.1", 0),
            {
                "scheduler": "mh",
                "scheduler_flags": ("mh-port",),
                "persistence_timeout": 2678400,
                "persistence_netmask": 0,
            },
        ),
        (ServiceId("tcp", "ipv4", "192.0.2.4", 80), {"scheduler": "mh", "scheduler_flags": ("flag-3",)}),
        (ServiceId("fwmark", "ipv4", "", 4294967295), {"scheduler": "rr"}),
        (ServiceId("fwmark", "ipv4", "", 1), {"scheduler": "wlc"}),
        (
            ServiceId("fwmark", "ipv6", "", 1),
            {
                "scheduler": "wrr",
                "scheduler_flags": ("flag-2",),
                "persistence_timeout": 30,
                "persistence_netmask": 64,
            },
        ),
        (ServiceId("tcp", "ipv6", "2001:db8:1111:2222:3333:4444:5555:6666", 8080), {"scheduler": "fo"}),
    ],
)
def test_services(full, name, settings):
    read = full.services[name]
    plain = {"persistence_netmask": 128} if name.family == "ipv6" else {}
    assert read == Service(id=name, servers=read.servers, **{**plain, **settings})


@pytest.mark.parametrize(
    "server",
    [
        Server("192.0.2.10", 80, "dr", 3),
        Server("192.0.2.11", 8080, "nat", 0, 10, 5),
        Server("192.0.2.12", 80, "tunnel", 70000),
        Server("192.0.2.13", 80, "tunnel", 1, 0, 0, "gue", 6080, "checksum"),
        Server("192.0.2.14", 80, "tunnel", 1, 0, 0, "gue", 6080, "remote"),
        Server("192.0.2.15", 80, "tunnel", 1, 0, 0, "gre", 0, "checksum"),
        Server("192.0.2.16", 80, "tunnel", 1, 0, 0, "gre", 0, "none"),
    ],
    ids=lambda server: server.address,
)
def test_real_servers(full, server):
    assert full.services[WEB].servers[server.id] == server


def test_thresholds_of_long_names(full):
    name = ServiceId("tcp", "ipv6", "2001:db8:1111:2222:3333:4444:5555:6666", 8080)
    (server,) = full.services[name].servers.values()
    assert (server.weight, server.upper_threshold, server.lower_threshold) == (65535, 1, 1)


def test_counters(full):
    name = ServiceId("tcp", "ipv4", "192.0.2.2", 2222)
    shape = render.counted_shape(full.table(), full.numbers)
    (service,) = [entry for entry in shape["services"] if entry.get("address") == name.address]
    counted = {counter: service[counter] for counter in render.COUNTERS}
    assert counted == {
        "active_connections": 1,
        "inactive_connections": 3,
        "connections": 4,
        "in_packets": 15,
        "out_packets": 8,
        "in_bytes": 812,
        "out_bytes": 612,
        "connections_per_second": 0,
        "in_packets_per_second": 1,
        "out_packets_per_second": 1,
        "in_bytes_per_second": 68,
        "out_bytes_per_second": 52,
    }
    (server,) = service["servers"]
    assert {counter: server[counter] for counter in render.COUNTERS} == counted
    assert "upper_threshold" not in service


def test_an_empty_table_with_timeouts_daemons_and_version():
    listing = parse((RECORDED / "empty.txt").read_text())
    assert listing.services == {}
    assert listing.timeouts == Timeouts(600, 60, 30)
    assert listing.version == "1.31"
    assert listing.sync_daemons == {
        "master": SyncDaemon("master", "eth0", 7),
        "backup": SyncDaemon("backup", "lo", 0),
    }
    assert render.start_daemon_line(listing.sync_daemons["backup"]) == (
        "--start-daemon backup --mcast-interface lo --syncid 0"
        " --sync-maxlen 65507 --mcast-group 224.0.0.81 --mcast-port 8848 --mcast-ttl 1"
    )


def test_old_ipvsadm_prints_words_instead_of_options():
    listing = parse("-A -u 192.0.2.1:5060 -s rr -p 60 pe sip ops\n")
    (service,) = listing.services.values()
    assert (service.persistence_engine, service.one_packet) == ("sip", True)


def test_one_server_number_is_not_taken_for_another():
    text = "-A -t 192.0.2.1:80 -s wrr\n-a -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 1\n-a -t 192.0.2.1:80 -r 10.0.0.10:80 -g -w 10\n"
    assert [server.weight for server in parse(text).services[WEB].servers.values()] == [1, 10]


@pytest.mark.parametrize(
    "line",
    [
        "-A -t 192.0.2.1:80 -s wrr --new-option 1",
        "-A --xxx-service 192.0.2.1:80 -s wrr",
        "-A -t web:http -s wrr",
        "TCP  web:http wrr",
        "something else",
    ],
)
def test_what_is_not_understood_is_named(line):
    with pytest.raises(ParseError, match=r"not understood: '" + line.replace("-", ".")):
        parse(line)


def test_numbers_of_a_server_that_has_gone_meanwhile_are_harmless():
    text = "-A -t 192.0.2.1:80 -s wrr\nProt Uthreshold Lthreshold ActiveConn InActConn\nTCP  192.0.2.1:80 wrr\n  -> 10.0.0.1:80 5 4 0 0\n"
    listing = parse(text)
    assert listing.services[WEB].servers == {}
    assert (WEB, ServerId("10.0.0.1", 80)) in listing.numbers
