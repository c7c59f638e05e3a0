"""Fixtures: installations of the simulator and of real FastDFS, and an empty cluster to fill with their daemons.

`FASTDFS_REAL_PREFIX` names a real installation (with `usr/bin` below it); tests that need one are skipped without it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fdfs_cluster import SIMULATOR, Cluster, build

needs_real = pytest.mark.skipif(
    not os.environ.get("FASTDFS_REAL_PREFIX"),
    reason="FASTDFS_REAL_PREFIX does not name a real FastDFS installation",
)


@pytest.fixture
def cluster(tmp_path):
    """An empty cluster."""
    made = Cluster(tmp_path)
    yield made
    for daemon in reversed(made.daemons):
        daemon.stop()


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """The directory with the simulator's two source archives."""
    destination = tmp_path_factory.mktemp("archives")
    subprocess.run(
        [sys.executable, SIMULATOR / "archives.py", destination], check=True, capture_output=True, timeout=30
    )
    return destination


@pytest.fixture(scope="session")
def simulated(archives, tmp_path_factory):
    """The prefix of a simulated installation."""
    return build(archives / "fastdfs-5.05-simulator.tar.gz", tmp_path_factory.mktemp("simulated"))


@pytest.fixture(scope="session")
def real():
    """The prefix of a real installation."""
    return Path(os.environ["FASTDFS_REAL_PREFIX"])
