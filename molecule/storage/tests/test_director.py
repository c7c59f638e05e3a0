"""One director, with health checks and without a partner: what a cluster gets that says nothing of its directors' mode."""

from __future__ import annotations

import pytest
from traffic import serving


@pytest.fixture(scope="module")
def director(nodes):
    return nodes("lvs_directors")[0]


def test_it_carries_the_vips_in_a_sandbox_and_copies_connections_to_nobody(director, vips):
    assert director.service("keepalived").is_running and director.service("keepalived").is_enabled
    carried = director.check_output("ip -o -4 address show")
    assert all(f" {vip}/32 " in carried for vip in vips)
    assert director.check_output("ipvsadm -L --daemon") == ""
    assert director.run("systemd-analyze security --no-pager --threshold=40 keepalived.service").rc == 0


def test_a_server_that_is_down_gets_no_reader_and_one_that_is_back_does(
    director, node, nodes, hostvars, vips, wait
):
    everyone = {hostvars(host.name)["ansible_host"] for host in nodes("image_servers")}
    down = hostvars("image2")["ansible_host"]
    client = nodes("fastdfs_clients")[0]
    wait(lambda: serving(director) == everyone, "every image server gets readers", 30)
    node("image2").check_output("systemctl stop nginx")
    try:
        wait(lambda: serving(director) == everyone - {down}, "image2 gets no reader", 30)
        answers = client.check_output(
            f"for i in $(seq 40); do curl -s -o /dev/null --max-time 5 -w '%{{http_code}} ' http://{vips[0]}/; done"
        )
        assert answers.split() == ["200"] * 40
    finally:
        node("image2").check_output("systemctl start nginx")
    wait(lambda: serving(director) == everyone, "image2 gets readers again", 30)
