# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ``ipvs_drain`` from arguments to result, as Ansible calls it."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.drain import (
    PLACE_FIELDS,
    Surroundings,
)
from ansible_collections.imageops.lvs_fastdfs.plugins.modules import ipvs, ipvs_drain
from fake_ipvsadm import Connection, FakeIpvsadm

A = {"address": "10.0.0.1", "weight": 3, "upper_threshold": 9}
B = {"address": "10.0.0.2"}
WEB = {"address": "192.0.2.1", "port": 80, "scheduler": "wrr", "servers": [A, B]}
MARK = {"fwmark": 1, "servers": [{**A, "weight": 5}, B]}
IN_WEB = (("TCP", "192.0.2.1", 80), ("10.0.0.1", 80))
WEB_SHAPE = {"address": "192.0.2.1", "port": 80, "protocol": "tcp", "server_port": 80}
MARK_SHAPE = {"fwmark": 1, "family": "ipv4", "server_port": 0}
PLAN = ["-e -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 0 -x 9 -y 0", "-e -f 1 -r 10.0.0.1:0 -g -w 0 -x 9 -y 0"]


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """The pauses that were made, in a time that passes only by them."""
    made: list[float] = []
    around = Surroundings(lambda: sum(made), made.append, lambda: False)
    monkeypatch.setattr(ipvs_drain, "Surroundings", lambda: around)
    return made


@pytest.fixture
def fake(call, pauses) -> FakeIpvsadm:
    kernel = FakeIpvsadm()
    call(ipvs, kernel, services=[WEB, MARK])
    kernel.calls.clear()
    return kernel


def test_drain_and_back(call, fake):
    first = call(ipvs_drain, fake, server="10.0.0.1", diff=True)
    assert first.pop("diff") == {
        "before": (
            "fwmark 1 wlc\n  10.0.0.1:0 dr weight 5 thresholds 9/0\n  10.0.0.2:0 dr weight 1\n"
            "tcp 192.0.2.1:80 wrr\n  10.0.0.1:80 dr weight 3 thresholds 9/0\n  10.0.0.2:80 dr weight 1\n"
            "timeouts tcp 900 tcp_fin 120 udp 300\n"
        ),
        "after": (
            "fwmark 1 wlc\n  10.0.0.1:0 dr weight 0 thresholds 9/0\n  10.0.0.2:0 dr weight 1\n"
            "tcp 192.0.2.1:80 wrr\n  10.0.0.1:80 dr weight 0 thresholds 9/0\n  10.0.0.2:80 dr weight 1\n"
            "timeouts tcp 900 tcp_fin 120 udp 300\n"
        ),
    }
    first.pop("invocation", None)  # newer ansible-cores return none
    assert first == {
        "changed": True,
        "plan": PLAN,
        "weights": [{**WEB_SHAPE, "weight": 3}, {**MARK_SHAPE, "weight": 5}],
        "left": [],
        "timed_out": False,
        "elapsed": 0.0,
        "warned": [],
    }
    again = call(ipvs_drain, fake, server="10.0.0.1")
    assert (again["changed"], again["plan"]) == (False, [])
    assert call(ipvs, fake, services=[WEB, MARK], keep_weights="drained")["changed"] is False
    back = call(ipvs_drain, fake, server="10.0.0.1", state="active", services=first["weights"])
    assert back["plan"] == [PLAN[0].replace("-w 0", "-w 3"), PLAN[1].replace("-w 0", "-w 5")]
    assert call(ipvs, fake, services=[WEB, MARK])["changed"] is False


def test_a_server_given_as_a_mapping(call, fake):
    assert call(ipvs_drain, fake, server={"address": "10.0.0.1", "port": 0})["plan"] == PLAN[1:]


def test_check_mode(call, fake, pauses):
    fake.connections.append(Connection(*IN_WEB))
    checked = call(ipvs_drain, fake, check=True, server="10.0.0.1")
    assert (checked["changed"], checked["plan"], checked["timed_out"]) == (True, PLAN, False)
    assert checked["left"] == [{**WEB_SHAPE, "active_connections": 1, "inactive_connections": 0}]
    assert (fake.writes, pauses) == ([], [])


def test_connections_that_do_not_end(call, fake, pauses):
    fake.connections += [Connection(*IN_WEB), Connection(*IN_WEB, state="FIN_WAIT")]
    left = [{**WEB_SHAPE, "active_connections": 1, "inactive_connections": 1}]
    failed = call(ipvs_drain, fake, server="10.0.0.1", timeout=3)
    assert failed["failed"] is True
    assert failed["msg"] == (
        "10.0.0.1 still has connections after 3 s: tcp 192.0.2.1:80, real server 10.0.0.1:80 has 1 active and 1 inactive."
        " Its weight stays 0"
    )
    assert (failed["changed"], failed["plan"], failed["left"], failed["timed_out"]) == (
        True,
        PLAN,
        left,
        True,
    )
    assert [entry["weight"] for entry in failed["weights"]] == [3, 5]
    assert pauses == [1.0, 1.0, 1.0]
    stays = call(ipvs_drain, fake, server="10.0.0.1", timeout=0, on_timeout="leave")
    assert "failed" not in stays
    assert (stays["changed"], stays["left"], stays["timed_out"]) == (False, left, True)
    hasty = call(ipvs_drain, fake, server="10.0.0.1", wait="none")
    assert (hasty["left"], hasty["timed_out"], hasty["elapsed"]) == (left, False, 0.0)


def test_what_clients_meet_is_warned_of(call, pauses):
    fake = FakeIpvsadm()
    call(ipvs, fake, services=[{**WEB, "persistence_timeout": 60}])
    (warning,) = call(ipvs_drain, fake, server="10.0.0.1")["warned"]
    assert "net.ipv4.vs.expire_quiescent_template" in warning


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"server": "10.0.0.9"}, "server: 10.0.0.9 stands in no virtual service"),
        ({"server": "web1"}, "server: 'web1' is not an IP address"),
        (
            {"server": "10.0.0.1", "services": [{"fwmark": 2}]},
            "services: fwmark 2: there is no such virtual service",
        ),
        ({"server": "10.0.0.1", "services": []}, "services: is empty"),
        (
            {"server": "10.0.0.1", "state": "gone"},
            "value of state must be one of: drained, active, got: gone",
        ),
        (
            {"server": "10.0.0.1", "wait": "some"},
            "value of wait must be one of: active, all, none, got: some",
        ),
        (
            {"server": "10.0.0.1", "state": "active", "weight": 65536},
            "weight: must be an integer from 1 to 65535",
        ),
        ({}, "missing required arguments: server"),
        (
            {"server": "10.0.0.1", "state": "active", "weight": "heavy"},
            "weight: must be an integer from 1 to 65535, not 'heavy'",
        ),
        (
            {"server": "10.0.0.1", "weight": "heavy"},
            "weight: must be an integer from 0 to 65535, not 'heavy'",
        ),
        ({"server": "10.0.0.1", "timeout": "long"}, "timeout: must be seconds from 0 to 2678400, not 'long'"),
        ({"server": "10.0.0.1", "timeout": [1]}, "timeout: must be seconds from 0 to 2678400, not [1]"),
        (
            {"server": "10.0.0.1", "poll_interval": True},
            "poll_interval: must be seconds from 0.1 to 2678400, not True",
        ),
        ({"server": "10.0.0.1:http"}, "server: port: must be an integer from 0 to 65535, not 'http'"),
        ({"server": "10.0.0.1", "services": 5}, "services: must be a list, not 5"),
        ({"server": "10.0.0.1", "services": {"fwmark": 1}}, "services: must be a list, not {'fwmark': 1}"),
        ({"server": "10.0.0.1", "services": [5]}, "services[0]: must be a mapping, not 5"),
        (
            {"server": "10.0.0.1", "services": [{"fwmark": 1, "ports": 80}]},
            "services[0] (fwmark 1): ports: no such field; there are address, family, fwmark, port,",
        ),
        (
            {"server": "10.0.0.1", "services": [{"fwmark": "web"}]},
            "services[0] (fwmark web): fwmark: must be an integer from 1 to 4294967295, not 'web'",
        ),
        (
            {"server": "10.0.0.1", "services": [{"address": "192.0.2.1", "port": "http"}]},
            "services[0] (tcp 192.0.2.1 port http): port: must be an integer from 0 to 65535, not 'http'",
        ),
        (
            {"server": "10.0.0.1", "services": [{"fwmark": 1, "server_port": "x"}]},
            "services[0] (fwmark 1): server_port: must be an integer from 0 to 65535, not 'x'",
        ),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_wrong_input_fails_with_a_sentence_and_changes_nothing(call, fake, values, sentence, check):
    result = call(ipvs_drain, fake, check=check, **values)
    assert result["failed"] is True
    assert result["msg"].startswith(sentence)
    assert fake.writes == []


def test_numbers_may_be_what_templates_make(call, fake):
    assert call(ipvs_drain, fake, server="10.0.0.1", timeout="3.5", poll_interval="2")["plan"] == PLAN
    back = {"server": "10.0.0.1", "state": "active", "weight": "3"}
    assert len(call(ipvs_drain, fake, services=[{"fwmark": "1", "server_port": "0"}], **back)["plan"]) == 1


def test_every_field_is_documented():
    options = yaml.safe_load(ipvs_drain.DOCUMENTATION)["options"]
    assert set(options["services"]["suboptions"]) == PLACE_FIELDS


def test_a_refusal_returns_the_plan(call, fake):
    fake.refuse = "-e -f 1 .* -w 0"
    result = call(ipvs_drain, fake, server="10.0.0.1")
    assert (result["failed"], result["plan"]) == (True, PLAN)
    assert call(ipvs, fake, services=[WEB, MARK])["changed"] is False


@pytest.mark.parametrize("check", [False, True])
def test_machines_without_ipvs(call, fake, check):
    assert "ipvsadm is not installed" in call(ipvs_drain, None, check=check, server="10.0.0.1")["msg"]
    fake.loaded = False
    assert "the kernel has no IPVS loaded" in call(ipvs_drain, fake, check=check, server="10.0.0.1")["msg"]
    assert (fake.calls, fake.loaded) == ([], False)
