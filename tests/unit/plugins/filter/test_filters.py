# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters as a playbook meets them: results, and errors that Ansible shows as they are."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.imageops.lvs_fastdfs.plugins.filter.host_capacities import host_capacities
from ansible_collections.imageops.lvs_fastdfs.plugins.filter.ipvs_netmask import ipvs_netmask
from ansible_collections.imageops.lvs_fastdfs.plugins.filter.ipvs_restore import ipvs_restore
from ansible_collections.imageops.lvs_fastdfs.plugins.filter.scheduler_weights import scheduler_weights
from fake_ipvsadm import FakeIpvsadm

WEB = {
    "address": "2001:db8::1",
    "port": 80,
    "scheduler": "wrr",
    "servers": [{"address": "2001:db8::2", "weight": 3}],
}


def test_restore_makes_exactly_that_table():
    text = ipvs_restore([WEB, {"fwmark": 1, "state": "absent"}])
    assert text == (
        "-A -t [2001:db8::1]:80 -s wrr\n-a -t [2001:db8::1]:80 -r [2001:db8::2]:80 -g -w 3 -x 0 -y 0\n"
    )
    fake = FakeIpvsadm()
    assert fake(text) == (0, "", "")
    assert list(fake.virtuals) == [("TCP", "2001:db8::1", 80)]
    assert ipvs_restore([]) == ""


def test_errors_are_ansibles_and_name_what_is_wrong():
    with pytest.raises(
        AnsibleFilterError, match=r"ipvs_restore: services\[0\] \(tcp 2001:db8::1 port 80\): scheduler"
    ):
        ipvs_restore([{**WEB, "scheduler": "no name"}])
    with pytest.raises(AnsibleFilterError, match=r"ipvs_restore: services: must be a list, not None"):
        ipvs_restore(None)
    with pytest.raises(
        AnsibleFilterError, match=r"scheduler_weights: web1: capacity must be a number .* not 'much'"
    ):
        scheduler_weights({"web1": "much"})
    with pytest.raises(AnsibleFilterError, match=r"host_capacities: web1: is not in the inventory"):
        host_capacities(["web1"], {})


def test_weights_of_hosts():
    hostvars = {"web1": {"image_cluster_capacity": 8}, "web2": {"image_cluster_capacity": 4}}
    assert scheduler_weights(host_capacities(["web1", "web2"], hostvars)) == {"web1": 2, "web2": 1}
    assert scheduler_weights({"web1": 2, "web2": 1}, drained=["web1"]) == {"web1": 0, "web2": 1}


@pytest.mark.parametrize(
    ("mask", "dotted"),
    [(24, "255.255.255.0"), ("255.255.0.0", "255.255.0.0"), (0, "0.0.0.0"), ("32", "255.255.255.255")],
)
def test_a_netmask_as_keepalived_wants_it(mask, dotted):
    assert ipvs_netmask(mask) == dotted


@pytest.mark.parametrize("mask", [33, "255.0.255.0", "wide", None])
def test_no_netmask_is_an_error_of_ansible(mask):
    with pytest.raises(AnsibleFilterError, match=f"ipvs_netmask: '?.*{mask}"):
        ipvs_netmask(mask)
