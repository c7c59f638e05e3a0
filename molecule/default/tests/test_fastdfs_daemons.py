"""What both daemons of FastDFS owe the host that they run on: supervision, and a sandbox that holds."""

from __future__ import annotations

import re
import time

import pytest

DAEMONS = [
    ("fastdfs_trackers", "fdfs-trackerd", "/var/lib/fastdfs/tracker", 22122),
    ("fastdfs_storages", "fdfs-storaged", "/var/lib/fastdfs/storage", 23000),
]


@pytest.fixture(params=DAEMONS, ids=lambda daemon: daemon[1])
def daemon(request, nodes):
    """Hosts of the daemon, its unit, its state's directory, its port."""
    group, unit, state, port = request.param
    return nodes(group), unit, state, port


def process(host, unit: str) -> str:
    pid = host.check_output(f"systemctl show --property=MainPID --value {unit}")
    assert pid != "0", f"{unit} does not run on {host.name}"
    return pid


def test_it_runs_and_starts_at_boot(daemon):
    hosts, unit, _, _ = daemon
    for host in hosts:
        assert host.service(unit).is_running, host.name
        assert host.service(unit).is_enabled, host.name


def test_it_runs_with_the_files_that_are_there(daemon):
    hosts, unit, _, _ = daemon
    for host in hosts:
        assert host.run(f"sha256sum --check --quiet /run/{unit}/started").rc == 0, host.name
        assert host.check_output(f"systemctl show --property=NeedDaemonReload --value {unit}") == "no", (
            host.name
        )


def test_every_process_of_it_belongs_to_fastdfs_and_has_no_privilege(daemon):
    hosts, unit, _, _ = daemon
    for host in hosts:
        status = host.check_output(f"cat /proc/{process(host, unit)}/status")
        values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        user = host.user("fastdfs").uid
        assert set(values["Uid"].split()) == {str(user)}, host.name
        assert {values[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {
            "0" * 16
        }
        assert values["NoNewPrivs"].strip() == "1", host.name
        assert values["Seccomp"].strip() == "2", host.name


def test_it_can_write_its_own_state_and_nothing_of_the_system(daemon):
    hosts, unit, state, _ = daemon
    for host in hosts:
        inside = f"nsenter --mount --target {process(host, unit)}"
        assert host.run(f"{inside} sh -c 'touch {state}/probe && rm {state}/probe'").rc == 0, host.name
        for place in ("/etc", "/usr/local/bin", "/opt/fastdfs/current/usr/bin", "/var/log", "/var/lib"):
            tried = host.run(f"{inside} touch {place}/probe")
            assert tried.rc != 0 and "Read-only file system" in tried.stderr, (host.name, place)
        assert (
            host.check_output(f"{inside} ls -A /root /home 2>/dev/null | grep -v -e : -e '^$' || true") == ""
        )


def test_systemd_rates_the_sandbox_as_ok(daemon):
    hosts, unit, _, _ = daemon
    for host in hosts:
        rating = host.check_output(f"systemd-analyze security --no-pager {unit}").splitlines()[-1]
        assert float(re.search(r"(\d+\.\d+)", rating).group(1)) < 2.0, (host.name, rating)


def test_what_writes_images_to_the_disk_is_sandboxed_and_nothing_but_that(nodes):
    for host in nodes("fastdfs_storages"):
        assert host.service("fdfs-storaged-sync").is_running, host.name
        assert (
            host.run("systemd-analyze security --no-pager --threshold=30 fdfs-storaged-sync.service").rc == 0
        )
        shown = host.check_output(
            "systemctl show fdfs-storaged-sync -p User -p PrivateNetwork -p NoNewPrivileges -p ProtectSystem"
        )
        assert set(shown.split()) == {
            "User=fastdfs",
            "PrivateNetwork=yes",
            "NoNewPrivileges=yes",
            "ProtectSystem=strict",
        }


def test_it_listens_on_the_cluster_s_address_only(daemon, hostvars):
    hosts, _, _, port = daemon
    for host in hosts:
        listening = host.check_output(f"ss -ltnH 'sport = :{port}'").splitlines()
        own = hostvars(host.name).get("image_cluster_address", hostvars(host.name)["ansible_host"])
        assert [line.split()[3] for line in listening] == [f"{own}:{port}"], host.name


def test_not_everybody_may_connect(daemon):
    hosts, unit, _, _ = daemon
    name = {"fdfs-trackerd": "tracker", "fdfs-storaged": "storage"}[unit]
    for host in hosts:
        allowed = re.findall(r"(?m)^allow_hosts = (.*)$", host.file(f"/etc/fdfs/{name}.conf").content_string)
        assert allowed and "*" not in allowed, host.name


def test_its_state_is_not_for_other_users(daemon):
    hosts, _, state, _ = daemon
    for host in hosts:
        assert (host.file(state).user, host.file(state).mode) == ("fastdfs", 0o750), host.name
        assert host.run(f"runuser -u nobody -- ls {state}").rc != 0, host.name


def test_it_comes_back_when_it_is_killed(daemon):
    hosts, unit, _, _ = daemon
    host = hosts[0]
    before = process(host, unit)
    host.check_output(f"kill -9 {before}")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        now = host.check_output(f"systemctl show --property=MainPID --value {unit}")
        if now not in (before, "0") and host.service(unit).is_running:
            return
        time.sleep(0.5)
    pytest.fail(f"{unit} on {host.name} was killed and did not come back within 30 s")
