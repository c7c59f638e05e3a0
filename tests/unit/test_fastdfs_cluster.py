"""How a storage asks its trackers: for as long as it was told to, by the clock, and no longer."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "roles" / "fastdfs_storage" / "files" / "cluster.sh"
SILENT = "sleep 1; echo ERROR"
OTHER = "echo 'tracker server is 10.0.0.1:22122'; echo '		id = 9'; echo '		ip_addr = 10.0.0.9  ACTIVE'"
SELF = ("group1", "10.0.0.2")
LISTS = "echo 'tracker server is 10.0.0.1:22122'; echo '		ip_addr = 10.0.0.2  {status}'"


@pytest.fixture
def ask(tmp_path):
    """ask(what a tracker answers, SECONDS, COMMAND…): exit status, standard output, and how long it took."""

    def run(answer: str, *arguments: str) -> tuple[int, str, float]:
        monitor = tmp_path / "fdfs_monitor"
        monitor.write_text(f"#!/bin/sh\n{answer}\n")
        monitor.chmod(0o755)
        script = SCRIPT.read_text().replace("/opt/fastdfs/current/usr/bin/fdfs_monitor", str(monitor))
        # How long it waits is written down instead.
        assert script.count('sleep "$patience"') == 1
        script = script.replace('sleep "$patience"', f'echo "$patience" >{tmp_path}/waited')
        begin = time.monotonic()
        result = subprocess.run(
            ["sh", "-s", *arguments], input=script, capture_output=True, text=True, check=False
        )
        return result.returncode, result.stdout, time.monotonic() - begin

    return run


@pytest.fixture(params=["trackers", "start"])
def before(request, tmp_path):
    """before(SELF…): the words that ask whether a storage may start, with a second between heart-beats."""
    beat = ["1"] if request.param == "start" else []
    return lambda *known: [request.param, *beat, str(tmp_path), *known, "10.0.0.1:22122", "10.0.0.3:22122"]


@pytest.mark.parametrize("status", ["OFFLINE", "ACTIVE", "INIT", "WAIT_SYNC"])
@pytest.mark.parametrize(("own", "listed"), [("10.0.0.2", "10.0.0.2"), ("101", "101")])
def test_a_storage_that_trackers_know_does_not_start_without_anything(
    ask, before, tmp_path, status, own, listed
):
    """Only the second tracker knows it. It is refused at once: nothing changes by waiting."""
    known = f"echo '		id = {listed}'; {LISTS.format(status=status)}"
    answer = f'case $(cat "$1") in *10.0.0.3*) {known} ;; *) {OTHER} ;; esac'
    assert ask(answer, "60", *before("group1", own))[:2] == (4, "")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".data_init_flag").write_text("x")
    assert ask(answer, "60", *before("group1", own))[:2] == (0, "")


def test_the_address_is_another_one_s_where_ids_are_used(ask, before):
    """An id that was given to a new host is no member yet, whoever has had its address."""
    assert (
        ask(f"echo '		id = 102'; {LISTS.format(status='OFFLINE')}", "0", *before("group1", "101"))[0]
        == 0
    )


@pytest.mark.parametrize("status", ["DELETED", "IP_CHANGED"])
def test_one_that_had_left_starts_when_the_others_do_not_know_it_any_more(ask, tmp_path, status):
    answers = LISTS.format(status=status)
    words = ("start", "1", str(tmp_path), *SELF, "10.0.0.1:22122")
    assert ask(answers, "0", *words)[:2] == (0, "")
    # Three heart-beats, and what it takes to notice.
    assert (tmp_path / "waited").read_text() == "13\n"
    (tmp_path / "waited").unlink()
    assert ask(OTHER, "0", *words)[:2] == (0, "")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".data_init_flag").write_text("x")
    assert ask(answers, "0", *words)[:2] == (0, "")
    assert not (tmp_path / "waited").exists()


def test_silent_trackers_are_named_when_their_time_is_over(ask, tmp_path):
    status, said, took = ask(
        SILENT, "4", "trackers", str(tmp_path), *SELF, "10.0.0.1:22122", "10.0.0.3:22122"
    )
    assert status == 1
    assert said.split() == ["10.0.0.1:22122", "10.0.0.3:22122"]
    assert 4 <= took < 9  # no question is broken off, and none is asked after the end


def test_one_tracker_is_enough_for_a_storage_that_has_joined_before(ask, tmp_path):
    (tmp_path / "data").mkdir()
    answers = f'case $(cat "$1") in *10.0.0.3*) {SILENT} ;; *) {LISTS.format(status="ACTIVE")} ;; esac'
    both = ("trackers", str(tmp_path), "group1", "10.0.0.9", "10.0.0.1:22122", "10.0.0.3:22122")
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
        ["sh", "-s", "60", "trackers", str(tmp_path), *SELF, "10.0.0.1:22122"],
        input=SCRIPT.read_text().replace("/opt/fastdfs/", f"{tmp_path}/"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 3
    assert "install a release first (role fastdfs_release)" in result.stderr
