"""tests/tools/ledger with a client program that is a small stand-in for fdfs_upload_file."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
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


def check(store, ledger, *words):
    done = run(store, "check", *(words or ("--store", str(store))), input=ledger)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def stable(count):
    groups = ["group1"] if count else []
    return {
        "stable": count,
        "stale": 0,
        "lost": [],
        "corrupt": 0,
        "longest": 0.0,
        "among": [],
        "groups": groups,
    }


def test_what_was_acknowledged_is_in_the_store(store, ledger):
    entries = [json.loads(line) for line in ledger.splitlines()]
    assert len(entries) > 2
    assert check(store, ledger) == (0, stable(len(entries)))
    assert check(store, ledger, "--group", "group1", "--store", str(store)) == (0, stable(len(entries)))
    assert check(store, ledger, "--group", "group2", "--store", str(store)) == (0, stable(0))


def test_what_is_gone_is_lost_and_what_differs_is_corrupt(store, ledger):
    first, second, *_ = (json.loads(line)["id"] for line in ledger.splitlines())
    (store / "data" / first.split("/", 2)[2]).unlink()
    (store / "data" / second.split("/", 2)[2]).write_bytes(b"other")
    status, said = check(store, ledger)
    assert (status, said["lost"], said["corrupt"]) == (1, [first], 1)
    assert [each.split()[:2] for each in said["among"]] == [["corrupt", second], ["lost", first]]


def test_what_comes_while_it_waits_is_stale(store, ledger):
    image = store / "data" / json.loads(ledger.splitlines()[0])["id"].split("/", 2)[2]
    away = store / "away"
    image.rename(away)
    later = threading.Timer(1, away.rename, [image])
    later.start()
    status, said = check(store, ledger, "--store", str(store), "--wait", "30")
    later.join()
    assert (status, said["stale"], said["lost"], said["among"]) == (0, 1, [], [])
    assert 0 < said["longest"] < 30


def test_a_second_store_path_has_what_lies_in_m01(store, ledger):
    line = {**json.loads(ledger.splitlines()[0])}
    other = store / "other"
    shutil.copytree(store / "data", other / "data")
    line["id"] = line["id"].replace("/M00/", "/M01/")
    assert check(store, json.dumps(line), "--store", str(store), str(other)) == (0, stable(1))
    done = run(store, "check", "--store", str(store), input=json.dumps(line))
    assert done.returncode == 1
    assert "is in store path 1, and 1 were named with --store" in done.stderr


def test_a_reader_is_asked_for_every_image(store, ledger):
    class Images(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __init__(self, *words):
            super().__init__(*words, directory=str(store / "site"))

        def log_message(self, *words):
            pass

    (store / "site/group1").mkdir(parents=True)
    (store / "site/group1/M00").symlink_to(store / "data")
    gone = json.loads(ledger.splitlines()[0])["id"]
    (store / "data" / gone.split("/", 2)[2]).unlink()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Images) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        status, said = check(store, ledger, "--url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert (status, said["lost"], said["stable"]) == (1, [gone], len(ledger.splitlines()) - 1)
    assert said["among"][0].startswith(f"lost {gone} ")


def test_a_failed_upload_is_no_acknowledgement(store):
    (store / "down").touch()
    assert run(store, "upload", str(store / "ledger"), "--seconds", "0.3").returncode == 0
    entries = [json.loads(line) for line in (store / "ledger").read_text().splitlines()]
    assert entries
    assert all("error no: 111" in entry["failed"] and "id" not in entry for entry in entries)


def test_the_first_look_ends_where_nobody_answers(monkeypatch, capsys):
    source: dict = {"__name__": "ledger"}
    exec(compile(LEDGER.read_text(), str(LEDGER), "exec"), source)
    source["FIRST"] = 0.2
    asked = []

    def silent(file_id):
        asked.append(file_id)
        time.sleep(0.3)

    entries = [{"id": f"group1/M00/00/00/{number}", "sha256": "", "time": 0} for number in range(9)]
    assert source["check"](entries, silent, 0) == 1
    assert len(asked) == 1
    assert len(json.loads(capsys.readouterr().out)["lost"]) == 9
