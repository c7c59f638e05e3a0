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


def listed(*lines):
    ids = [dict(zip(("id", "group", "address"), line, strict=True)) for line in lines]
    return problems("fastdfs_tracker", **DAEMONS["fastdfs_tracker"], fastdfs_tracker_storage_ids=ids)


def test_a_tracker_takes_ids_that_its_daemon_takes():
    assert listed((1, "group1", "10.0.0.2"), (16777215, "group2", "10.0.0.3")) == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([(0, "group1", "10.0.0.2")], "has the id 0: write a whole number from 1 to 16777215"),
        ([(16777216, "group1", "10.0.0.2")], "has the id 16777216"),
        ([(1, "group 1", "10.0.0.2")], 'has the group "group 1": a group'),
        ([(1, "group1", "image1.example")], "has the address image1.example: write the IPv4 address"),
        ([(1, "group1", "10.0.0.2"), (1, "group2", "10.0.0.3")], "has the id 1 more than once"),
        ([(1, "group1", "10.0.0.2"), (2, "group1", "10.0.0.2")], "has the address 10.0.0.2 more than once"),
    ],
)
def test_ids_that_a_tracker_would_choke_on_are_refused(lines, words):
    (sentence,) = listed(*lines)
    assert words in sentence


@pytest.mark.parametrize("name", ["use_storage_id", "storage_ids_filename", "id_type_in_filename"])
def test_a_tracker_gets_ids_by_their_variable_only(name):
    (sentence,) = problems("fastdfs_tracker", fastdfs_tracker_extra_settings={name: "x"})
    assert (
        sentence == f"fastdfs_tracker_extra_settings has {name}, which this role decides: use its variable."
    )


@pytest.mark.parametrize("wrong", ["0", "16777216", "image1", "-1"])
def test_a_storage_s_id_is_a_number(wrong):
    (sentence,) = problems("fastdfs_storage", **DAEMONS["fastdfs_storage"], fastdfs_storage_id=wrong)
    assert sentence.startswith(f"fastdfs_storage_id is {wrong}: write the number from 1 to 16777215")
    assert problems("fastdfs_storage", **DAEMONS["fastdfs_storage"], fastdfs_storage_id="16777215") == []


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
