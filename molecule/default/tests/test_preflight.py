"""A wrong inventory is answered by sentences before any host is changed."""

from __future__ import annotations

import json
from pathlib import Path

SITE = Path(__file__).parents[3] / "playbooks" / "site.yml"
WRONG = {
    "image_cluster_vips": ["10.203.0.21", "10.203.0.300"],
    "image_cluster_ports": [0],
    "image_cluster_weights": {"image1": 65536, "image2": 1},
    "nginx_image_ports": [81],
}


def test_every_problem_is_one_sentence_and_no_host_is_changed(begin):
    run = begin(SITE, "--extra-vars", json.dumps(WRONG))()
    assert run.status != 0
    for sentence in (
        "The VIP 10.203.0.21 is the own address of image1: choose an address that no host has.",
        "image_cluster_vips has '10.203.0.300', which is no IP address",
        "image_cluster_ports has 0: write TCP ports from 1 to 65535.",
        "image_cluster_weights gives image1 65536",
        "nginx_image_ports is set for",
    ):
        assert sentence in run.said
    assert set(run.changed.values()) == {0}


def test_what_a_role_cannot_take_is_said_before_any_host_is_changed(begin):
    wrong = {"nginx_image_tls_certificate": "/etc/ssl/images.crt", "nginx_image_workers": "many"}
    runs = [begin(SITE, "--extra-vars", json.dumps({name: value})) for name, value in wrong.items()]
    for run, words in zip(
        [end() for end in runs],
        [
            "nginx_image_tls_certificate is there and nginx_image_tls_key is not: write the key",
            "nginx_image_workers",
        ],
    ):
        assert run.status != 0 and words in run.said, run.said
        assert set(run.changed.values()) == {0}
