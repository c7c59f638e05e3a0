"""tests/tools/ledger with a client program that is a small stand-in for fdfs_upload_file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LEDGER = Path(__file__).parents[1] / "tools" / "ledger"
UPLOAD = """#!/bin/sh
# fdfs_upload_file CONFIGURATION FILE: keeps the file under a name of its content
[ ! -e "$STORE/down" ] || { echo "upload file fail, error no: 111" >&2; exit 111; }
name=$(sha256sum "$2" | cut -c 1-30).jpg
cp "$2" "$STORE/data/00/00/$name"
echo "group1/M00/00/00/$name"
"""


@pytest.fixture
def store(tmp_path):
    (tmp_path / "data/00/00").mkdir(parents=True)
    program = tmp_path / "bin" / "fdfs_upload_file"
    program.parent.mkdir()
    program.write_text(UPLOAD)
    program.chmod(0o755)
    return tmp_path


def run(store, *words, **more):
    environment = {**os.environ, "STORE": str(store), "PATH": f"{store / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(
        [sys.executable, LEDGER, *words],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        **more,
    )


@pytest.fixture
def ledger(store):
    assert run(store, "upload", str(store / "ledger"), "--seconds", "0.5").returncode == 0
    return (store / "ledger").read_text()


def check(store, ledger, group="group1"):
    done = run(store, "check", "--group", group, "--store", str(store), input=ledger)
    return done.returncode, json.loads(done.stdout)


def test_what_was_acknowledged_is_in_the_store(store, ledger):
    entries = [json.loads(line) for line in ledger.splitlines()]
    assert len(entries) > 2
    assert check(store, ledger) == (0, {"stable": len(entries), "lost": 0, "corrupt": 0, "among": []})
    assert check(store, ledger, "group2") == (0, {"stable": 0, "lost": 0, "corrupt": 0, "among": []})


def test_what_is_gone_is_lost_and_what_differs_is_corrupt(store, ledger):
    first, second, *_ = (json.loads(line)["id"] for line in ledger.splitlines())
    (store / "data" / first.split("/", 2)[2]).unlink()
    (store / "data" / second.split("/", 2)[2]).write_bytes(b"other")
    status, said = check(store, ledger)
    assert (status, said["lost"], said["corrupt"]) == (1, 1, 1)
    assert [each.split()[:2] for each in said["among"]] == [["lost", first], ["corrupt", second]]


def test_a_failed_upload_is_no_acknowledgement(store):
    (store / "down").touch()
    assert run(store, "upload", str(store / "ledger"), "--seconds", "0.3").returncode == 0
    entries = [json.loads(line) for line in (store / "ledger").read_text().splitlines()]
    assert entries
    assert all("error no: 111" in entry["failed"] and "id" not in entry for entry in entries)
