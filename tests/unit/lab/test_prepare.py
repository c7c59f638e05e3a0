"""A machine that cannot hold a lab is told so in one sentence, before anything is made."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PREPARE = Path(__file__).parents[3] / "molecule" / "lab" / "prepare"
REAL = ["bash", "dirname", "pwd", "tail", "tr", "cut", "cat", "sha256sum", "mkdir", "env"]
LAB_TOOLS = ["podman", "mmdebstrap", "qemu-img", "mkfs.ext4", "cpio", "ssh-keygen", "modprobe"]


@pytest.fixture
def machine(tmp_path):
    """A machine of stand-ins for every program; machine(name, "script") replaces one, machine(name, None) takes it away."""
    programs = tmp_path / "bin"
    programs.mkdir()

    def has(name: str, script: str | None) -> None:
        path = programs / name
        if script is None:
            path.unlink()
            return
        path.write_text(f"#!{shutil.which('bash')}\n{script}\n")
        path.chmod(0o755)

    for name in REAL:
        (programs / name).symlink_to(shutil.which(name))
    for name in LAB_TOOLS:
        has(name, f'echo {name} "$@" >> {tmp_path}/called; exit 1')
    has("podman", f'case $1 in info) echo {tmp_path} ;; *) echo podman "$@" >> {tmp_path}/called ;; esac')
    has("df", "echo Avail; echo 50000")
    has("id", "echo 0")

    def run():
        environment = {**os.environ, "PATH": str(programs)}
        command = [str(PREPARE), str(tmp_path / "state"), "node-bookworm"]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        made = (tmp_path / "state").exists()
        return result, made

    has.run = run
    return has


@pytest.mark.parametrize(
    ("name", "script", "sentence"),
    [
        ("id", "echo 1000", "lab: it makes network bridges and privileged containers: run it as root."),
        ("podman", None, "lab: podman is missing: run `make setup`"),
        ("mmdebstrap", None, "lab: mmdebstrap is missing: run `make setup`"),
        ("podman", "exit 125", "lab: podman does not work on this machine"),
        ("df", "echo Avail; echo 900", "lab: it needs 6000 MiB of free disk"),
    ],
)
def test_one_sentence_and_nothing_made(machine, name, script, sentence):
    machine(name, script)
    result, made = machine.run()
    assert result.returncode == 1
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not made


def test_a_machine_that_can_hold_a_lab_gets_past_the_checks(machine):
    machine("ssh-keygen", "exit 0")
    result, made = machine.run()
    assert made, result.stderr
    assert '"node-bookworm": "localhost/imageops-lab-node:bookworm-' in result.stdout
