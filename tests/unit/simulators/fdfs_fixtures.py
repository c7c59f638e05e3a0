"""Fixtures: installations of the simulator and of real FastDFS, and an empty cluster to fill with their daemons.

Real FastDFS is what `FASTDFS_REAL_PREFIX` names (an installation with `usr/bin` below it), else the newest release for this platform in the
cache, where the demo and the scenarios leave what they have built. Tests that need it are skipped where there is neither.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from fdfs_cluster import SIMULATOR, Cluster, build


def this_platform() -> str:
    """As the role fastdfs_release calls it in the names of releases, such as debian12-x86_64."""
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        return "unknown"
    return f"{system.get('ID')}{system.get('VERSION_ID')}-{platform.machine()}"


def cached_release(cache: Path, of_platform: str) -> Path | None:
    """The newest whole release of real FastDFS 5.05 for this platform in the role's cache."""
    found = cache.glob(f"releases/fastdfs-5.05-libfastcommon-*-{of_platform}-*.tar.gz")
    for archive in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        beside, own = archive.with_name(f"{archive.name}.sha256"), hashlib.sha256(archive.read_bytes())
        if beside.exists() and beside.read_text().split()[:1] == [own.hexdigest()]:
            return archive
    return None


CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imageops"
INSTALLED, RELEASE = os.environ.get("FASTDFS_REAL_PREFIX"), cached_release(CACHE, this_platform())
needs_real = pytest.mark.skipif(
    not INSTALLED and not RELEASE,
    reason="no real FastDFS: neither FASTDFS_REAL_PREFIX nor a release for this platform in the cache",
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
def real(tmp_path_factory):
    """The prefix of a real installation."""
    if INSTALLED:
        return Path(INSTALLED)
    folder = tmp_path_factory.mktemp("real")
    with tarfile.open(RELEASE) as tar:
        tar.extractall(folder)
    return next(folder.iterdir())


@pytest.fixture(params=["simulated", pytest.param("real", marks=needs_real)])
def prefix(request):
    """The installation that a cluster is made of: one after the other, the simulator's and the real one."""
    return request.getfixturevalue(request.param)
