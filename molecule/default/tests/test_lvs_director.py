"""What a director owes its readers: settings, mark, table and addresses, whatever happens to nftables."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROLE = Path(__file__).parents[1] / "role.yml"
UNIT = "lvs-director.service"
TABLE = "table inet lvs_director"


@pytest.fixture(scope="module")
def director(nodes):
    return nodes("lvs_directors")[0]


@pytest.fixture
def static(director, hostvars):
    if hostvars(director.name).get("image_cluster_director_mode", "keepalived") != "static":
        pytest.skip("the inventory does not say director mode static")
    return director


@pytest.fixture
def marked(director, hostvars):
    if hostvars(director.name).get("image_cluster_fwmark", 1) == 0:
        pytest.skip("the inventory says that there is no firewall mark")
    return director


def has_mark(host) -> bool:
    return "meta mark set" in host.run(f"nft list {TABLE}").stdout


def addresses(host) -> set[str]:
    return {line.split()[3] for line in host.check_output("ip -o address show").splitlines()}


def full(vip: str) -> str:
    return f"{vip}/128" if ":" in vip else f"{vip}/32"


def test_readers_packets_get_the_mark(marked, vips):
    rules = marked.check_output(f"nft list {TABLE}")
    assert all(vip in rules for vip in vips)
    assert re.search(r"ip daddr @vips4 tcp dport .*80.* meta mark set 0x0*1\b", rules)


def test_the_table_has_the_image_servers(static, nodes, hostvars):
    table = static.check_output("ipvsadm -S -n")
    servers = [hostvars(host.name)["ansible_host"] for host in nodes("image_servers")]
    listed = set(re.findall(r"(?m)^-a -f 1 -r (\S+):0 -g", table))
    assert listed == set(servers)


def test_the_addresses_are_there(static, vips):
    assert {full(vip) for vip in vips} <= addresses(static)


def test_direct_routing_needs_no_forwarding(static, hostvars):
    if hostvars(static.name).get("image_cluster_forward", "dr") == "nat":
        pytest.skip("NAT does need it")
    assert "ip_forward" not in static.file("/etc/lvs-director.conf").content_string


def test_the_module_is_loaded_at_boot(director):
    assert "ip_vs" in director.file("/etc/modules-load.d/lvs-director.conf").content_string.split()


@pytest.fixture
def nftables(marked):
    """The distribution's service runs, and is afterwards what it was before."""
    enabled = marked.service("nftables").is_enabled
    running = marked.service("nftables").is_running
    marked.check_output("systemctl start nftables")
    yield marked
    marked.check_output(f"systemctl {'start' if running else 'stop'} nftables")
    assert marked.service("nftables").is_enabled == enabled
    assert has_mark(marked)


@pytest.mark.parametrize("verb", ["reload", "restart", "stop"])
def test_the_mark_outlives_the_distribution_s_nftables(nftables, verb):
    # The distribution's configuration begins with "flush ruleset": a table that nobody brings back is gone.
    nftables.check_output("nft add table inet somebody_else")
    nftables.check_output(f"systemctl {verb} nftables")
    assert "somebody_else" not in nftables.check_output("nft list tables")
    assert has_mark(nftables)


def test_a_mark_that_somebody_flushed_is_missed_and_comes_back(marked):
    marked.check_output(f"nft delete {TABLE}")
    try:
        assert "+ mark" in marked.check_output("lvs-director plan")
    finally:
        marked.check_output(f"systemctl reload {UNIT}")
    assert has_mark(marked)
    assert marked.check_output("lvs-director plan") == ""


def test_only_our_own_goes_when_the_unit_stops(static, vips):
    others = {
        "ipvsadm -A -t 198.51.100.9:80 -s rr": "ipvsadm -D -t 198.51.100.9:80",
        "nft add table inet somebody_else": "nft delete table inet somebody_else",
        "ip address add 198.51.100.8/32 dev lo": "ip address delete 198.51.100.8/32 dev lo",
    }
    for make in others:
        static.check_output(make)
    try:
        static.check_output(f"systemctl stop {UNIT}")
        assert not {full(vip) for vip in vips} & addresses(static)
        assert "198.51.100.8/32" in addresses(static)
        assert static.check_output("ipvsadm -S -n") == "-A -t 198.51.100.9:80 -s rr"
        tables = static.check_output("nft list tables")
        assert TABLE not in tables and "somebody_else" in tables
    finally:
        static.check_output(f"systemctl start {UNIT}")
        for undo in others.values():
            static.check_output(undo)
    assert {full(vip) for vip in vips} <= addresses(static)
    assert static.check_output("lvs-director plan") == ""


def test_a_reload_leaves_a_drained_server_drained(static, nodes, hostvars):
    server = hostvars(nodes("image_servers")[0].name)["ansible_host"]
    before = re.search(rf"-r {re.escape(server)}:0 -g -w (\d+)", static.check_output("ipvsadm -S -n")).group(
        1
    )
    static.check_output(f"ipvsadm -e -f 1 -r {server}:0 -g -w 0")
    try:
        static.check_output(f"systemctl reload {UNIT}")
        assert f"-r {server}:0 -g -w 0" in static.check_output("ipvsadm -S -n")
    finally:
        static.check_output(f"ipvsadm -e -f 1 -r {server}:0 -g -w {before}")


@pytest.mark.long
def test_a_drain_by_the_inventory_ends_with_it_and_one_by_hand_does_not(static, begin, hostvars, tmp_path):
    addresses = {name: hostvars(name)["ansible_host"] for name in ("image1", "image2")}
    (tmp_path / "vars.yml").write_text("{}\n")

    def weights(**asked: int) -> dict[str, int]:
        extra = {"role": "lvs_director", "role_hosts": static.name, "role_vars": str(tmp_path / "vars.yml")}
        run = begin(ROLE, "--extra-vars", json.dumps({**extra, "image_cluster_weights": asked}))()
        assert run.status == 0, run.said
        table = static.check_output("ipvsadm -S -n")
        return {
            name: int(re.search(rf"-r {re.escape(address)}:0 -g -w (\d+)", table).group(1))
            for name, address in addresses.items()
        }

    assert weights(image1=1, image2=0) == {"image1": 1, "image2": 0}
    static.check_output(f"ipvsadm -e -f 1 -r {addresses['image1']}:0 -g -w 0")
    assert weights(image1=1, image2=1) == {"image1": 0, "image2": 1}
    static.check_output(f"ipvsadm -e -f 1 -r {addresses['image1']}:0 -g -w 1")


def test_the_unit_starts_at_boot(director):
    assert director.service(UNIT).is_enabled and director.service(UNIT).is_running
    assert director.check_output("lvs-director plan") == ""
