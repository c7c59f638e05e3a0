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


OPERATED = [path for path in PLAYBOOKS if Path(path).stem not in ("cluster", "control_node")]


@pytest.mark.parametrize("playbook", OPERATED, ids=lambda path: Path(path).stem)
def test_an_inventory_of_another_project_is_refused_in_one_sentence(playbook, tmp_path):
    other = tmp_path / "hosts.yml"
    other.write_text("webservers:\n  hosts:\n    web1: {ansible_host: 192.0.2.1}\n")
    command = ["ansible-playbook", playbook, f"--inventory={other}", "--extra-vars=server=image1"]
    plain = {
        **os.environ,
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "NO_COLOR": "1",
        "ANSIBLE_DISPLAY_FAILED_STDERR": "false",
        # Older ansible-core folds long sentences in YAML.
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    }
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT, env=plain)
    assert run.returncode != 0
    # Some ansible-cores fold it.
    said = " ".join(run.stdout.split())
    sentence = (
        "The inventory has no host in lvs_directors, fastdfs_trackers, fastdfs_storages, so nothing was done"
    )
    assert sentence in said


def test_an_ansible_core_that_is_too_old_is_refused_in_one_sentence(tmp_path):
    # Python runs this first.
    (tmp_path / "sitecustomize.py").write_text(
        'import ansible.release\n\nansible.release.__version__ = "2.16.19"\n'
    )
    command = ["ansible-playbook", "playbooks/site.yml", "--inventory=localhost,"]
    old = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "ANSIBLE_DISPLAY_FAILED_STDERR": "false",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        "NO_COLOR": "1",
    }
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT, env=old)
    assert run.returncode != 0
    assert (
        "imageops.lvs_fastdfs needs ansible-core 2.17 or newer and this is 2.16.19, so nothing was done"
        in run.stdout
    )
    assert "pip install 'ansible-core>=2.17'" in run.stdout


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
