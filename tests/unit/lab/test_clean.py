"""Cleaning up finds the lab of this checkout, however its folder was entered."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CLEAN = Path(__file__).parents[3] / "molecule" / "lab" / "clean"
PODMAN = """#!/bin/sh
echo "${0##*/}" "$@" >>"$CALLS"
case $* in
*"ls "*"label=imageops.checkout=$CHECKOUT/.ansible/lab "*) echo imageops-my-lab-10-205-0-0-24 ;;
esac
"""


@pytest.mark.parametrize("entered", ["checkout", "link"])
def test_the_lab_of_a_checkout_is_found_through_a_link_too(tmp_path, entered):
    checkout, programs, calls = tmp_path / "checkout", tmp_path / "bin", tmp_path / "calls"
    for folder in (checkout / "molecule" / "lab", checkout / ".ansible" / "lab", programs):
        folder.mkdir(parents=True)
    shutil.copy(CLEAN, checkout / "molecule" / "lab")
    for program in ("podman", "nft"):
        (programs / program).write_text(PODMAN)
        (programs / program).chmod(0o755)
    (tmp_path / "link").symlink_to(checkout)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PWD": str(tmp_path / entered),
        "CALLS": str(calls),
        "CHECKOUT": str(checkout.resolve()),
    }
    ended = subprocess.run(
        ["molecule/lab/clean"],
        cwd=tmp_path / entered,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Removed 1 hosts, 1 networks, 0 images." in ended.stdout
    assert "container rm --force --volumes --time 0 imageops-my-lab-10-205-0-0-24" in calls.read_text()
    assert "nft delete table inet imageops-my-lab\n" in calls.read_text()
    assert not (checkout / ".ansible" / "lab").exists()
