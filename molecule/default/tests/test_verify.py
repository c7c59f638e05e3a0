"""verify.yml fails with a sentence on a cluster that is broken where no daemon says so."""

from __future__ import annotations

from pathlib import Path

import pytest

VERIFY = Path(__file__).parents[3] / "playbooks" / "verify.yml"
ARP = ("net.ipv4.conf.all.arp_ignore", "net.ipv4.conf.eth0.arp_ignore")


@pytest.fixture
def silent(node):
    """An image server whose nginx does not run."""
    node("image2").check_output("systemctl stop nginx")
    yield
    node("image2").check_output("systemctl start nginx")


@pytest.fixture
def talkative(node):
    """An image server that answers ARP for the VIP."""
    server = node("image1")
    before = [server.check_output(f"sysctl -n {key}") for key in ARP]
    server.check_output("sysctl -q " + " ".join(f"{key}=0" for key in ARP))
    yield
    server.check_output("sysctl -q " + " ".join(f"{key}={value}" for key, value in zip(ARP, before)))


def test_a_host_that_is_none_asks_nothing_and_that_is_no_success(begin):
    run = begin(VERIFY, "-e", "image_verify_from=reader9")()
    assert run.status != 0
    assert "image_verify_from=reader9 is no host of the inventory" in run.said


def test_an_image_server_that_does_not_answer_is_named(silent, begin):
    run = begin(VERIFY)()
    assert run.status != 0
    assert "image2, asked directly at http://" in run.said
    assert "it did not answer" in run.said


def test_an_image_server_that_answers_arp_for_the_vip_is_noticed(talkative, begin):
    run = begin(VERIFY)()
    assert run.status != 0
    assert "An image server that answers ARP for a VIP takes readers past the director" in run.said
