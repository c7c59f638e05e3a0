"""The simulator's source archives, and what its make.sh installs."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest
from fdfs_cluster import SIMULATOR
from fdfs_fixtures import cached_release

PROGRAMS = [
    "trackerd", "storaged", "monitor", "upload_file", "download_file", "delete_file", "file_info", "append_file",
    "upload_appender", "test", "crc32",
]  # fmt: skip


def test_archives_are_the_same_each_time(archives, tmp_path):
    made = subprocess.run(
        [sys.executable, SIMULATOR / "archives.py", tmp_path],
        check=True,
        capture_output=True,
        text=True,
        umask=0o077,
    )
    sums = json.loads(made.stdout)
    assert sorted(sums) == ["fastdfs-5.05-simulator.tar.gz", "libfastcommon-1.0.36-simulator.tar.gz"]
    for name, sha256 in sums.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == sha256
        assert (archives / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_say_how_they_are_used_and_what_they_are(simulated, program):
    result = subprocess.run(
        [simulated / "usr/bin" / f"fdfs_{program}"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "Usage: fdfs_" in result.stdout + result.stderr
    assert "SIMULATOR" in result.stdout + result.stderr


def test_an_installation_says_that_it_is_simulated(simulated):
    assert (simulated / "usr/share/fastdfs-simulator").exists()
    for sample in ("tracker", "storage", "client", "storage_ids"):
        assert (simulated / f"etc/fdfs/{sample}.conf.sample").exists()


def test_an_installation_can_be_moved_and_called_by_a_link(simulated, tmp_path):
    os.symlink(simulated, tmp_path / "current")
    os.symlink(tmp_path / "current/usr/bin/fdfs_monitor", tmp_path / "fdfs_monitor")
    result = subprocess.run([tmp_path / "fdfs_monitor"], capture_output=True, text=True, check=False)
    assert "Usage: fdfs_monitor" in result.stdout


def test_make_fails_on_code_that_cannot_be_compiled(archives, tmp_path):
    with_error = tmp_path / "fastdfs-5.05"
    subprocess.run(["tar", "-C", tmp_path, "-xzf", archives / "fastdfs-5.05-simulator.tar.gz"], check=True)
    (with_error / "fdfs_simulator/broken.py").write_text("def broken(:\n")
    assert subprocess.run(["./make.sh"], cwd=with_error, capture_output=True, check=False).returncode != 0


def test_the_simulator_stays_small():
    files = [path for path in SIMULATOR.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    lines = [line for path in files for line in path.read_text().splitlines() if line.strip()]
    assert 500 < len(lines) < 900


def test_a_real_release_of_this_platform_is_found_and_no_other(tmp_path):
    def keep(name, sha256=None):
        archive = tmp_path / "releases" / f"{name}.tar.gz"
        archive.parent.mkdir(exist_ok=True)
        archive.write_bytes(name.encode())
        beside = sha256 or hashlib.sha256(archive.read_bytes()).hexdigest()
        archive.with_name(f"{archive.name}.sha256").write_text(f"{beside}  -\n")
        return archive

    keep("fastdfs-5.05-simulator-libfastcommon-1.0.36-simulator-debian12-x86_64-1")
    keep("fastdfs-5.05-libfastcommon-1.0.36-debian13-x86_64-1")
    keep("fastdfs-5.05-libfastcommon-1.0.36-debian12-x86_64-2", sha256="another")
    assert cached_release(tmp_path, "debian12-x86_64") is None
    real = keep("fastdfs-5.05-libfastcommon-1.0.36-debian12-x86_64-1")
    assert cached_release(tmp_path, "debian12-x86_64") == real
