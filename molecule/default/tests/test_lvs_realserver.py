"""What a real server owes the network: it takes what is sent to the virtual addresses, and nobody hears that it has them."""

from __future__ import annotations

import re

import pytest

UNIT = "lvs-realserver.service"
SETTINGS = {"arp_ignore": "1", "arp_announce": "2"}


@pytest.fixture(scope="module")
def servers(nodes):
    return nodes("image_servers")


@pytest.fixture
def direct(servers, hostvars):
    """The real servers, where they are reached by direct routing."""
    if hostvars(servers[0].name).get("image_cluster_forward", "dr") != "dr":
        pytest.skip("the inventory does not say direct routing")
    return servers


def settings(host) -> dict[str, str]:
    return {
        f"{device}.{key}": host.file(f"/proc/sys/net/ipv4/conf/{device}/{key}").content_string.strip()
        for device in ("all", "lo")
        for key in SETTINGS
    }


def addresses(host, device: str) -> set[str]:
    return {line.split()[3] for line in host.check_output(f"ip -o address show dev {device}").splitlines()}


def full(vip: str) -> str:
    return f"{vip}/128" if ":" in vip else f"{vip}/32"


def test_virtual_addresses_are_on_lo_and_arp_is_kept_in(direct, vips):
    for host in direct:
        assert {full(vip) for vip in vips} <= addresses(host, "lo")
        assert settings(host) == {
            f"{device}.{key}": value for device in ("all", "lo") for key, value in SETTINGS.items()
        }


def test_no_real_server_answers_arp_for_the_virtual_address(direct, vips, nodes, hostvars):
    """The director asks: it has the address too and does not hear itself, so whoever answers is a real server."""
    director = nodes("lvs_directors")[0]
    own = hostvars(director.name)["ansible_host"]
    device = re.search(
        r"(?m)^\d+: (\S+) +inet " + re.escape(own), director.check_output("ip -o address show")
    ).group(1)
    for vip in (vip for vip in vips if ":" not in vip):
        answer = director.run(f"arping -c 2 -w 3 -I {device} -s {own} {vip}").stdout
        assert "Received 0 response" in answer, answer


def test_settings_come_before_addresses_and_leave_after_them(direct, vips):
    """Every change of the two is recorded by the unit in its order; on the way down no address outlives its settings."""
    host = direct[-1]
    lines = [
        line.split()[0] for line in host.check_output("grep '^[a-z]' /etc/lvs-realserver.conf").splitlines()
    ]
    assert lines == sorted(lines, key=["sysctl", "address"].index)
    try:
        host.check_output(f"systemctl stop {UNIT}")
        assert not {full(vip) for vip in vips} & addresses(host, "lo")
        assert settings(host) == dict.fromkeys(settings(host), "0")
    finally:
        host.check_output(f"systemctl start {UNIT}")
    assert {full(vip) for vip in vips} <= addresses(host, "lo")


def test_a_reload_does_not_touch_what_stays(direct, vips):
    host = direct[-1]
    host.check_output("(timeout 4 ip monitor address >/tmp/addresses 2>&1 &) ; sleep 0.5")
    host.check_output(f"systemctl reload {UNIT}")
    host.check_output("sleep 4")
    assert host.check_output("cat /tmp/addresses; rm /tmp/addresses") == ""


def test_what_somebody_took_away_is_missed(direct, vips):
    host = direct[-1]
    vip = full(vips[0])
    host.check_output(f"ip address delete {vip} dev lo")
    try:
        assert f"+ address {vip} lo" in host.check_output("lvs-realserver plan")
    finally:
        host.check_output(f"systemctl reload {UNIT}")
    assert host.check_output("lvs-realserver plan") == ""


def test_the_unit_starts_at_boot(servers):
    for host in servers:
        assert host.service(UNIT).is_enabled and host.service(UNIT).is_running
        assert host.check_output("lvs-realserver plan") == ""
