"""What the firewall owes: our ports for those who need them, everything else as it was, whatever happens to nftables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PREFLIGHT = Path(__file__).parents[3] / "playbooks" / "preflight.yml"
TABLE = "table inet firewall_image"
STORAGE_PORT = 23000
FOREIGN_PORT = 18999


@pytest.fixture(scope="module")
def storage(nodes):
    return nodes("fastdfs_storages")[0]


@pytest.fixture(scope="module")
def writer(nodes):
    return nodes("fastdfs_trackers")[0]


@pytest.fixture(scope="module")
def stranger(nodes):
    """A host of the cluster that never writes images."""
    return nodes("lvs_directors")[0]


@pytest.fixture(scope="module")
def address(storage, hostvars):
    return hostvars(storage.name)["ansible_host"]


def reaches(host, address: str, port: int) -> bool:
    return host.run(f"timeout 3 bash -c '</dev/tcp/{address}/{port}'").rc == 0


def table(host) -> str:
    return host.run(f"nft list {TABLE}").stdout


def test_a_writer_reaches_the_storage_and_a_stranger_does_not(storage, writer, stranger, address):
    assert reaches(writer, address, STORAGE_PORT)
    assert not reaches(stranger, address, STORAGE_PORT)


def test_a_stranger_waits_in_vain(stranger, address):
    """Dropped and not rejected: 124 is the time running out, a refusal would be 1."""
    assert stranger.run(f"timeout 3 bash -c '</dev/tcp/{address}/{STORAGE_PORT}'").rc == 124


def test_the_host_itself_is_never_shut_out(storage, address):
    assert reaches(storage, address, STORAGE_PORT)


def test_somebody_else_s_port_stays_open_to_everybody(storage, stranger, address):
    storage.check_output(f"systemd-run --quiet --unit=foreign python3 -m http.server {FOREIGN_PORT}")
    try:
        storage.check_output(
            f"for i in 1 2 3 4 5 6 7 8 9 10; do timeout 1 bash -c '</dev/tcp/127.0.0.1/{FOREIGN_PORT}' && exit 0; sleep 0.5; done; exit 1"
        )
        assert reaches(stranger, address, FOREIGN_PORT)
    finally:
        storage.check_output("systemctl stop foreign")


def test_the_table_accepts_what_it_does_not_name(nodes):
    for group in ("fastdfs_storages", "fastdfs_trackers", "lvs_directors"):
        for host in nodes(group):
            rules = table(host)
            assert re.search(r"hook input .* policy accept;", rules), host.name
            assert not re.search(r"(?m)^\s*drop", rules), host.name
            for line in (line for line in rules.splitlines() if re.search(r"\bdrop\b", line)):
                assert "dport" in line or "l4proto" in line, line
                assert not re.search(r"\b22\b", line), line


@pytest.mark.parametrize("verb", ["reload", "restart"])
@pytest.mark.parametrize("group", ["fastdfs_storages", "lvs_directors"])
def test_the_rules_outlive_the_distribution_s_nftables(nodes, verb, group):
    host = nodes(group)[0]
    running = host.service("nftables").is_running
    host.check_output("systemctl start nftables")
    try:
        before = table(host)
        host.check_output("nft add table inet somebody_else")
        host.check_output(f"systemctl {verb} nftables")
        # The distribution's configuration begins with "flush ruleset": a table that nobody brings back is gone.
        assert "somebody_else" not in host.check_output("nft list tables")
        assert "drop" in before and table(host) == before
    finally:
        if not running:
            host.check_output("systemctl stop nftables")


@pytest.mark.long
def test_a_table_that_drops_what_a_host_needs_is_named_before_any_host_is_changed(storage, begin):
    # Connections that are there already go on, and ssh is not spoken of.
    rule = f"tcp dport {STORAGE_PORT} tcp flags & (syn | ack) == syn drop"
    storage.check_output(
        f"nft 'table inet somebody_else {{ chain input {{ type filter hook input priority 10; {rule}; }}; }}'"
    )
    try:
        end = begin(PREFLIGHT)
        refused = begin(PREFLIGHT, "--extra-vars", "firewall_image_foreign=refuse")()
        warned = end()
    finally:
        storage.check_output("nft delete table inet somebody_else")
    for run in (warned, refused):
        assert f"The chain input of the table inet somebody_else drops tcp {STORAGE_PORT} from " in run.said
        assert "add nft 'insert rule inet somebody_else input ip saddr {" in run.said
        assert set(run.changed.values()) == {0}
    assert warned.status == 0 and refused.status != 0
