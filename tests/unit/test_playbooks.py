"""Every playbook can be read with every inventory of the repository."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PLAYBOOKS = sorted(str(path) for path in (PROJECT / "playbooks").glob("*.yml"))
INVENTORIES = sorted(path for path in (PROJECT / "inventories").iterdir() if path.is_dir())


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: path.name)
def test_every_playbook_can_be_read_with_the_inventory(inventory):
    # Which server it is about is asked of whoever runs some of them.
    command = [
        "ansible-playbook",
        "--syntax-check",
        f"--inventory={inventory}",
        "--extra-vars=server=image1",
        *PLAYBOOKS,
    ]
    quiet = {**os.environ, "ANSIBLE_LOCALHOST_WARNING": "false", "NO_COLOR": "1"}
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT, env=quiet)
    assert run.returncode == 0, run.stderr


def test_what_cannot_be_read_is_seen(tmp_path):
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("- hosts: all\n  tasks:\n    - imageops.lvs_fastdfs.no_such_module: {}\n")
    command = [
        "ansible-playbook",
        "--syntax-check",
        f"--inventory={INVENTORIES[0]}",
        *PLAYBOOKS[:1],
        str(wrong),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert run.returncode != 0 and "no_such_module" in run.stderr
