"""Fixtures of the scenario: scripts that run in the machine's kernel, and the fake that is held against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIO = Path(__file__).parents[1]
PROJECT = SCENARIO.parents[1]
COLLECTION = "ansible_collections/imageops/lvs_fastdfs/plugins/module_utils/ipvs"
sys.path[:0] = [
    str(PROJECT / ".ansible" / "collections"),
    str(PROJECT / "tests" / "unit" / "plugins" / "module_utils" / "ipvs"),
]


@pytest.fixture(scope="session")
def shell(hostvars):
    """shell(command, input): what that command prints in the machine."""
    address = hostvars("director1")["ansible_host"]
    ssh = ["ssh", "-F", str(PROJECT / ".ansible" / "lab" / "ssh_config"), address]

    def run(command: str, data: bytes = b"") -> str:
        done = subprocess.run([*ssh, command], input=data, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    return run


@pytest.fixture(scope="session")
def machine(shell):
    """machine("traffic.py", data): what that script of molecule/ipvs/machine made of it in the machine's kernel."""
    folder = shell("mktemp --directory").strip()
    links = ["tar", "--create", "--dereference", "--exclude=__pycache__"]
    for place, what in ((PROJECT / ".ansible" / "collections", COLLECTION), (SCENARIO, "machine")):
        packed = subprocess.run([*links, "--directory", str(place), what], check=True, capture_output=True)
        shell(f"tar --extract --directory {folder}", packed.stdout)

    def run(script: str, data=None):
        python = f"PYTHONPATH={folder} python3 {folder}/machine/{script}"
        return json.loads(shell(python, json.dumps(data).encode()))

    yield run
    shell(f"rm -rf {folder}")


@pytest.fixture(scope="session")
def rounds():
    """How many random cases a test tries: few in a normal run, IMAGEOPS_ROUNDS times as many in a long one."""
    factor = int(os.environ.get("IMAGEOPS_ROUNDS", "1"))
    return lambda number: number * factor
