# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draining: which entries are meant, that only weights change, what is waited for and for how long."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Callable

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs import drain as draining
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.desired import InputError, desired
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.drain import (
    Count,
    Place,
    Request,
    Result,
    Surroundings,
    drain,
    hazards,
    pending,
    request,
    still_busy,
    streams,
    weights_shape,
)
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.model import (
    ServerId,
    ServiceId,
    Table,
)
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.parse import parse
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.run import READ, Host, IpvsError
from fake_ipvsadm import Connection, FakeIpvsadm
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import apply, host, requests

A = {"address": "10.0.0.1", "weight": 3, "upper_threshold": 9, "lower_threshold": 4}
B = {"address": "10.0.0.2"}
WEB = {"address": "192.0.2.1", "port": 80, "scheduler": "wrr", "servers": [A, B]}
DNS = {"address": "192.0.2.1", "port": 53, "protocol": "udp", "servers": [A, B]}
MARK = {"fwmark": 1, "servers": [A, B]}
WEB_ID = ServiceId("tcp", "ipv4", "192.0.2.1", 80)
DNS_ID = ServiceId("udp", "ipv4", "192.0.2.1", 53)
MARK_ID = ServiceId("fwmark", "ipv4", "", 1)
IN_WEB = (("TCP", "192.0.2.1", 80), ("10.0.0.1", 80))
IN_DNS = (("UDP", "192.0.2.1", 53), ("10.0.0.1", 53))
IN_MARK = (("FWM", "", 1), ("10.0.0.1", 0))
DEFAULTS = {
    "server": "10.0.0.1",
    "services": None,
    "state": "drained",
    "weight": None,
    "wait": "active",
    "timeout": 300.0,
    "poll_interval": 1.0,
}


def asked(**values) -> Request:
    return request({**DEFAULTS, **values})


def kernel(*services: dict, connections=()) -> FakeIpvsadm:
    """A kernel that holds these services and connections."""
    fake = FakeIpvsadm()
    apply(fake, desired(list(services)))
    fake.connections = list(connections)
    fake.calls.clear()
    return fake


@dataclass
class Time:
    """A clock that stands still but for sleep. ``events`` happen when their second has come."""

    events: dict[float, Callable[[], object]] = field(default_factory=dict)
    time: float = 1000.0
    pauses: list[float] = field(default_factory=list)
    expires: bool = True

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.pauses.append(seconds)
        self.time += seconds
        for moment in [moment for moment in self.events if 1000 + moment <= self.time]:
            self.events.pop(moment)()

    def around(self) -> Surroundings:
        return Surroundings(lambda: self.time, self.sleep, lambda: self.expires)


def run(fake: FakeIpvsadm, time: Time | None = None, check: bool = False, **values) -> Result:
    return drain(host(fake), asked(**values), (time or Time()).around(), check)


def table(fake: FakeIpvsadm) -> Table:
    return parse(fake("\n".join(READ))[1]).table()


# Arguments


@pytest.mark.parametrize(
    ("server", "address", "port"),
    [
        ("10.0.0.1", "10.0.0.1", None),
        ("10.0.0.1:80", "10.0.0.1", 80),
        ("10.0.0.1:0", "10.0.0.1", 0),
        ("2001:DB8:0::1", "2001:db8::1", None),
        ("[2001:db8::1]", "2001:db8::1", None),
        ("[2001:db8:0:0::1]:443", "2001:db8::1", 443),
        ({"address": "10.0.0.1"}, "10.0.0.1", None),
        ({"address": "2001:db8:0::1", "port": "443"}, "2001:db8::1", 443),
    ],
)
def test_a_server_may_be_written_in_many_ways(server, address, port):
    read = asked(server=server)
    assert (read.address, read.port) == (address, port)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"server": "web1"}, "server: 'web1' is not an IP address"),
        ({"server": "10.0.0.1:http"}, "server: port: must be an integer from 0 to 65535, not 'http'"),
        ({"server": "10.0.0.1:"}, "server: port: must be an integer from 0 to 65535, not ''"),
        ({"server": "[10.0.0.1"}, "server: '.10.0.0.1' is not an IP address"),
        ({"server": {"address": "10.0.0.1", "port": 65536}}, "server: port: must be an integer from 0"),
        ({"server": {"address": "10.0.0.1", "weight": 1}}, "server: weight: no such field"),
        ({"server": {"port": 80}}, "server: must be an address such as"),
        ({"server": 7}, "server: must be an address such as .* not 7"),
        ({"timeout": -1}, "timeout: must be seconds from 0 to 2678400, not -1"),
        ({"timeout": float("nan")}, "timeout: must be seconds from 0 to 2678400, not nan"),
        ({"timeout": float("inf")}, "timeout: must be seconds from 0 to 2678400, not inf"),
        ({"poll_interval": 0}, "poll_interval: must be seconds from 0.1 to 2678400, not 0"),
        ({"state": "active", "weight": 0}, "^weight: must be an integer from 1 to 65535, not 0"),
        ({"state": "active", "weight": 65536}, "^weight: must be an integer from 1 to 65535, not 65536"),
        ({"services": []}, "services: is empty; leave it out"),
        ({"services": [{}]}, r"services\[0\]: give either fwmark or address, there is neither"),
        (
            {"services": [{"fwmark": 1, "address": "192.0.2.1"}]},
            r"services\[0\] \(fwmark 1\): give either fwmark or address, not both",
        ),
        (
            {"services": [{"fwmark": 1}, {"address": "192.0.2.1", "port": 80, "protocol": "icmp"}]},
            r"services\[1\] \(icmp 192.0.2.1 port 80\): protocol: must be one of",
        ),
        (
            {"services": [{"fwmark": 1, "server_port": -1}]},
            r"services\[0\] \(fwmark 1\): server_port: must be an integer from 0 to 65535",
        ),
        (
            {"state": "active", "services": [{"fwmark": 1, "weight": 0}]},
            r"services\[0\] \(fwmark 1\): weight: must be an integer from 1 to 65535, not 0",
        ),
    ],
)
def test_wrong_arguments_are_refused(values, sentence):
    with pytest.raises(InputError, match=sentence):
        asked(**values)


def test_every_wrong_argument_is_named():
    with pytest.raises(InputError) as caught:
        asked(server="x", timeout=-1, poll_interval=0, state="active", weight=-1, services=[{}])
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "server",
        "timeout",
        "poll_interval",
        "weight",
        "services[0]",
    ]


def test_a_weight_means_nothing_to_a_drain():
    assert asked(weight=0, services=[{"fwmark": 1, "weight": 0}]) == Request(
        "10.0.0.1", places=(Place(MARK_ID),)
    )


# What is meant


@pytest.mark.parametrize(
    ("values", "subjects"),
    [
        ({}, {(WEB_ID, 80), (DNS_ID, 53), (MARK_ID, 0)}),
        ({"server": "10.0.0.1:80"}, {(WEB_ID, 80)}),
        ({"server": "10.0.0.1:0"}, {(MARK_ID, 0)}),
        ({"services": [{"fwmark": 1}]}, {(MARK_ID, 0)}),
        (
            {"services": [{"fwmark": 1}, {"address": "192.0.2.1", "port": 53, "protocol": "udp"}]},
            {(MARK_ID, 0), (DNS_ID, 53)},
        ),
        (
            {"server": "10.0.0.1:80", "services": [{"fwmark": 1, "server_port": 0}]},
            {(MARK_ID, 0)},
        ),
    ],
)
def test_it_is_drained_where_it_is_meant_and_nowhere_else(values, subjects):
    fake = kernel(WEB, DNS, MARK)
    before = table(fake)
    result = run(fake, **values)
    assert {(name, key.port) for name, key in result.weights} == subjects
    after = table(fake)
    for name, service in after.services.items():
        for key, server in service.servers.items():
            drained = key.address == "10.0.0.1" and (name, key.port) in subjects
            assert server.weight == (0 if drained else before.services[name].servers[key].weight)


def test_equal_addresses_written_differently_are_equal():
    fake = kernel(
        {
            "address": "2001:DB8:0::1",
            "port": 80,
            "servers": [{"address": "2001:db8:1:0:0::1"}, {"address": "fd00::3"}],
        }
    )
    services = [{"address": "2001:db8:0:0::1", "port": 80}]
    assert [step.line for step in run(fake, server="2001:DB8:1::1", services=services).steps] == [
        "-e -t [2001:db8::1]:80 -r [2001:db8:1::1]:80 -g -w 0 -x 0 -y 0"
    ]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"server": "10.0.0.9"}, "server: 10.0.0.9 stands in no virtual service$"),
        (
            {"server": "10.0.0.1:8080"},
            "server: 10.0.0.1:8080 stands in no virtual service, only with port 80 in tcp 192.0.2.1:80, port 0 in fwmark 1",
        ),
        ({"services": [{"fwmark": 2}]}, "services: fwmark 2: there is no such virtual service"),
        (
            {"server": "10.0.0.9", "services": [{"fwmark": 1}]},
            "services: fwmark 1: 10.0.0.9 does not stand there$",
        ),
        (
            {"server": "10.0.0.1:80", "services": [{"fwmark": 1}]},
            "services: fwmark 1: 10.0.0.1:80 does not stand there, only with port 0",
        ),
        (
            {"services": [{"fwmark": 1}, {"fwmark": 1, "server_port": 0}]},
            "services: fwmark 1, real server 10.0.0.1:0 is named twice",
        ),
        (
            {"services": [{"address": "192.0.2.1", "port": 80}, {"fwmark": 3}]},
            "services: fwmark 3: there is no such",
        ),
    ],
)
@pytest.mark.parametrize("state", ["drained", "active"])
def test_a_server_that_does_not_stand_there_changes_nothing(values, sentence, state):
    fake = kernel(WEB, MARK)
    with pytest.raises(InputError, match=sentence):
        run(fake, state=state, weight=1, **values)
    assert fake.writes == []


def test_every_service_without_the_server_is_named():
    with pytest.raises(InputError) as caught:
        run(kernel(WEB, MARK), services=[{"fwmark": 2}, {"fwmark": 1}, {"fwmark": 3}])
    assert len(caught.value.problems) == 2


# Only the weight changes


@pytest.mark.parametrize(
    ("server", "options"),
    [
        ({}, "-g -w 0 -x 0 -y 0"),
        ({"upper_threshold": 9, "lower_threshold": 8}, "-g -w 0 -x 9 -y 8"),
        ({"forward": "nat", "port": 8080}, "-m -w 0 -x 0 -y 0"),
        ({"forward": "tunnel"}, "-i -w 0 -x 0 -y 0"),
        (
            {"forward": "tunnel", "tunnel_type": "gue", "tunnel_port": 6080, "tunnel_checksum": "remote"},
            "-i -w 0 -x 0 -y 0 --tun-type gue --tun-port 6080 --tun-remcsum",
        ),
        (
            {"forward": "tunnel", "tunnel_type": "gre", "tunnel_checksum": "checksum"},
            "-i -w 0 -x 0 -y 0 --tun-type gre --tun-csum",
        ),
    ],
)
def test_every_other_attribute_is_carried(server, options):
    fake = kernel({**WEB, "servers": [{"address": "10.0.0.1", **server}, B]})
    (step,) = run(fake).steps
    assert step.line == f"-e -t 192.0.2.1:80 -r 10.0.0.1:{server.get('port', 80)} {options}"


@given(requests(absent=False), st.data())
@settings(deadline=None)
def test_nothing_but_weights_changes_and_active_brings_them_back(start, data):
    fake = FakeIpvsadm()
    apply(fake, desired(**start))
    before, held = copy.deepcopy((fake.virtuals, fake.timeouts, fake.daemons)), table(fake)
    addresses = {key.address for service in held.services.values() for key in service.servers}
    if not addresses:
        return
    server = data.draw(st.sampled_from(sorted(addresses)))
    result = run(fake, server=server)
    after = table(fake)
    assert result.after == after
    for name, service in after.services.items():
        for key, real in service.servers.items():
            weight = 0 if key.address == server else held.services[name].servers[key].weight
            assert real == held.services[name].servers[key]._replace(weight=weight)
            assert (key.address == server) is ((name, key) in result.weights)
    assert run(fake, server=server).steps == []
    served = [entry for entry in weights_shape(result.weights) if entry["weight"]]
    if served:
        run(fake, server=server, state="active", services=served)
    assert (fake.virtuals, fake.timeouts, fake.daemons) == before


def test_one_process_reads_and_one_writes():
    fake = kernel(WEB, DNS, MARK)
    result = run(fake)
    assert len(fake.calls) == 2
    assert fake.writes == [step.line for step in result.steps]
    fake.calls.clear()
    assert run(fake).steps == []
    assert (len(fake.calls), fake.writes) == (1, [])


def test_check_mode_has_the_plan_of_the_real_run_and_neither_changes_nor_waits():
    fake = kernel(WEB, MARK, connections=[Connection(*IN_WEB)])
    before = copy.deepcopy(fake.virtuals)
    time = Time()
    checked = run(fake, time, check=True)
    assert (fake.virtuals, fake.writes, time.pauses) == (before, [], [])
    assert checked.counts[WEB_ID, ServerId("10.0.0.1", 80)] == Count(1, 0)
    fake.connections.clear()
    done = run(fake)
    assert done.steps == checked.steps
    assert done.after == checked.after


# Back to work


@pytest.mark.parametrize(
    ("values", "weights"),
    [
        ({"weight": 7}, {WEB_ID: 7, MARK_ID: 7}),
        ({"services": [{"fwmark": 1, "weight": 5}]}, {WEB_ID: 0, MARK_ID: 5}),
        (
            {"weight": 7, "services": [{"fwmark": 1, "weight": 5}, {"address": "192.0.2.1", "port": 80}]},
            {WEB_ID: 7, MARK_ID: 5},
        ),
    ],
)
def test_active_gives_the_weight(values, weights):
    fake = kernel(WEB, MARK)
    run(fake)
    result = run(fake, state="active", **values)
    after = table(fake)
    assert {
        name: after.services[name].servers[key].weight for name in weights for key in [_a_in(after, name)]
    } == weights
    assert set(result.weights.values()) == {0}
    assert run(fake, state="active", **values).steps == []


def _a_in(held: Table, name: ServiceId) -> ServerId:
    return next(key for key in held.services[name].servers if key.address == "10.0.0.1")


def test_active_without_a_weight_leaves_one_and_does_not_guess():
    fake = kernel(WEB, MARK)
    assert run(fake, state="active").steps == []
    run(fake, services=[{"fwmark": 1}])
    fake.calls.clear()
    with pytest.raises(
        InputError,
        match=r"^weight: is required with state: active, because fwmark 1, real server 10.0.0.1:0 has weight 0",
    ):
        run(fake, state="active")
    assert fake.writes == []


def test_active_does_not_wait_and_says_nothing_of_clients():
    fake = kernel({**WEB, "persistence_timeout": 60}, connections=[Connection(*IN_WEB)])
    time = Time(expires=False)
    result = run(fake, time, state="active", weight=2, wait="all")
    assert (time.pauses, result.warnings) == ([], [])


# Waiting


def test_it_waits_until_the_connections_are_gone():
    fake = kernel(WEB, connections=[Connection(*IN_WEB), Connection(*IN_WEB)])
    time = Time({2.5: fake.connections.pop, 4.0: fake.connections.pop})
    result = run(fake, time)
    assert (result.left, result.elapsed, time.pauses) == ({}, 4.0, [1.0] * 4)
    assert table(fake).services[WEB_ID].servers[ServerId("10.0.0.1", 80)].weight == 0


def test_a_count_that_rises_again_is_waited_for():
    fake = kernel(WEB, connections=[Connection(*IN_WEB)])
    time = Time({2: lambda: fake.connections.append(Connection(*IN_WEB)), 3: fake.connections.clear})
    assert run(fake, time).elapsed == 3.0


@pytest.mark.parametrize(
    ("timeout", "pauses"),
    [(0, []), (0.25, [0.25]), (2, [1.0, 1.0]), (2.5, [1.0, 1.0, 0.5])],
)
def test_time_is_over_after_a_last_look(timeout, pauses):
    fake = kernel(
        WEB, connections=[Connection(*IN_WEB, state="SYN_RECV"), Connection(*IN_WEB, state="FIN_WAIT")]
    )
    time = Time()
    result = run(fake, time, timeout=timeout)
    assert time.pauses == pauses
    assert result.left == {(WEB_ID, ServerId("10.0.0.1", 80)): 1}
    assert still_busy(asked(), result) == (
        f"10.0.0.1 still has connections after {timeout:.0f} s: tcp 192.0.2.1:80, real server 10.0.0.1:80"
        " has 1 active and 1 inactive. Its weight stays 0"
    )
    assert table(fake).services[WEB_ID].servers[ServerId("10.0.0.1", 80)].weight == 0


def test_the_last_look_may_find_nothing_left():
    fake = kernel(WEB, connections=[Connection(*IN_WEB)])
    result = run(fake, Time({2.5: fake.connections.clear}), timeout=2.5)
    assert result.left == {}


def test_a_drained_server_is_still_waited_for():
    fake = kernel({**WEB, "servers": [{**A, "weight": 0}, B]}, connections=[Connection(*IN_WEB)])
    result = run(fake, Time({5: fake.connections.clear}))
    assert (result.steps, result.elapsed) == ([], 5.0)


@pytest.mark.parametrize(
    ("wait", "connections", "waits"),
    [
        ("active", [Connection(*IN_WEB)], True),
        ("active", [Connection(*IN_WEB, state="SYN_RECV")], True),
        ("active", [Connection(*IN_WEB, state="FIN_WAIT")], False),
        ("all", [Connection(*IN_WEB, state="FIN_WAIT")], True),
        ("all", [], False),
        ("none", [Connection(*IN_WEB)], False),
        # a template is no connection
        ("all", [Connection(*IN_WEB, state="NONE", client="203.0.113.9:0")], False),
        # UDP has no end
        ("active", [Connection(*IN_DNS, "UDP", "UDP")], False),
        ("all", [Connection(*IN_DNS, "UDP", "UDP")], False),
        # a mark may have both
        ("active", [Connection(*IN_MARK)], True),
        ("active", [Connection(*IN_MARK, "UDP", "UDP")], False),
        ("all", [Connection(*IN_MARK, "UDP", "UDP")], False),
        ("all", [Connection(*IN_MARK, "FIN_WAIT")], True),
        ("all", [Connection(*IN_MARK, "UDP", "UDP"), Connection(*IN_MARK, "FIN_WAIT")], True),
        ("all", [Connection(*IN_MARK, "UDP", "UDP"), Connection(*IN_MARK, "CLOSED", "SCTP")], True),
        (
            "all",
            [Connection(*IN_MARK, "UDP", "UDP"), Connection(*IN_MARK, "NONE", "IP", "203.0.113.9:0")],
            False,
        ),
        # those of other servers do not matter
        ("all", [Connection(IN_WEB[0], ("10.0.0.2", 80))], False),
        (
            "all",
            [Connection(*IN_MARK, "UDP", "UDP"), Connection(IN_MARK[0], ("10.0.0.2", 0), "FIN_WAIT")],
            False,
        ),
    ],
)
def test_what_is_waited_for(wait, connections, waits):
    fake = kernel(WEB, DNS, MARK, connections=connections)
    result = run(fake, wait=wait, timeout=3)
    assert bool(result.left) is waits


@pytest.mark.parametrize("wait", ["active", "all"])
@pytest.mark.parametrize(
    ("service", "connection"),
    [(DNS, Connection(*IN_DNS, "UDP", "UDP")), (MARK, Connection(*IN_MARK, "UDP", "UDP"))],
)
def test_one_packet_services_are_not_waited_for(wait, service, connection):
    # The kernel keeps none of their connections; those of the time before are UDP, for which alone it does so.
    fake = kernel({**service, "one_packet": True}, connections=[connection])
    time = Time()
    assert (run(fake, time, wait=wait).left, time.pauses) == ({}, [])


@pytest.mark.parametrize("open_one", [Connection(*IN_WEB), Connection(*IN_MARK)])
def test_the_list_of_connections_is_read_only_when_counts_do_not_tell(open_one):
    udp = Connection(*IN_MARK, "UDP", "UDP")
    fake = kernel(WEB, MARK, connections=[udp, open_one])
    time = Time({3: lambda: fake.connections.remove(open_one)})
    assert run(fake, time, wait="all").left == {}
    assert [text for text in fake.calls if "-c" in text.split()] == [draining.READ_CONNECTIONS]
    assert fake.calls[-1] == draining.READ_CONNECTIONS


def test_counts_are_believed_where_the_list_of_connections_cannot_be_read():
    fake = kernel(MARK, connections=[Connection(*IN_MARK, "UDP", "UDP")])

    def blind(text: str) -> tuple[int, str, str]:
        return (1, "", "cannot open file /proc/net/ip_vs_conn") if "-c" in text.split() else fake(text)

    machine = Host(blind, lambda: True, lambda: None)
    result = drain(machine, asked(wait="all", timeout=2), Time().around())
    assert list(result.left.values()) == [1]


def test_a_slow_reading_makes_longer_pauses():
    fake = kernel(WEB, connections=[Connection(*IN_WEB)])
    time = Time()

    def slow(text: str) -> tuple[int, str, str]:
        time.time += 0.5
        return fake(text)

    drain(Host(slow, lambda: True, lambda: None), asked(timeout=12), time.around())
    assert time.pauses == [1.0, 5.0, 5.0]


LISTED = """IPVS connection entries
pro expire state       source             virtual            destination
TCP 14:57  ESTABLISHED 203.0.113.9:56954  192.0.2.1:80       10.0.0.1:80
TCP 01:58  FIN_WAIT    203.0.113.9:57322  192.0.2.1:443      10.0.0.1:443
TCP 05:58  NONE        203.0.113.9:0      192.0.2.1:80       10.0.0.1:80
UDP 04:58  UDP         203.0.113.9:5060   192.0.2.1:5060     10.0.0.1:5060
IP  15:27  NONE        203.0.113.9:0      0.0.0.10:0         10.0.0.1:0
TCP 14:59  ESTABLISHED [2001:db8::9]:4000 [2001:db8::1]:80   [2001:db8:1:0:0::1]:80
"""


def test_connections_by_server():
    assert streams(LISTED) == {
        ServerId("10.0.0.1", 80): 1,
        ServerId("10.0.0.1", 443): 1,
        ServerId("10.0.0.1", 0): 2,
        ServerId("2001:db8:1::1", 80): 1,
        ServerId("2001:db8:1::1", 0): 1,
    }
    assert streams(LISTED[: LISTED.index("TCP")]) == {}


@pytest.mark.parametrize(
    "text", ["", "Try `ipvsadm -h'", LISTED + "TCP 1 2\n", LISTED + "TCP 1 2 3:4 5 x:80\n"]
)
def test_connections_that_are_not_understood(text):
    assert streams(text) is None


@given(
    st.dictionaries(
        st.sampled_from([(WEB_ID, 1), (DNS_ID, 2), (MARK_ID, 3)]),
        st.builds(Count, st.integers(0, 3), st.integers(0, 3)),
    ),
    st.none() | st.dictionaries(st.integers(1, 3), st.integers(0, 3)),
)
def test_all_waits_for_no_less_than_active_and_active_for_no_less_than_none(counts, others):
    none, active, both = (pending(counts, wait, others) for wait in ("none", "active", "all"))
    assert none == {}
    for subject, count in counts.items():
        assert active.get(subject, 0) <= both.get(subject, 0) <= sum(count)
        if subject[0].protocol != "udp":
            assert active.get(subject, 0) == count.active
        else:
            assert subject not in both


# Others change the table meanwhile


@pytest.mark.parametrize(
    "line",
    ["-d -t 192.0.2.1:80 -r 10.0.0.1:80", "-D -t 192.0.2.1:80", "-C"],
    ids=["server", "service", "all"],
)
def test_what_somebody_removes_is_drained(line):
    fake = kernel(WEB, connections=[Connection(*IN_WEB)])
    result = run(fake, Time({2: lambda: fake(line)}))
    assert (result.left, result.counts, result.elapsed) == ({}, {}, 2.0)


def test_ipvs_that_is_unloaded_meanwhile_is_not_loaded_again():
    fake = kernel(WEB, connections=[Connection(*IN_WEB)])
    result = run(fake, Time({2: lambda: setattr(fake, "loaded", False)}))
    assert (result.left, fake.loaded) == ({}, False)


def test_a_weight_that_somebody_gives_again_ends_the_waiting():
    fake = kernel(WEB, MARK, connections=[Connection(*IN_WEB)])
    again = "-e -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 3"
    with pytest.raises(
        IpvsError, match=r"somebody else gave a weight again.* to tcp 192.0.2.1:80, real server 10.0.0.1:80$"
    ) as caught:
        run(fake, Time({2: lambda: fake(again)}))
    assert len(caught.value.plan) == 2


def test_what_else_somebody_changes_is_left_alone():
    fake = kernel(WEB, connections=[Connection(*IN_WEB)])
    others = "-A -t 192.0.2.9:9 -s rr\n-e -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 0 -x 1\n-d -t 192.0.2.1:80 -r 10.0.0.2:80"
    result = run(fake, Time({2: lambda: fake(others), 3: fake.connections.clear}))
    assert (result.left, result.elapsed) == ({}, 3.0)
    assert len(fake.writes) == len(result.steps) + 3


@pytest.mark.parametrize("line", ["-d -t 192.0.2.1:80 -r 10.0.0.1:80", "-D -t 192.0.2.1:80"])
@pytest.mark.parametrize("state", ["drained", "active"])
def test_what_is_removed_just_before_the_weight_is_set_stays_removed(line, state):
    fake = kernel(WEB, MARK)

    def busy(text: str) -> tuple[int, str, str]:
        if text.startswith("-e"):
            fake(line)
        return fake(text)

    machine = Host(busy, lambda: True, lambda: None)
    want = asked(state=state, weight=7)
    if state == "drained":
        assert list(drain(machine, want, Time().around()).counts) == [(MARK_ID, ServerId("10.0.0.1", 0))]
    else:
        with pytest.raises(
            IpvsError, match=r"somebody else removed tcp 192.0.2.1:80, real server 10.0.0.1:80"
        ):
            drain(machine, want, Time().around())
    assert (WEB_ID, ServerId("10.0.0.1", 80)) not in draining.weights_of(
        table(fake), [(WEB_ID, ServerId("10.0.0.1", 80))]
    )
    assert not any(call.startswith("-a") for call in fake.writes)


# What cannot be


def test_what_the_kernel_refuses_is_named_and_put_back():
    fake = kernel(WEB, MARK)
    before = copy.deepcopy(fake.virtuals)
    fake.refuse = r"^-e -f 1 .* -w 0 "
    with pytest.raises(IpvsError) as caught:
        run(fake)
    assert str(caught.value) == (
        "the kernel does not hold the weights that were asked: fwmark 1, real server 10.0.0.1:0"
        " (-e -f 1 -r 10.0.0.1:0 -g -w 0 -x 9 -y 4). ipvsadm said: Invalid operation.  Possibly wrong module version,"
        " address not unicast, .... The weights before were put back"
    )
    assert len(caught.value.plan) == 2
    assert fake.virtuals == before


def test_both_are_said_when_it_cannot_be_put_back():
    fake = kernel(WEB, MARK)
    fake.refuse = r"^-e -f 1 .* -w 0 |-w 3 "
    with pytest.raises(
        IpvsError, match=r"fwmark 1.*could not be put back: tcp 192.0.2.1:80, real server 10.0.0.1:80"
    ):
        run(fake)


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("machine", "sentence"),
    [
        (Host(None, lambda: True, lambda: None), "ipvsadm is not installed"),
        (Host(None, lambda: False, lambda: None), "ipvsadm is not installed"),
        (
            Host(lambda _text: pytest.fail("IPVS would be loaded"), lambda: False, lambda: None),
            "the kernel has no IPVS loaded .module ip_vs., so 10.0.0.1 stands in no virtual service",
        ),
        (
            Host(
                lambda _text: (255, "", "Can't initialize ipvs: Permission denied (you must be root)"),
                lambda: True,
                lambda: None,
            ),
            "needs root",
        ),
    ],
)
def test_machines_that_cannot_drain(machine, sentence, check):
    with pytest.raises(IpvsError, match=sentence):
        drain(machine, asked(), Time().around(), check)


# What clients meet


@pytest.mark.parametrize(
    ("service", "expires", "warnings"),
    [
        ({}, False, []),
        ({"persistence_timeout": 60}, True, []),
        (
            {"persistence_timeout": 60},
            False,
            [
                "tcp 192.0.2.1:80 is persistent: its clients come back to the drained server and may keep the drain from ending,"
                " because the kernel's setting net.ipv4.vs.expire_quiescent_template is 0"
            ],
        ),
        (
            {"servers": [A, {**B, "weight": 0}]},
            True,
            ["tcp 192.0.2.1:80 takes no new connections: none of its real servers has a weight"],
        ),
        (
            {"scheduler": "sh"},
            True,
            [
                "tcp 192.0.2.1:80 refuses clients that its scheduler sh assigns to the drained server: its scheduler_flags lack sh-fallback"
            ],
        ),
        (
            {"scheduler": "mh", "scheduler_flags": ["mh-port"]},
            True,
            [
                "tcp 192.0.2.1:80 refuses clients that its scheduler mh assigns to the drained server: its scheduler_flags lack mh-fallback"
            ],
        ),
        ({"scheduler": "mh", "scheduler_flags": ["mh-fallback"]}, True, []),
        (
            {"scheduler": "dh"},
            True,
            ["tcp 192.0.2.1:80 refuses clients that its scheduler dh assigns to the drained server"],
        ),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_warnings(service, expires, warnings, check):
    assert run(kernel({**WEB, **service}), Time(expires=expires), check).warnings == warnings


def test_a_service_is_warned_of_once():
    two = [{"address": "10.0.0.1", "forward": "nat", "port": port} for port in (80, 81)]
    held = Table(desired([{**WEB, "servers": two}]).services)
    wanted = dict.fromkeys([(WEB_ID, ServerId("10.0.0.1", port)) for port in (80, 81)], 0)
    assert len(hazards(draining.with_weights(held, wanted), wanted, True)) == 1


def test_templates_expire_where_the_kernel_says_so(tmp_path):
    setting = tmp_path / "expire_quiescent_template"
    assert draining.expires_templates(str(setting)) is True
    for text, expires in (("0\n", False), ("1\n", True)):
        setting.write_text(text)
        assert draining.expires_templates(str(setting)) is expires
