"""Fixtures for the scenarios' tests: the lab's hosts over ssh, and the inventory that they were built from."""

from __future__ import annotations

import json
import os
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest
import testinfra

PROJECT = Path(__file__).parents[1]
LAB = PROJECT / ".ansible" / "lab"
INVENTORY = os.environ.get("IMAGEOPS_INVENTORY", str(PROJECT / "inventories" / "demo"))


@lru_cache(maxsize=1)
def inventory() -> dict:
    command = ["ansible-inventory", "--list"]
    for source in (INVENTORY, PROJECT / "molecule" / "lab" / "inventory", LAB / "inventory"):
        command += ["--inventory", str(source)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=PROJECT).stdout)


def members(group: str) -> list[str]:
    """The hosts of a group and of its children, in the inventory's order."""
    data = inventory().get(group, {})
    names = list(data.get("hosts", []))
    for child in data.get("children", []):
        names += [name for name in members(child) if name not in names]
    return names


@lru_cache(maxsize=None)
def connect(name: str):
    address = inventory()["_meta"]["hostvars"][name]["ansible_host"]
    host = testinfra.get_host(f"ssh://{address}", ssh_config=str(LAB / "ssh_config"), controlpersist=60)
    host.name = name
    return host


@pytest.fixture(scope="session")
def node():
    """node("image1"): that host of the lab."""
    return connect


@pytest.fixture(scope="session")
def nodes():
    """nodes("image_servers"): the hosts of that group, each with its ``name``."""
    return lambda group: [connect(name) for name in members(group)]


@pytest.fixture(scope="session")
def hostvars():
    """hostvars("image1"): what the inventory says of that host."""
    return lambda name: inventory()["_meta"]["hostvars"][name]


@pytest.fixture(scope="session")
def vips(hostvars):
    """The cluster's VIPs."""
    return hostvars(members("lvs_directors")[0])["image_cluster_vips"]
