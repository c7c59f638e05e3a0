"""What the hostile suite asks of FastDFS: whoever may connect gets answers, and a stranger none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from fdfs_fixtures import needs_real

PROGRAM = Path(__file__).parents[2] / "tools" / "stranger"


def tried(*arguments: object) -> list[dict]:
    run = subprocess.run(
        [sys.executable, PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_whoever_may_connect_gets_answers_and_can_join(cluster, prefix):
    tracker = cluster.tracker(prefix)
    storage = cluster.storage(prefix, 21)
    cluster.wait_active(prefix, storage)
    file_id = cluster.upload(prefix, b"an image")
    asked = {each["command"]: each["status"] for each in tried("storage", storage.address, 23000, file_id)}
    assert {asked[name] for name in ("active test", "file info", "download", "upload", "delete")} == {0}
    asked = {each["command"]: each["status"] for each in tried("tracker", tracker.address, 22122, file_id, 4)}
    assert {
        asked[name] for name in ("active test", "list groups", "list storages", "where to write", "join")
    } == {0}
    assert "127.0.0.1" in cluster.client(prefix, "monitor", "list")


@needs_real
def test_a_stranger_gets_no_answer(cluster, real):
    tracker = cluster.tracker(real, allow_hosts=[f"{cluster.network}.0/24"])
    storage = cluster.storage(real, 21, allow_hosts=[f"{cluster.network}.0/24"])
    for kind, daemon, port in (("tracker", tracker, 22122), ("storage", storage, 23000)):
        asked = tried(kind, daemon.address, port, "group1/M00/00/00/wKgKSlR8hGSAXQ8mAAAB5Y2Q_0M123.jpg")
        assert len(asked) > 5 and {each["status"] for each in asked} == {None}, asked


def test_a_scan_tells_open_from_refused(cluster, prefix):
    tracker = cluster.tracker(prefix)
    (told,) = tried("scan", tracker.address, "22121-22122")
    assert told == {tracker.address: {"22121": "refused", "22122": "open"}}
