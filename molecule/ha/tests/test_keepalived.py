"""What the role keepalived promises of a director."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROLE = Path(__file__).parents[2] / "default" / "role.yml"
CONF = "/etc/keepalived/keepalived.conf"
CHECK = "/usr/local/libexec/keepalived-lvs/check"
DRAIN = "/var/lib/nginx-image/drain"


# keepalived's checker takes no line that it has to complete.
RAW = """
virtual_server 198.51.100.7 80 {
    protocol TCP
    lvs_sched rr
    lvs_method DR
    real_server 198.51.100.8 80 {
        weight 2
    }
}
"""


def main_pid(host) -> str:
    return host.check_output("systemctl show --property=MainPID --value keepalived")


def test_one_director_carries_the_vips_and_both_have_the_same_table(directors, nodes):
    """A VIP of each address family, with a virtual service of its own."""
    assert directors.carried(directors.settle()) == set(directors.vips)
    assert directors.pools()[0].count("-a ") == len(nodes("image_servers")) * len(directors.vips)


def test_each_director_can_be_told_from_the_other_and_takes_nothing_back(directors):
    priorities = set()
    for host in directors.pair.values():
        conf = host.file(CONF).content_string
        assert "nopreempt" in conf and "state BACKUP" in conf
        priorities.add(re.search(r"(?m)^ +priority (\d+)", conf)[1])
    assert len(priorities) == len(directors.pair)


def test_adverts_are_sent_with_realtime_priority(directors):
    for host in directors.pair.values():
        policies = host.check_output("for pid in $(pgrep -x keepalived); do chrt -p $pid; done")
        assert "SCHED_RR" in policies


def test_scripts_run_as_nobody_who_matters_and_keepalived_in_a_sandbox(directors):
    for host in directors.pair.values():
        assert "script_user keepalived_script" in host.file(CONF).content_string
        assert host.user("keepalived_script").shell.endswith("nologin")
        shown = host.check_output(
            "systemctl show keepalived -p NoNewPrivileges -p ProtectSystem -p ProtectHome"
        )
        assert set(shown.split()) == {"NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes"}
        assert host.run("systemd-analyze security --no-pager --threshold=40 keepalived.service").rc == 0


def test_connections_are_copied_from_either_director_to_the_other(directors):
    directors.settle()
    for host in directors.pair.values():
        daemons = host.check_output("ipvsadm -L --daemon").splitlines()
        assert {line.split()[0] for line in daemons} == {"master", "backup"}


def test_readers_are_served_where_a_sync_daemon_is_a_backup(directors, nodes, vips):
    """With backup_only, such a director forwards nothing and refuses new readers."""
    holder = directors.pair[directors.settle()]
    assert "backup sync daemon" in holder.check_output("ipvsadm -L --daemon")
    reader = nodes("image_readers")[0]
    assert reader.check_output(f"curl -s -o /dev/null -w '%{{http_code}}' http://{vips[0]}/") == "200"


def test_the_check_tells_healthy_from_drained_from_dead(directors, node, hostvars):
    director = directors.pair[directors.settle()]
    address = hostvars("image1")["ansible_host"]
    assert director.run(f"{CHECK} {address} 80 /healthz 7 1").rc == 9
    assert director.run(f"{CHECK} {address} 80 /nowhere 7 1").rc == 1
    assert director.run(f"{CHECK} {address} 81 /healthz 7 1").rc == 1
    node("image1").check_output(f"touch {DRAIN}")
    try:
        assert director.run(f"{CHECK} {address} 80 /healthz 7 1").rc == 2
    finally:
        node("image1").check_output(f"rm {DRAIN}")


def test_transitions_are_recorded_for_people(directors):
    for lines in directors.transitions().values():
        assert lines
        assert all(re.fullmatch(r"\S+T\S+ images (MASTER|BACKUP|FAULT) \d+", line) for line in lines)


@pytest.fixture(scope="module")
def refused(begin, directors, tmp_path_factory):
    """How runs of the role ended with a configuration that keepalived refuses, and beside somebody else's keepalived."""
    directors.settle()
    first, second = directors.pair
    raw = tmp_path_factory.mktemp("refused") / "raw.yml"
    raw.write_text(json.dumps({"keepalived_lvs_raw": "virtual_server nowhere {"}))
    before = {name: (main_pid(host), host.file(CONF).sha256sum) for name, host in directors.pair.items()}
    # What tells it from somebody else's.
    mark = directors.pair[second].check_output(f"grep -n 'Role imageops' {CONF}")
    number = mark.split(":")[0]
    directors.pair[second].check_output(f"sed -i '{number}s/^# Role/# Rule/' {CONF}")
    try:
        ends = {
            "raw": begin(ROLE, "-e", f"role=keepalived role_hosts={first} role_vars={raw}"),
            "foreign": begin(ROLE, "-e", f"role=keepalived role_hosts={second}"),
        }
        ended = {name: end() for name, end in ends.items()}
    finally:
        directors.pair[second].check_output(f"sed -i '{number}s/^# Rule/# Role/' {CONF}")
    yield ended
    assert {
        name: (main_pid(host), host.file(CONF).sha256sum) for name, host in directors.pair.items()
    } == before


def test_a_configuration_that_keepalived_refuses_is_not_put_in_place(refused):
    assert refused["raw"].status != 0
    assert "nowhere" in refused["raw"].said


def test_somebody_elses_keepalived_is_left_alone(refused):
    assert refused["foreign"].status != 0
    assert "A keepalived that this role did not set up runs here" in refused["foreign"].said


def test_below_the_quorum_the_sorry_server_is_in_the_table_and_so_are_raw_lines(
    begin, directors, hostvars, node, tmp_path, wait
):
    directors.settle()
    name = directors.other()
    host, sorry = directors.pair[name], hostvars("tracker1")["ansible_host"]
    asked = {
        "keepalived_lvs_quorum": 2,
        "keepalived_lvs_sorry_server": {"address": sorry},
        "keepalived_lvs_raw": RAW,
    }

    def given(variables: dict) -> str:
        file = tmp_path / "variables.yml"
        file.write_text(json.dumps(variables))
        played = begin(ROLE, "-e", f"role=keepalived role_hosts={name} role_vars={file}")()
        assert played.status == 0, played.said
        return host.check_output("ipvsadm -S -n")

    table = given(asked)
    assert "-a -t 198.51.100.7:80 -r 198.51.100.8:80 -g -w 2" in table
    assert sorry not in table
    node("image2").check_output(f"touch {DRAIN}")
    try:
        wait(
            lambda: f"-a -f 1 -r {sorry}:0" in host.check_output("ipvsadm -S -n"),
            "the sorry server is in it",
        )
    finally:
        node("image2").check_output(f"rm {DRAIN}")
    wait(lambda: sorry not in host.check_output("ipvsadm -S -n"), "image servers are in it again")
    assert "198.51.100.7" not in given({})
    directors.settle()


@pytest.mark.parametrize("changed", [False, True])
def test_a_reload_moves_nothing_and_breaks_nothing(directors, reading, changed, wait):
    holder = directors.settle()
    host = directors.pair[holder]
    pid, transitions = main_pid(host), directors.transitions()
    # Both keep a drained or dead server what it is; the interval is one that no profile has.
    host.check_output(f"cp -p {CONF} /var/tmp/keepalived.conf")
    edit = f"sed -i 's/delay_loop .*/delay_loop 1.25/' {CONF} && " if changed else ""
    with reading(downloads=20) as seen:
        host.check_output(f"{edit}systemctl reload keepalived")
        wait(lambda: host.run(f"test {CONF} -ot /run/keepalived-lvs/loaded").rc == 0, "reloaded")
    if changed:
        host.check_output(f"cp -p /var/tmp/keepalived.conf {CONF} && systemctl reload keepalived")
    assert (main_pid(host), directors.transitions(), directors.settle()) == (pid, transitions, holder)
    assert seen.losses() == {}
    assert seen.report["downloads"]["started"] >= 20
