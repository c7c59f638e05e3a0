# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules from arguments to result, as Ansible calls them."""

from __future__ import annotations

import copy

import pytest
import yaml
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.desired import (
    DAEMON_FIELDS,
    SERVER_FIELDS,
    SERVICE_FIELDS,
)
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.render import COUNTERS
from ansible_collections.imageops.lvs_fastdfs.plugins.modules import ipvs, ipvs_drain, ipvs_info
from fake_ipvsadm import Connection, FakeIpvsadm

WEB = {
    "address": "192.0.2.1",
    "port": 80,
    "scheduler": "wrr",
    "servers": [{"address": "10.0.0.1", "weight": "2"}, {"address": "10.0.0.2"}],
}
PLAN = [
    "-A -t 192.0.2.1:80 -s wrr",
    "-a -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 2 -x 0 -y 0",
    "-a -t 192.0.2.1:80 -r 10.0.0.2:80 -g -w 1 -x 0 -y 0",
]


def test_apply_and_again(call):
    fake = FakeIpvsadm()
    first = call(ipvs, fake, services=[WEB])
    assert first["changed"] is True
    assert first["plan"] == PLAN
    assert first["services"] == [
        {
            "address": "192.0.2.1",
            "port": 80,
            "protocol": "tcp",
            "scheduler": "wrr",
            "scheduler_flags": [],
            "one_packet": False,
            "state": "present",
            "servers": [
                {
                    "address": address,
                    "port": 80,
                    "forward": "dr",
                    "weight": weight,
                    "upper_threshold": 0,
                    "lower_threshold": 0,
                }
                for address, weight in (("10.0.0.1", 2), ("10.0.0.2", 1))
            ],
        }
    ]
    assert first["timeouts"] == {"tcp": 900, "tcp_fin": 120, "udp": 300}
    assert first["sync_daemons"] == []
    assert "diff" not in first
    again = call(ipvs, fake, services=first["services"], purge="servers")
    assert (again["changed"], again["plan"]) == (False, [])


def test_check_mode_and_diff(call):
    fake = FakeIpvsadm()
    fake.loaded = False
    result = call(ipvs, fake, check=True, diff=True, services=[WEB], timeouts={"udp": 60})
    assert fake.calls == []
    assert result["changed"] is True
    assert result["plan"] == [*PLAN, "--set 900 120 60"]
    assert result["diff"] == {
        "before": "timeouts tcp 900 tcp_fin 120 udp 300\n",
        "after": (
            "tcp 192.0.2.1:80 wrr\n  10.0.0.1:80 dr weight 2\n  10.0.0.2:80 dr weight 1\n"
            "timeouts tcp 900 tcp_fin 120 udp 60\n"
        ),
    }


def test_a_drain_survives_a_run(call):
    fake = FakeIpvsadm()
    call(ipvs, fake, services=[WEB])
    fake("-e -t 192.0.2.1:80 -r 10.0.0.2:80 -g -w 0 -x 0 -y 0")
    assert call(ipvs, fake, services=[WEB], keep_weights="drained", purge="servers")["changed"] is False
    assert call(ipvs, fake, services=[WEB], keep_weights="all", purge="servers")["changed"] is False
    assert call(ipvs, fake, services=[WEB])["plan"] == [PLAN[2].replace("-a", "-e")]


def test_sync_daemons_left_out_and_empty(call):
    fake = FakeIpvsadm()
    call(ipvs, fake, sync_daemons=[{"role": "master", "interface": "eth0", "sync_id": 7}])
    kept = call(ipvs, fake, services=[WEB])
    assert kept["sync_daemons"] == [{"role": "master", "interface": "eth0", "sync_id": 7}]
    stopped = call(ipvs, fake, sync_daemons=[])
    assert (stopped["plan"], stopped["sync_daemons"]) == (["--stop-daemon master"], [])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"services": [{**WEB, "protocol": "icmp"}]},
            "services[0] (icmp 192.0.2.1 port 80): protocol: must be one of",
        ),
        (
            {"services": [WEB, WEB]},
            "services[1] (tcp 192.0.2.1 port 80): address or fwmark: the same service as services[0]",
        ),
        (
            {"services": [WEB, {"fwmark": 1, "scheduler": "bogus"}]},
            "fwmark 1: scheduler: the kernel has no 'bogus'; it offers",
        ),
        ({"services": [WEB], "purge": "services"}, "purge_scope: is required with purge: services"),
        (
            {"services": [{**WEB, "servers": [{"address": "10.0.0.1", "weight": 65536}]}]},
            "services[0] (tcp 192.0.2.1 port 80), servers[0] (10.0.0.1): weight: must be an integer from 0 to 65535",
        ),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_wrong_input_fails_with_a_sentence_and_changes_nothing(call, values, sentence, check):
    fake = FakeIpvsadm()
    result = call(ipvs, fake, check=check, **values)
    assert result["failed"] is True
    assert result["msg"].startswith(sentence)
    assert fake.virtuals == {}


def test_a_refusal_returns_the_plan(call):
    fake = FakeIpvsadm()
    fake.refuse = r"10\.0\.0\.2"
    result = call(ipvs, fake, services=[WEB])
    assert result["failed"] is True
    assert result["plan"] == PLAN
    assert f"tcp 192.0.2.1:80, real server 10.0.0.2:80 ({PLAN[2]})" in result["msg"]
    assert fake.virtuals == {}


def test_a_refusal_names_every_object(call):
    fake = FakeIpvsadm()
    fake.refuse = "^-a"
    services = [{**WEB, "port": port} for port in range(80, 90)]
    result = call(ipvs, fake, services=services)
    assert " and 10 more. " in result["msg"]
    assert len(result["problems"]) == 20
    assert result["problems"][19] == (
        "tcp 192.0.2.1:89, real server 10.0.0.2:89 (-a -t 192.0.2.1:89 -r 10.0.0.2:89 -g -w 1 -x 0 -y 0)"
    )
    assert call(ipvs, None, services=[WEB])["problems"] == [
        "ipvsadm is not installed; the package is called ipvsadm"
    ]


def test_ipvsadm_is_missing(call):
    assert "ipvsadm is not installed" in call(ipvs, None, services=[WEB])["msg"]
    checked = call(ipvs, None, check=True, services=[WEB])
    assert checked["plan"] == PLAN
    assert checked["warned"] == ["ipvsadm is not installed: the plan assumes an empty table"]


def test_info(call):
    fake = FakeIpvsadm()
    call(ipvs, fake, services=[WEB], timeouts={"udp": 60})
    fake.calls.clear()
    info = call(ipvs_info, fake)
    assert len(fake.calls) == 1
    assert (info["changed"], info["available"], info["version"]) == (False, True, "1.31")
    assert info["timeouts"] == {"tcp": 900, "tcp_fin": 120, "udp": 60}
    (service,) = info["services"]
    assert service["connections"] == service["active_connections"] == 0
    assert [(server["address"], server["weight"], server["in_bytes"]) for server in service["servers"]] == [
        ("10.0.0.1", 2, 0),
        ("10.0.0.2", 1, 0),
    ]


def test_info_without_ipvs_loads_nothing(call):
    fake = FakeIpvsadm()
    fake.loaded = False
    info = call(ipvs_info, fake)
    assert (info["available"], info["version"], info["services"]) == (False, None, [])
    assert fake.calls == []
    assert call(ipvs_info, None)["available"] is False


def test_info_has_the_shape_of_ipvs_and_the_counters(call):
    fake = FakeIpvsadm()
    daemon = {"role": "backup", "interface": "eth1", "sync_id": 3}
    asked = [WEB, {"fwmark": 1, "persistence_timeout": 60, "servers": [{"address": "10.0.0.1", "weight": 0}]}]
    done = call(ipvs, fake, services=asked, sync_daemons=[daemon])
    in_web = (("TCP", "192.0.2.1", 80), ("10.0.0.1", 80))
    fake.connections += [
        Connection(*in_web),
        Connection(*in_web, state="FIN_WAIT"),
        Connection(*in_web, state="CLOSE"),
    ]
    info = call(ipvs_info, fake)
    assert info["sync_daemons"] == done["sync_daemons"] == [daemon]
    assert info["timeouts"] == done["timeouts"]
    counted = [
        (entry["active_connections"], entry["inactive_connections"])
        for service in info["services"]
        for entry in [service, *service["servers"]]
    ]
    assert counted == [(1, 2), (1, 2), (0, 0), (0, 0), (0, 0)]
    given_back = {name: info[name] for name in ("services", "timeouts", "sync_daemons")}
    assert call(ipvs, fake, purge="servers", **given_back)["plan"] == []
    for service in info["services"]:
        for entry in [service, *service["servers"]]:
            for counter in COUNTERS:
                del entry[counter]
    assert sorted(info["services"], key=str) == sorted(done["services"], key=str)


@pytest.mark.parametrize(
    ("errors", "sentence"),
    [
        ("Can't initialize ipvs: Permission denied (you must be root)", "reading the IPVS table needs root"),
        ("Can't initialize ipvs: Protocol not available", "the kernel has no IPVS"),
    ],
)
@pytest.mark.parametrize(
    ("module", "values"), [(ipvs, {"services": [WEB]}), (ipvs_info, {}), (ipvs_drain, {"server": "10.0.0.1"})]
)
def test_a_table_that_cannot_be_read(call, monkeypatch, module, values, errors, sentence):
    fake = FakeIpvsadm()
    monkeypatch.setattr(FakeIpvsadm, "__call__", lambda _fake, _text: (255, "", errors))
    result = call(module, fake, **values)
    assert result["failed"] is True
    assert result["msg"].startswith(sentence)


def test_info_warns_of_a_table_that_nothing_can_read(call):
    info = call(ipvs_info, None, loaded=True)
    assert (info["available"], info["services"]) == (False, [])
    assert info["warned"] == ["ipvsadm is not installed: the table that the kernel holds cannot be read"]


@pytest.mark.parametrize(
    ("service", "sentence"),
    [
        (
            {"port": "http"},
            "services[1] (tcp 192.0.2.1 port http): port: must be an integer from 0 to 65535, not 'http'",
        ),
        (
            {"fwmark": "web", "address": None, "port": None},
            "services[1] (fwmark web): fwmark: must be an integer from 1",
        ),
        (
            {"port": 81, "persistence_timeout": "long"},
            "services[1] (tcp 192.0.2.1 port 81): persistence_timeout: must",
        ),
        (
            {"port": 81, "one_packet": "perhaps"},
            "services[1] (tcp 192.0.2.1 port 81): one_packet: must be true or false",
        ),
        (
            {"port": 81, "servers": [{"address": "10.0.0.1", "weight": "heavy"}]},
            "services[1] (tcp 192.0.2.1 port 81), servers[0] (10.0.0.1): weight: must be an integer from 0 to 65535",
        ),
    ],
)
def test_what_is_no_number_is_said_with_its_service_and_real_server(call, service, sentence):
    entry = {name: value for name, value in {**WEB, **service}.items() if value is not None}
    result = call(ipvs, FakeIpvsadm(), services=[WEB, entry])
    assert result["failed"] is True
    assert result["msg"].startswith(sentence)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"services": 5}, "services: must be a list, not 5"),
        ({"services": WEB}, "services: must be a list, not {'address'"),
        ({"services": "192.0.2.1"}, "services: must be a list, not '192.0.2.1'"),
        ({"services": [WEB, 5]}, "services[1]: must be a mapping, not 5"),
        (
            {"services": [{**WEB, "servers": 5}]},
            "services[0] (tcp 192.0.2.1 port 80): servers: must be a list, not 5",
        ),
        (
            {"services": [{**WEB, "servers": [5]}]},
            "services[0] (tcp 192.0.2.1 port 80), servers[0] (5): must be a mapping, not 5",
        ),
        (
            {"services": [{**WEB, "weight": 1, "ratio": 1}]},
            "services[0] (tcp 192.0.2.1 port 80): ratio, weight: no such field; there are address, family, fwmark,",
        ),
        (
            {"services": [{**WEB, "servers": [{"address": "10.0.0.1", "wight": 1}]}]},
            "services[0] (tcp 192.0.2.1 port 80), servers[0] (10.0.0.1): wight: no such field; there are address, forward,",
        ),
        (
            {"services": [{**WEB, "address": 12}]},
            "services[0] (tcp 12 port 80): address: 12 is not an IP address",
        ),
        (
            {"services": [{**WEB, "scheduler_flags": 5}]},
            "services[0] (tcp 192.0.2.1 port 80): scheduler_flags: must be a list, not 5",
        ),
        ({"timeouts": 5}, "timeouts: must be a mapping, not 5"),
        ({"timeouts": []}, "timeouts: must be a mapping, not []"),
        ({"timeouts": {"icmp": 5}}, "timeouts: icmp: no such field; there are tcp, tcp_fin, udp"),
        ({"sync_daemons": 5}, "sync_daemons: must be a list, not 5"),
        ({"sync_daemons": [{"interface": "eth0"}]}, "sync_daemons[0]: role: is required"),
        (
            {"sync_daemons": [{"role": "chief", "interface": "eth0"}]},
            "sync_daemons[0]: role: must be one of master, backup, not 'chief'",
        ),
    ],
)
def test_what_has_another_form_is_said_with_its_place(call, values, sentence):
    result = call(ipvs, FakeIpvsadm(), **values)
    assert result["failed"] is True
    assert result["msg"].startswith(sentence)


def test_every_field_is_documented():
    options = yaml.safe_load(ipvs.DOCUMENTATION)["options"]
    services = options["services"]["suboptions"]
    assert set(services) == SERVICE_FIELDS
    assert set(services["servers"]["suboptions"]) == SERVER_FIELDS
    assert set(options["timeouts"]["suboptions"]) == {"tcp", "tcp_fin", "udp"}
    assert set(options["sync_daemons"]["suboptions"]) == DAEMON_FIELDS


GOES = {**WEB, "state": "absent"}


@pytest.mark.parametrize("stands", [True, False])
@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("service", "sentence"),
    [
        ({**GOES, "scheduler": "bogus"}, "tcp 192.0.2.1:80: scheduler: the kernel has no 'bogus'; it offers"),
        (
            {**GOES, "persistence_timeout": 9, "persistence_engine": "bogus"},
            "tcp 192.0.2.1:80: persistence_engine: the kernel has no 'bogus'",
        ),
        (
            {**GOES, "scheduler_flags": ["mh-port"]},
            "services[0] (tcp 192.0.2.1 port 80): scheduler_flags: mh-port needs scheduler mh",
        ),
        (
            {**GOES, "servers": [{"address": "10.0.0.1", "weight": -1}]},
            "services[0] (tcp 192.0.2.1 port 80), servers[0] (10.0.0.1): weight: must be",
        ),
    ],
)
def test_a_service_that_goes_is_looked_at_like_one_that_comes(call, service, sentence, check, stands):
    fake = FakeIpvsadm()
    call(ipvs, fake, services=[WEB] if stands else [])
    before = copy.deepcopy(fake.virtuals)
    result = call(ipvs, fake, check=check, services=[service])
    assert result["failed"] is True
    assert result["msg"].startswith(sentence)
    assert fake.virtuals == before


def test_a_service_goes_by_all_that_describes_it_and_by_its_name_alone(call):
    for service in (GOES, {"address": "192.0.2.1", "port": 80, "state": "absent"}):
        fake = FakeIpvsadm(schedulers={"wrr"})
        call(ipvs, fake, services=[WEB])
        fake.calls.clear()
        assert call(ipvs, fake, services=[service])["plan"] == ["-D -t 192.0.2.1:80"]
        assert len(fake.calls) == 2
        fake.calls.clear()
        assert call(ipvs, fake, services=[service])["changed"] is False
        assert len(fake.calls) == 1


def test_a_service_of_every_port_is_removed_by_its_name(call):
    fake = FakeIpvsadm()
    name = {"address": "192.0.2.9", "port": 0}
    call(ipvs, fake, services=[{**name, "persistence_timeout": 9}])
    gone = call(ipvs, fake, services=[{**name, "state": "absent"}])
    assert gone["plan"] == ["-D -t 192.0.2.9:0"]
    assert fake.virtuals == {}


WRONG = {
    "protocol": {**WEB, "port": 81, "protocol": "icmp"},
    "scheduler": {**WEB, "port": 81, "scheduler": "bogus"},
    "persistence_engine": {**WEB, "port": 81, "persistence_timeout": 1, "persistence_engine": "bogus"},
    "fwmark": {"fwmark": 2**32},
    "not both": {**WEB, "fwmark": 1},
    "neither": {"scheduler": "rr"},
    "family": {**WEB, "port": 81, "family": "ipv4"},
    "port": {**WEB, "port": 0},
    "weight": {**WEB, "port": 81, "servers": [{"address": "10.0.0.1", "weight": -1}]},
    "upper_threshold": {**WEB, "port": 81, "servers": [{"address": "10.0.0.1", "upper_threshold": -1}]},
    "lower_threshold": {
        **WEB,
        "port": 81,
        "servers": [{"address": "10.0.0.1", "upper_threshold": 1, "lower_threshold": 2}],
    },
    "the same service": {**WEB, "port": 89},
    "the same real server": {
        "address": "2001:db8::1",
        "port": 80,
        "servers": [{"address": "2001:db8::2"}, {"address": "2001:DB8:0::2"}],
    },
    "forward: tunnel": {**WEB, "port": 81, "servers": [{"address": "2001:db8::2"}]},
    "scheduler_flags": {**WEB, "port": 81, "scheduler_flags": ["mh-port"]},
    "tunnel_port": {
        **WEB,
        "port": 81,
        "servers": [{"address": "10.0.0.1", "forward": "tunnel", "tunnel_type": "gue"}],
    },
    "persistence_netmask": {**WEB, "port": 81, "persistence_timeout": 1, "persistence_netmask": 64},
}


def names(service: dict, position: int) -> list[str]:
    """How a message may name a service: as it was written, as the kernel has it, or, without a name, by its place."""
    if "fwmark" in service:
        return ["(fwmark {fwmark})".format(**service)]
    if "address" in service:
        written = "({} {address} port {port})".format(service.get("protocol", "tcp"), **service)
        return [written, "tcp {address}:{port}: ".format(**service)]
    return [f"services[{position}]: "]


@pytest.mark.parametrize("where", ["first", "in the middle", "last"])
@pytest.mark.parametrize("field", WRONG)
def test_one_wrong_entry_of_a_long_list_changes_nothing(call, field, where):
    fake = FakeIpvsadm()
    call(ipvs, fake, services=[{**WEB, "servers": [{"address": "10.0.0.9"}]}, {"fwmark": 7}])
    before = copy.deepcopy((fake.virtuals, fake.timeouts, fake.daemons))
    right = [{**WEB, "port": port} for port in (80, *range(82, 112))]
    position = {"first": 0, "in the middle": 15, "last": len(right)}[where]
    services = [*right[:position], WRONG[field], *right[position:]]
    rest = {"timeouts": {"tcp": 60}, "sync_daemons": [{"role": "master", "interface": "eth0"}]}
    result = call(
        ipvs, fake, services=services, purge="services", purge_scope=["0.0.0.0/0", "fwmark:1-99"], **rest
    )
    assert result["failed"] is True
    assert field in result["msg"]
    assert any(name in result["msg"] for name in names(WRONG[field], position))
    assert (fake.virtuals, fake.timeouts, fake.daemons) == before


# A service of every port needs no persistence to be removed.
@pytest.mark.parametrize("field", [field for field in WRONG if field != "port"])
def test_a_wrong_entry_is_wrong_also_where_its_service_goes(call, field):
    fake = FakeIpvsadm()
    call(ipvs, fake, services=[WEB, {**WEB, "port": 81}, {**WEB, "port": 89}])
    before = copy.deepcopy(fake.virtuals)
    result = call(ipvs, fake, services=[{**WEB, "port": 89}, {**WRONG[field], "state": "absent"}])
    assert result["failed"] is True
    assert field in result["msg"]
    assert any(name in result["msg"] for name in names(WRONG[field], 1))
    assert fake.virtuals == before
