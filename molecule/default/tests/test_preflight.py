"""A wrong inventory is answered by sentences before any host is changed."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[3]
WRONG = {
    "image_cluster_vips": ["10.203.0.21", "10.203.0.300"],
    "image_cluster_ports": [0],
    "image_cluster_weights": {"image1": 65536, "image2": 1},
    "nginx_image_ports": [81],
}


def test_every_problem_is_one_sentence_and_no_host_is_changed():
    command = ["ansible-playbook", str(PROJECT / "playbooks" / "site.yml"), "--extra-vars", json.dumps(WRONG)]
    for source in ("inventories/demo", "molecule/lab/inventory", ".ansible/lab/inventory"):
        command += ["--inventory", str(PROJECT / source)]
    environment = {
        **os.environ,
        "ANSIBLE_FORCE_COLOR": "false",
        "NO_COLOR": "1",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    }
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=PROJECT, env=environment, check=False
    )
    assert result.returncode != 0
    for sentence in (
        "The VIP 10.203.0.21 is the own address of image1: choose an address that no host has.",
        "image_cluster_vips has '10.203.0.300', which is no IP address",
        "image_cluster_ports has 0: write TCP ports from 1 to 65535.",
        "image_cluster_weights gives image1 65536",
        "nginx_image_ports is set for",
    ):
        # Ansible may be told to show failures on standard error
        assert sentence in result.stdout + result.stderr
    assert set(re.findall(r"changed=(\d+)", result.stdout)) == {"0"}
