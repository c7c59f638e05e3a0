# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Input: what is normalised, and what is refused with which sentence."""

from __future__ import annotations

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.desired import InputError, desired
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.model import (
    Server,
    ServerId,
    Service,
    ServiceId,
)
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.plan import policy

WEB = {"address": "192.0.2.1", "port": 80}
REAL = {"address": "10.0.0.1"}
WHERE = r"^services\[0\] \(tcp 192.0.2.1 port 80\)"
SERVER = WHERE + r", servers\[0\] \(10.0.0.1\): "


def one(**fields) -> Service:
    (service,) = desired([{**WEB, **fields}]).services.values()
    return service


def one_server(service: dict | None = None, **fields) -> Server:
    (service,) = desired([{**(service or WEB), "servers": [{**REAL, **fields}]}]).services.values()
    (server,) = service.servers.values()
    return server


def test_defaults():
    assert one() == Service(ServiceId("tcp", "ipv4", "192.0.2.1", 80), "wlc", (), 0, 32, "", False, {})
    assert one_server() == Server("10.0.0.1", 80, "dr", 1, 0, 0, "ipip", 0, "none")


@pytest.mark.parametrize("written", ["2001:db8::1", "2001:DB8:0:0:0:0:0:1", "2001:0db8::0001"])
def test_equal_addresses_written_differently_are_equal(written):
    (name,) = desired([{"address": written, "port": 80}]).services
    assert name == ServiceId("tcp", "ipv6", "2001:db8::1", 80)


@pytest.mark.parametrize(
    ("service", "server", "port"),
    [
        (WEB, {}, 80),
        (WEB, {"port": 8080}, 80),
        (WEB, {"port": 8080, "forward": "tunnel"}, 80),
        (WEB, {"port": 8080, "forward": "nat"}, 8080),
        (WEB, {"port": 0, "forward": "nat"}, 0),
        ({"fwmark": 1}, {}, 0),
        ({"fwmark": 1}, {"port": 8080}, 8080),
        ({"fwmark": 1}, {"port": 8080, "forward": "nat"}, 8080),
    ],
)
def test_ports_of_real_servers(service, server, port):
    assert one_server(service, **server).port == port


@pytest.mark.parametrize(
    ("scheduler", "flags", "normal"),
    [
        ("mh", ["flag-1", "mh-port"], ("mh-fallback", "mh-port")),
        ("mh", ["mh-port", "flag-2"], ("mh-port",)),
        ("sh", ["flag-2", "flag-1"], ("sh-fallback", "sh-port")),
        ("wrr", ["flag-3", "flag-1"], ("flag-1", "flag-3")),
    ],
)
def test_flags_have_the_names_that_ipvsadm_prints(scheduler, flags, normal):
    assert one(scheduler=scheduler, scheduler_flags=flags).scheduler_flags == normal


def test_absent_and_unmanaged_are_told_apart():
    wanted = desired([WEB, {**WEB, "port": 81, "state": "absent"}, {**WEB, "port": 82, "servers": []}])
    assert wanted.absent == {ServiceId("tcp", "ipv4", "192.0.2.1", 81)}
    assert wanted.unmanaged == {ServiceId("tcp", "ipv4", "192.0.2.1", 80)}
    assert len(wanted.services) == 2


def test_an_absent_service_needs_its_name_only():
    every_port = {"address": "192.0.2.1", "port": 0, "state": "absent"}
    assert desired([every_port]).absent == {ServiceId("tcp", "ipv4", "192.0.2.1", 0)}


@pytest.mark.parametrize(
    ("mask", "kept"),
    [("255.255.255.0", 24), ("0.0.0.0", 0), (0, 0), ("24", 24), ("255.0.255.0", "255.0.255.0")],
)
def test_a_netmask_may_be_what_ipvs_info_returns(mask, kept):
    assert one(persistence_timeout=1, persistence_netmask=mask).persistence_netmask == kept


@pytest.mark.parametrize(("written", "meant"), [("yes", True), ("false", False), (0, False), (None, False)])
def test_yes_and_no_may_be_written_as_text(written, meant):
    assert one(protocol="udp", one_packet=written).one_packet is meant


def test_zero_is_a_value():
    assert one_server(weight=0).weight == 0


@pytest.mark.parametrize("written", ["7", " 7", "7\n", "+7", "7.0", 7.0])
def test_integers_may_be_what_templates_make(written):
    assert one_server(weight=written).weight == 7


def test_a_tunnel_to_another_family_is_allowed():
    server = one_server({**WEB}, address="2001:db8::9", forward="tunnel")
    assert server.id == ServerId("2001:db8::9", 80)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"protocol": "icmp"},
            r"services\[0\] \(icmp 192.0.2.1 port 80\): protocol: must be one of tcp, udp, sctp, not 'icmp'",
        ),
        ({"fwmark": 1}, r": give either fwmark or address, not both"),
        ({"address": None}, r"^services\[0\]: give either fwmark or address, there is neither"),
        ({"family": "ipv4"}, WHERE + ": family: goes with fwmark only"),
        ({"address": "192.0.2.300"}, r"address: '192.0.2.300' is not an IP address"),
        ({"address": "192.0.2.010"}, r"address: '192.0.2.010' is not an IP address"),
        ({"address": "fe80::1%eth0"}, r"address: 'fe80::1%eth0' is not an IP address"),
        ({"address": "www.example.org"}, r"address: 'www.example.org' is not an IP address"),
        ({"port": None}, "port: is required"),
        ({"port": 65536}, "port: must be an integer from 0 to 65535, not 65536"),
        ({"port": 0}, r"port: 0 \(every port\) needs persistence_timeout"),
        ({"scheduler": "w rr"}, WHERE + ": scheduler: must be a name"),
        ({"scheduler": "rr\n-C"}, WHERE + ": scheduler: must be a name"),
        ({"scheduler": "rr\n"}, WHERE + ": scheduler: must be a name"),
        ({"scheduler": "abcdefghijklmnop"}, WHERE + ": scheduler: must be a name of at most 15"),
        ({"scheduler_flags": ["mh-port"]}, WHERE + ": scheduler_flags: mh-port needs scheduler mh, not wlc"),
        (
            {"scheduler_flags": ["sh-port"], "scheduler": "mh"},
            "scheduler_flags: sh-port needs scheduler sh, not mh",
        ),
        ({"scheduler_flags": ["flag-4"]}, "scheduler_flags: must be of .*, not 'flag-4'"),
        ({"scheduler_flags": ["flag-3"], "scheduler": "mh"}, "scheduler_flags: flag-3 means nothing to mh"),
        ({"scheduler_flags": "mh-port"}, "scheduler_flags: must be a list"),
        ({"persistence_timeout": 0}, "persistence_timeout: must be an integer from 1 to 2678400, not 0"),
        ({"persistence_timeout": 2678401}, "persistence_timeout: must be an integer from 1 to 2678400"),
        ({"persistence_netmask": 24}, "persistence_netmask: needs persistence_timeout"),
        ({"persistence_engine": "sip"}, "persistence_engine: needs persistence_timeout"),
        (
            {"persistence_timeout": 1, "persistence_engine": "sip\n"},
            WHERE + ": persistence_engine: must be a name",
        ),
        (
            {"persistence_timeout": 1, "persistence_netmask": 33},
            "persistence_netmask: must be an integer from 0 to 32",
        ),
        (
            {"address": "2001:db8::1", "persistence_timeout": 1, "persistence_netmask": 129},
            r"services\[0\] \(tcp 2001:db8::1 port 80\): persistence_netmask: must be an integer from 1 to 128",
        ),
        (
            {"persistence_timeout": 1, "persistence_netmask": "255.255.256.0"},
            WHERE + ": persistence_netmask: '255.255.256.0' is not an IP address",
        ),
        (
            {"address": "2001:db8::1", "persistence_timeout": 1, "persistence_netmask": "255.255.255.0"},
            r"\(tcp 2001:db8::1 port 80\): persistence_netmask: must be an integer from 1 to 128, not '255",
        ),
        ({"port": "80 443"}, ": port: must be an integer from 0 to 65535, not '80 443'"),
        ({"port": 80.5}, ": port: must be an integer from 0 to 65535, not 80.5"),
        ({"servers": 5}, WHERE + ": servers: must be a list, not 5"),
        ({"servers": REAL}, WHERE + ": servers: must be a list, not {'address'"),
        ({"one_packet": True}, "one_packet: goes with protocol udp or with fwmark only"),
        ({"one_packet": "maybe"}, "one_packet: must be true or false"),
        ({"state": "gone"}, "state: must be one of present, absent, not 'gone'"),
        ({"weight": 1}, "weight: no such field"),
        ({"persistence_netmask": 0}, "persistence_netmask: needs persistence_timeout"),
        ({"state": "absent", "scheduler": "w rr"}, WHERE + ": scheduler: must be a name"),
        ({"state": "absent", "servers": [{"address": "10.0.0.300"}]}, "'10.0.0.300' is not an IP address"),
    ],
)
def test_a_wrong_service_is_refused(fields, sentence):
    with pytest.raises(InputError, match=sentence):
        one(**fields)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"fwmark": 0},
            r"services\[0\] \(fwmark 0\): fwmark: must be an integer from 1 to 4294967295, not 0",
        ),
        ({"fwmark": 2**32}, "fwmark: must be an integer from 1"),
        ({"fwmark": 1, "port": 80}, "port: has no meaning with fwmark"),
        ({"fwmark": 1, "protocol": "tcp"}, "protocol: has no meaning with fwmark"),
        ({"fwmark": 1, "family": "ipx"}, "family: must be one of ipv4, ipv6, not 'ipx'"),
        (
            {"fwmark": 1, "family": "ipv6", "servers": [REAL]},
            r"servers\[0\] \(10.0.0.1\): address: 10.0.0.1 for an ipv6",
        ),
        (
            {"fwmark": 1, "persistence_timeout": 1, "persistence_netmask": 64},
            "persistence_netmask: must be an integer from 0 to 32",
        ),
        ("192.0.2.1", r"services\[0\]: must be a mapping, not '192.0.2.1'"),
    ],
)
def test_a_wrong_mark_is_refused(fields, sentence):
    with pytest.raises(InputError, match=sentence):
        desired([fields])


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"weight": -1}, SERVER + "weight: must be an integer from 0 to 65535, not -1"),
        ({"weight": 65536}, SERVER + "weight: must be an integer from 0 to 65535, not 65536"),
        ({"weight": True}, SERVER + "weight: must be an integer from 0 to 65535, not True"),
        ({"weight": "many"}, SERVER + "weight: must be an integer from 0 to 65535, not 'many'"),
        ({"upper_threshold": -1}, SERVER + "upper_threshold: must be an integer from 0"),
        ({"upper_threshold": 2**31}, SERVER + "upper_threshold: must be an integer from 0"),
        (
            {"upper_threshold": 1, "lower_threshold": 2},
            SERVER + "lower_threshold: 2 is above upper_threshold 1",
        ),
        ({"lower_threshold": 2}, SERVER + "lower_threshold: 2 is above upper_threshold 0"),
        ({"forward": "bridge"}, SERVER + "forward: must be one of dr, tunnel, nat, not 'bridge'"),
        ({"port": 65536, "forward": "nat"}, SERVER + "port: must be an integer from 0 to 65535"),
        ({"tunnel_type": "ipip"}, SERVER + "tunnel_type: needs forward: tunnel, not dr"),
        ({"tunnel_port": 6080}, SERVER + "tunnel_port: needs forward: tunnel, not dr"),
        ({"tunnel_checksum": "none"}, SERVER + "tunnel_checksum: needs forward: tunnel, not dr"),
        (
            {"forward": "tunnel", "tunnel_type": "vxlan"},
            SERVER + "tunnel_type: must be one of ipip, gue, gre",
        ),
        ({"lower_threshold": -1}, SERVER + "lower_threshold: must be an integer from 0"),
        (
            {"upper_threshold": 9, "lower_threshold": 2**31},
            SERVER + "lower_threshold: must be an integer from 0",
        ),
        (
            {"forward": "tunnel", "tunnel_type": "gue"},
            SERVER + "tunnel_port: is required with tunnel_type: gue",
        ),
        ({"forward": "tunnel", "tunnel_port": 1}, SERVER + "tunnel_port: goes with tunnel_type: gue only"),
        (
            {"forward": "tunnel", "tunnel_type": "gre", "tunnel_checksum": "remote"},
            SERVER + "tunnel_checksum: remote is not for tunnel_type: gre",
        ),
        ({"ratio": 3}, SERVER + "ratio: no such field"),
    ],
)
def test_a_wrong_real_server_is_refused(fields, sentence):
    with pytest.raises(InputError, match=sentence):
        one_server(**fields)


@pytest.mark.parametrize(
    "address",
    ["224.0.0.1", "0.0.0.0", "0.1.2.3", "255.255.255.255", "ff02::1", "::", "fe80::1", "::ffff:10.0.0.1"],
)
def test_a_real_server_must_be_one_host(address):
    with pytest.raises(InputError, match="is not a unicast address"):
        one_server(address=address, forward="tunnel")


@pytest.mark.parametrize("forward", ["dr", "nat"])
def test_another_family_needs_a_tunnel(forward):
    with pytest.raises(InputError, match="address: 2001:db8::9 for an ipv4 service needs forward: tunnel"):
        one_server(address="2001:db8::9", forward=forward)


def test_duplicates_are_refused_however_they_are_written():
    again = {"address": "2001:DB8:0::1", "port": 80}
    with pytest.raises(InputError, match=r"^services\[1\] .*the same service as services\[0\]"):
        desired([{"address": "2001:db8::1", "port": 80}, again])
    with pytest.raises(
        InputError, match=r"servers\[1\] \(10.0.0.1\): address: the same real server, 10.0.0.1:80"
    ):
        desired([{**WEB, "servers": [REAL, {**REAL, "port": 81}]}])


def test_real_servers_written_differently_are_the_same():
    six = {"address": "2001:db8::1", "port": 80}
    pair = [{"address": "2001:db8:1::1"}, {"address": "2001:DB8:0001:0::1"}]
    with pytest.raises(
        InputError,
        match=r"servers\[1\] .*: address: the same real server, \[2001:db8:1::1\]:80, is listed before",
    ):
        desired([{**six, "servers": pair}])


@pytest.mark.parametrize("services", [None, WEB, "192.0.2.1"])
def test_services_must_be_a_list(services):
    with pytest.raises(InputError, match=r"^services: must be a list, not "):
        desired(services)


def test_every_wrong_entry_is_named():
    bad = {**WEB, "port": 81, "servers": [{**REAL, "weight": -1}, REAL, {"address": "x"}]}
    with pytest.raises(InputError) as caught:
        desired(
            [WEB, bad, {**WEB, "port": 82, "protocol": "x"}],
            {"tcp": 0},
            [{"role": "chief", "interface": "eth0"}],
        )
    starts = [problem.split(": ")[0] for problem in caught.value.problems]
    where = "services[1] (tcp 192.0.2.1 port 81), servers"
    assert starts == [
        f"{where}[0] (10.0.0.1)",
        f"{where}[2] (x)",
        "services[2] (x 192.0.2.1 port 82)",
        "timeouts",
        "sync_daemons[0]",
    ]


@pytest.mark.parametrize(
    ("timeouts", "daemons", "sentence"),
    [
        ({"udp": 2678401}, None, "timeouts: udp: must be an integer from 1 to 2678400"),
        ({"icmp": 1}, None, "timeouts: icmp: no such field"),
        (None, [{"role": "master"}], r"sync_daemons\[0\]: interface: must be the name"),
        (
            None,
            [{"role": "master", "interface": "eth0 -x"}],
            r"sync_daemons\[0\]: interface: must be the name",
        ),
        (
            None,
            [{"role": "master", "interface": "eth0\n"}],
            r"sync_daemons\[0\]: interface: must be the name",
        ),
        (None, [{"interface": "eth0"}], r"sync_daemons\[0\]: role: is required"),
        (
            None,
            [{"role": "master", "interface": "eth0", "sync_id": 256}],
            "sync_id: must be an integer from 0 to 255",
        ),
        (
            None,
            [{"role": "backup", "interface": "a"}] * 2,
            r"sync_daemons\[1\]: role: there can be only one backup",
        ),
    ],
)
def test_wrong_timeouts_and_daemons_are_refused(timeouts, daemons, sentence):
    with pytest.raises(InputError, match=sentence):
        desired([], timeouts, daemons)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("services", [], "none"), "purge_scope: is required with purge: services"),
        (("services", ["192.0.2.1/24"], "none"), "purge_scope: '192.0.2.1/24' is neither a network"),
        (("servers", ["fwmark:9-1"], "none"), "purge_scope: 'fwmark:9-1' is no range"),
        (("servers", ["fwmark:1-9\n"], "none"), r"purge_scope: 'fwmark:1-9\\n' is neither a network"),
        (("servers", ["fwmark:0-1"], "none"), "purge_scope: 'fwmark:0-1' is no range"),
        (("all", [], "none"), "purge: must be one of none, servers, services, not 'all'"),
        (("none", [], "some"), "keep_weights: must be one of none, drained, all, not 'some'"),
    ],
)
def test_a_wrong_policy_is_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        policy(*arguments)


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        (ServiceId("tcp", "ipv4", "192.0.2.15", 80), True),
        (ServiceId("tcp", "ipv4", "192.0.2.16", 80), False),
        (ServiceId("tcp", "ipv6", "2001:db8::1", 80), True),
        (ServiceId("fwmark", "ipv6", "", 99), True),
        (ServiceId("fwmark", "ipv4", "", 100), False),
        (ServiceId("fwmark", "ipv4", "", 500), True),
    ],
)
def test_scope(name, inside):
    scope = policy("services", ["192.0.2.0/28", "2001:db8::/64", "fwmark:1-99", "fwmark:500"]).scope
    assert (name in scope) is inside
