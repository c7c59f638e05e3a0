"""The modules as a user calls them, one after the other in one play, on a machine that begins without IPVS and without ipvsadm."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
OVERLAY = str(PROJECT / "molecule" / "lab" / "inventory")
WEB = {
    "address": "192.0.2.1",
    "port": 80,
    "scheduler": "wrr",
    "servers": [{"address": "198.51.100.1", "weight": 2}, {"address": "198.51.100.2"}],
}
PLAN = [
    "-A -t 192.0.2.1:80 -s wrr",
    "-a -t 192.0.2.1:80 -r 198.51.100.1:80 -g -w 2 -x 0 -y 0",
    "-a -t 192.0.2.1:80 -r 198.51.100.2:80 -g -w 1 -x 0 -y 0",
]
SCOPE = ["192.0.2.0/24", "fwmark:1-99"]
BEGIN = """
rm -f /run/ipvsadm.seen
ipvsadm -C
mv /usr/sbin/ipvsadm /usr/sbin/ipvsadm.away
systemd-detect-virt --quiet --container || modprobe -r $(lsmod | awk '$1 ~ /^ip_vs_/ { print $1 }') ip_vs
"""
# A stand-in that notes each start and each line, and is ipvsadm otherwise.
INSTALL = r"""
mv /usr/sbin/ipvsadm.away /usr/sbin/ipvsadm
printf '#!/bin/sh\necho start >> /run/ipvsadm.seen\ntee -a /run/ipvsadm.seen | /usr/sbin/ipvsadm "$@"\n' > /usr/local/sbin/ipvsadm
chmod 755 /usr/local/sbin/ipvsadm
"""
SEEN = "cat /run/ipvsadm.seen; rm -f /run/ipvsadm.seen"
TABLE = "/usr/sbin/ipvsadm -S -n"
LOADED = "ls /proc/net/ip_vs 2>/dev/null || true"
END = "rm /usr/local/sbin/ipvsadm; /usr/sbin/ipvsadm -C"
NOBODY = {  # in variables, because the lab's say that nobody becomes anybody
    "ansible_become": True,
    "ansible_become_method": "ansible.builtin.su",
    "ansible_become_user": "nobody",
    "ansible_become_flags": "--shell /bin/sh",
}


def ipvs(name: str, check: bool = False, keywords: dict | None = None, **arguments) -> dict:
    return {"name": name, "imageops.lvs_fastdfs.ipvs": arguments, "check_mode": check, **(keywords or {})}


def raw(name: str, command: str) -> dict:
    return {"name": name, "ansible.builtin.raw": command}


TASKS = [
    raw("begin", BEGIN),
    ipvs("missing in check mode", check=True, services=[WEB]),
    ipvs("missing", services=[WEB]),
    raw("install", INSTALL),
    ipvs("check mode", check=True, services=[WEB], keywords={"diff": True}),
    {"name": "info before", "imageops.lvs_fastdfs.ipvs_info": {}},
    raw("loaded by looking", LOADED),
    ipvs("first", services=[WEB]),
    raw("seen first", SEEN),
    ipvs("second", services=[WEB], purge="servers"),
    raw("seen second", SEEN),
    ipvs("unknown scheduler", services=[{**WEB, "port": 81}, {"fwmark": 1, "scheduler": "bogus"}]),
    # the kernel takes no broadcast address for a real server
    ipvs(
        "refused",
        services=[{**WEB, "servers": [{"address": "10.204.0.255"}]}, {"fwmark": 5}],
        purge="servers",
    ),
    ipvs("nobody", services=[{**WEB, "scheduler": "rr"}], keywords={"vars": NOBODY}),
    raw("table after refusals", TABLE),
    raw(
        "somebody else's",
        "/usr/sbin/ipvsadm -A -t 203.0.113.1:80; /usr/sbin/ipvsadm -A -f 7; /usr/sbin/ipvsadm -A -f 100",
    ),
    {
        "name": "drain",
        "imageops.lvs_fastdfs.ipvs_drain": {
            "server": "198.51.100.1",
            "services": [{"address": "192.0.2.1", "port": 80}],
        },
    },
    ipvs("purge", services=[WEB], purge="services", purge_scope=SCOPE, keep_weights="drained"),
    raw("table after purge", TABLE),
    ipvs(
        "settings",
        timeouts={"tcp": 600},
        sync_daemons=[{"role": "backup", "interface": "eth0", "sync_id": 3}],
    ),
    {"name": "info", "imageops.lvs_fastdfs.ipvs_info": {}, "register": "table"},
    ipvs(
        "given back",
        services="{{ table.services }}",
        timeouts="{{ table.timeouts }}",
        sync_daemons="{{ table.sync_daemons }}",
        purge="services",
        purge_scope=SCOPE,
    ),
    ipvs("defaults", timeouts={"tcp": 900}, sync_daemons=[]),
    raw("end", END),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What each task returned, by its name."""
    play = tmp_path_factory.mktemp("play") / "play.json"
    tasks = [{**task, "ignore_errors": True} for task in TASKS]
    play.write_text(json.dumps([{"hosts": "director1", "gather_facts": False, "tasks": tasks}]))
    command = ["ansible-playbook", "-i", os.environ["IMAGEOPS_INVENTORY"], "-i", OVERLAY, str(play)]
    # Without the checkout's configuration, whose callbacks would write between the results.
    (play.parent / "ansible.cfg").touch()
    settings = {
        "ANSIBLE_CONFIG": str(play.parent / "ansible.cfg"),
        "ANSIBLE_HOME": str(PROJECT / ".ansible"),
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
    }
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    assert "{" in done.stdout, done.stderr
    ran = json.loads(done.stdout[done.stdout.index("{") :])["plays"][0]["tasks"]
    found = {task["task"]["name"]: task["hosts"]["director1"] for task in ran}
    assert list(found) == [task["name"] for task in TASKS], done.stdout[-2000:]
    return found


@pytest.fixture(scope="module")
def lines(results):
    """lines("seen first"): what that command printed."""
    return lambda name: results[name]["stdout"].split("\r\n" if "\r" in results[name]["stdout"] else "\n")[
        :-1
    ]


def failed(result: dict) -> str:
    assert result["failed"] is True
    assert not result["changed"]
    return result["msg"]


def test_without_ipvsadm_check_mode_has_a_plan_and_a_warning(results):
    result = results["missing in check mode"]
    assert (result["changed"], result["plan"]) == (True, PLAN)
    assert result["warnings"] == ["ipvsadm is not installed: the plan assumes an empty table"]
    assert "ipvsadm is not installed" in failed(results["missing"])


def test_check_mode_and_info_load_nothing(results, hostvars):
    assert results["check mode"]["plan"] == PLAN
    assert "198.51.100.1:80 dr weight 2" in results["check mode"]["diff"]["after"]
    if results["info before"]["available"]:
        pytest.skip("this container's kernel has IPVS loaded for everybody")
    assert results["info before"]["version"] is None
    assert results["loaded by looking"]["stdout"].strip() == ""


def test_a_run_has_two_processes_and_the_next_one_only_reads(results, lines):
    assert results["first"]["changed"] is True
    assert results["first"]["plan"] == PLAN
    assert [line for line in lines("seen first") if line[:2] in ("-A", "-a")] == PLAN
    assert lines("seen first").count("start") == 2
    assert results["second"]["changed"] is False
    assert lines("seen second") == ["start", "-S -n", "-L -n --thresholds", "-L --timeout", "-L --daemon"]


def test_what_is_refused_changes_nothing(results, lines):
    assert "fwmark 1: scheduler: the kernel has no 'bogus'; it offers" in failed(results["unknown scheduler"])
    message = failed(results["refused"])
    assert "real server 10.204.0.255:80 (-a -t 192.0.2.1:80 -r 10.204.0.255:80 -g -w 1 -x 0 -y 0)" in message
    assert "The table before was put back" in message
    assert "needs root" in failed(results["nobody"])
    assert lines("table after refusals") == [line.removesuffix(" -x 0 -y 0") for line in PLAN]


def test_purge_stays_in_its_scope_and_a_drain_stands(results, lines):
    assert results["drain"]["changed"] is True
    assert results["purge"]["plan"] == ["-D -f 7"]
    assert "-A -f 100 -s wlc" in lines("table after purge")
    assert "-A -t 203.0.113.1:80 -s wlc" in lines("table after purge")
    assert "-a -t 192.0.2.1:80 -r 198.51.100.1:80 -g -w 0" in lines("table after purge")


def test_timeouts_and_daemons_are_set_and_told(results):
    assert results["settings"]["timeouts"]["tcp"] == results["info"]["timeouts"]["tcp"] == 600
    daemons = [{"role": "backup", "interface": "eth0", "sync_id": 3}]
    assert results["settings"]["sync_daemons"] == results["info"]["sync_daemons"] == daemons
    assert results["info"]["available"] is True
    assert results["defaults"]["sync_daemons"] == []


def test_what_info_returns_can_be_given_back_as_it_is(results):
    assert "connections" in results["info"]["services"][0]
    assert results["given back"]["plan"] == []
