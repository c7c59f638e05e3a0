"""How a storage asks its trackers: for as long as it was told to, by the clock, and no longer."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "roles" / "fastdfs_storage" / "files" / "cluster.sh"
SILENT = "sleep 1; echo ERROR"
LISTS = "echo 'tracker server is 10.0.0.1:22122'; echo '		ip_addr = 10.0.0.2  {status}'"


@pytest.fixture
def ask(tmp_path):
    """ask(what a tracker answers, SECONDS, COMMAND…): exit status, standard output, and how long it took."""

    def run(answer: str, *arguments: str) -> tuple[int, str, float]:
        monitor = tmp_path / "fdfs_monitor"
        monitor.write_text(f"#!/bin/sh\n{answer}\n")
        monitor.chmod(0o755)
        script = SCRIPT.read_text().replace("/opt/fastdfs/current/usr/bin/fdfs_monitor", str(monitor))
        begin = time.monotonic()
        result = subprocess.run(
            ["sh", "-s", *arguments], input=script, capture_output=True, text=True, check=False
        )
        return result.returncode, result.stdout, time.monotonic() - begin

    return run


def test_silent_trackers_are_named_when_their_time_is_over(ask, tmp_path):
    status, said, took = ask(SILENT, "4", "trackers", str(tmp_path), "10.0.0.1:22122", "10.0.0.3:22122")
    assert status == 1
    assert said.split() == ["10.0.0.1:22122", "10.0.0.3:22122"]
    assert 4 <= took < 9  # no question is broken off, and none is asked after the end


def test_one_tracker_is_enough_for_a_storage_that_has_joined_before(ask, tmp_path):
    (tmp_path / "data").mkdir()
    answers = f'case $(cat "$1") in *10.0.0.3*) {SILENT} ;; *) {LISTS.format(status="ACTIVE")} ;; esac'
    both = ("trackers", str(tmp_path), "10.0.0.1:22122", "10.0.0.3:22122")
    assert ask(answers, "0", *both)[:2] == (1, "10.0.0.3:22122\n")
    (tmp_path / "data" / ".data_init_flag").write_text("x")
    assert ask(answers, "0", *both)[0] == 0


@pytest.mark.parametrize(
    ("status", "result", "words"),
    [("ACTIVE", 0, ""), ("WAIT_SYNC", 1, "10.0.0.1:22122 says WAIT_SYNC\n")],
)
def test_active_is_what_the_tracker_says(ask, status, result, words):
    answer = LISTS.format(status=status)
    assert ask(answer, "0", "active", "group1", "10.0.0.2", "10.0.0.1:22122")[:2] == (result, words)


def test_one_that_has_left_may_have_had_its_address(ask):
    """With storage ids, trackers list both."""
    left = "echo '		ip_addr = 10.0.0.2  DELETED'"
    here = LISTS.format(status="ACTIVE")
    for answer in (f"{here}; {left}", here.replace("; ", f"; {left}; ", 1)):
        assert ask(answer, "0", "active", "group1", "10.0.0.2", "10.0.0.1:22122")[:2] == (0, "")


def test_a_missing_release_is_said_at_once(tmp_path):
    result = subprocess.run(
        ["sh", "-s", "60", "trackers", str(tmp_path), "10.0.0.1:22122"],
        input=SCRIPT.read_text().replace("/opt/fastdfs/", f"{tmp_path}/"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 3
    assert "install a release first (role fastdfs_release)" in result.stderr
