"""What the roles of FastDFS's daemons refuse before a daemon would choke on it, or take it for something else."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils import cluster_firewall
from role_templates import ROLES, problems

DAEMONS = {
    "fastdfs_tracker": {"fastdfs_tracker_bind_address": "10.0.0.4"},
    "fastdfs_storage": {
        "fastdfs_storage_bind_address": "10.0.0.2",
        "fastdfs_storage_trackers": ["10.0.0.4:22122"],
    },
}


@pytest.fixture(params=list(DAEMONS))
def refused(request):
    """refused(hosts): the sentences about these allow_hosts."""
    role = request.param
    return lambda hosts: problems(role, **DAEMONS[role], **{f"{role}_allow_hosts": hosts})


@pytest.mark.parametrize(
    "hosts",
    [
        ["*"],
        ["10.0.0.1"],
        ["10.0.0.1/32", "10.0.0.0/24", "10.5.0.0/16", "10.0.0.2/31"],
        ["250.249.199.99", "100.200.30.4"],
    ],
)
def test_what_fastdfs_understands_is_taken(refused, hosts):
    assert refused(hosts) == []


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        ([], "is empty, so nobody could connect"),
        (["*", "10.0.0.1"], "has * beside others, and * lets everybody connect"),
        (["10.0.0.1", "*"], "has * beside others, and * lets everybody connect"),
        (["*", "*"], "has * beside others"),
        (["10.0.0.08"], "has 10.0.0.08: FastDFS 5.05 takes IPv4 addresses and networks only"),
        (["010.0.0.8"], "has 010.0.0.8: FastDFS 5.05 takes"),
        (["10.0.00.8"], "has 10.0.00.8: FastDFS 5.05 takes"),
        (["10.0.0.256"], "has 10.0.0.256: FastDFS 5.05 takes"),
        (["10.0.0"], "has 10.0.0: FastDFS 5.05 takes"),
        (["fd00::1"], "has fd00::1: FastDFS 5.05 takes"),
        (["image1.example"], "has image1.example: FastDFS 5.05 takes"),
        (["10.0.0.0/255.255.255.0"], "has 10.0.0.0/255.255.255.0: FastDFS 5.05 takes"),
        (["10.0.0.0/24/32"], "has 10.0.0.0/24/32: FastDFS 5.05 takes"),
        (["10.0.0.1\n"], "has 10.0.0.1"),
        (["10.0.0.0/24 "], "has 10.0.0.0/24 : FastDFS 5.05 takes"),
        (["10.0.0.[1-9]"], "has 10.0.0.[1-9]: FastDFS 5.05 takes"),
        ([""], "has : FastDFS 5.05 takes"),
        (["10.0.0.0/8"], "has 10.0.0.0/8: FastDFS takes networks from /16 to /31 only"),
        (["0.0.0.0/0"], "has 0.0.0.0/0: FastDFS takes networks from /16 to /31 only"),
        (["10.0.0.0/33"], "has 10.0.0.0/33: FastDFS takes networks from /16 to /31 only"),
        (["10.0.0.1/24"], "has 10.0.0.1/24: that is not the first address of a /24"),
    ],
)
def test_what_fastdfs_would_choke_on_is_refused(refused, hosts, words):
    assert any(words in sentence for sentence in refused(hosts)), refused(hosts)


@pytest.mark.parametrize("role", list(DAEMONS))
@pytest.mark.parametrize("address", ["10.0.0.08", "10.0.0.256", "10.0.0.1\n", "fd00::1", "0.0.0.0/0"])
def test_a_daemon_listens_on_an_address(role, address):
    (sentence, *_) = problems(role, **{**DAEMONS[role], f"{role}_bind_address": address})
    assert sentence.startswith(f"{role}_bind_address is ")


@pytest.mark.parametrize("role", DAEMONS)
@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_out_of_range_is_named(role, port):
    said = problems(role, **DAEMONS[role], **{f"{role}_port": port})
    assert said == [f"{role}_port is {port}: write a TCP port from 1 to 65535."]


@pytest.mark.parametrize(
    ("role", "port"),
    [
        ("fastdfs_tracker", cluster_firewall.TRACKER_PORT),
        ("fastdfs_storage", cluster_firewall.STORAGE_PORT),
    ],
)
def test_an_inventory_cannot_move_a_daemon_from_the_port_that_everybody_else_is_told(role, port):
    handed = yaml.safe_load((ROLES.parent / "playbooks" / "vars" / "handed.yml").read_text())
    assert handed[f"{role}_port"] == port
