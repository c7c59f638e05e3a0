"""Images come back from an archive under their names, with the real rsync and rrsync and no ssh."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from storage_disk import Storage

ROLE = Path(__file__).parents[2] / "roles" / "fastdfs_backup"
sys.path.insert(0, str(ROLE / "files"))

import restore  # noqa: E402


@pytest.fixture
def storage(tmp_path):
    made = Storage(tmp_path)
    (made.base / "data/sync/binlog.index").write_text("0")
    return made


@pytest.fixture
def archive(tmp_path, storage):
    """archive(name, b"content") keeps a file; archive(name, b"content", "00000000-0-9") a state of one that may change."""
    root = tmp_path / "backup"
    for folder in ("archive/group1/M00", "versions/group1/M00"):
        (root / folder).mkdir(parents=True)

    def keep(name: str, content: bytes, state: str = "") -> None:
        file = root / ("versions" if state else "archive") / "group1" / name / state
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        if state:
            # The later, the newer.
            os.utime(file, (1700000000 + int(state[-1]),) * 2)

    keep.root = root
    return keep


@pytest.fixture
def run(tmp_path, storage, archive, monkeypatch):
    """run(names=…, since=…) plans, does and has the storage started again; back come what was planned and how many files came."""
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\nshift\nSSH_ORIGINAL_COMMAND="$*" exec /usr/bin/rrsync -ro {archive.root}\n')
    ssh.chmod(0o755)
    monkeypatch.setattr(restore, "NOTED", str(tmp_path / "noted"))
    (tmp_path / "noted").mkdir()

    def both(
        names: list[str] | None = None, since: int | None = None, started: bool = True
    ) -> tuple[dict, int]:
        settings = {"group": "group1", "base_path": str(storage.base), "paths": [str(storage.store)]}
        settings |= {"target": "backup1", "ssh": [str(ssh)], "since": since}
        if names is not None:
            settings["names"] = str(tmp_path / "names")
            (tmp_path / "names").write_text("".join(f"{name}\n" for name in names))
        planned = restore.Restore(settings).plan()
        restored = restore.Restore(settings).do()["restored"]
        if started:
            (tmp_path / "noted/group1.named").unlink()
        return planned, restored

    return both


def lost(storage: Storage, archive, content: bytes = b"an image", deleted: bool = True) -> str:
    """An image that is in the archive only."""
    name = storage.upload(content)
    archive(name, content)
    storage.path(name).unlink()
    if deleted:
        storage.log("D", name)
    return name


def log(storage: Storage) -> list[str]:
    return (storage.base / "data/sync/binlog.000").read_text().splitlines()


def test_everything_that_is_not_there_comes_back_and_is_named_in_the_binlog(storage, archive, run):
    first, second = lost(storage, archive), lost(storage, archive, b"another")
    there = storage.upload(b"still there")
    archive(there, b"still there")
    before = log(storage)
    planned, restored = run()
    assert (planned["files"], planned["needs"][0]["bytes"]) == (2, len(b"an image") + len(b"another"))
    assert restored == 2
    assert storage.path(first).read_bytes() == b"an image"
    new = [line.split()[1:] for line in log(storage)[len(before) :]]
    assert sorted(new) == sorted([["C", first], ["C", second]])
    planned, restored = run()
    assert (planned["files"], restored) == (0, 0)
    assert not (storage.store / "restore").exists()


def test_what_the_backup_host_has_begun_to_keep_is_nothing_yet(storage, archive, run):
    name = lost(storage, archive)
    appender = storage.name(b"", mark=1 << 63 | 1 << 58)
    archive(appender, b"whole", "00000000-0-9")
    storage.path(appender).parent.mkdir()
    for half in (
        archive.root / f"archive/group1/{Path(name).parent}/.{Path(name).name}.new",
        archive.root / f"versions/group1/{appender}/.00000000-0-10.new",
    ):
        half.write_bytes(b"par")
    assert run()[1] == 2
    assert storage.path(appender).read_bytes() == b"whole"
    assert sorted(each.name for each in storage.store.rglob("*.new")) == []


def test_names_that_do_not_fit_into_the_binlog_are_not_written_by_half(storage, archive, run, monkeypatch):
    names = [lost(storage, archive, f"image {number}".encode()) for number in range(3)]
    before, write = log(storage), os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, text: write(file, text[: len(text) // 2]))
        with pytest.raises(SystemExit, match="make space and run this again"):
            run()
    assert log(storage) == before
    assert run()[1] == 3
    assert sorted(line.split()[2] for line in log(storage)[len(before) :]) == sorted(names)


def test_only_what_is_named_comes_back(storage, archive, run):
    first, second = lost(storage, archive), lost(storage, archive, b"another")
    unknown, there = storage.name(b"never archived"), storage.upload(b"never deleted")
    elsewhere = f"M05{first[3:]}"
    planned, restored = run(names=[first, unknown, there, elsewhere])
    assert (planned["files"], planned["lacking"], restored) == (1, sorted([unknown, elsewhere]), 1)
    assert not storage.path(second).exists()


def test_until_the_storage_is_started_again_every_run_says_that_it_has_to_be(storage, archive, run):
    lost(storage, archive)
    assert run(started=False)[1] == 1
    lines = log(storage)
    assert run(started=False)[1] == 1
    lost(storage, archive, b"another")
    assert run()[1] == 2
    assert run()[1] == 0
    assert len(log(storage)) == len(lines) + 3


def test_only_what_was_deleted_since_then_comes_back(storage, archive, run):
    early, late, never = lost(storage, archive), lost(storage, archive), lost(storage, archive, deleted=False)
    # storaged writes the time of a clock that it sets once a second.
    behind = lost(storage, archive)
    path = storage.base / "data/sync/binlog.000"
    text = path.read_text().replace(f"1700000000 D {late}", f"1700000500 D {late}")
    path.write_text(text.replace(f"1700000000 D {behind}", f"1700000399 D {behind}"))
    planned, restored = run(since=1700000400)
    assert (planned["files"], restored) == (2, 2)
    assert storage.path(behind).exists()
    assert storage.path(late).exists()
    assert not storage.path(early).exists()
    assert not storage.path(never).exists()


def test_of_what_may_change_the_last_state_comes_back(storage, archive, run):
    appender = storage.name(b"", mark=1 << 63 | 1 << 58)
    storage.path(appender).parent.mkdir(parents=True)
    image = lost(storage, archive)
    for number, content in enumerate((b"one", b"two", b"three")):
        archive(appender, content, f"00000000-0-{number}")
        archive(f"{image}-m", content, f"00000000-0-{number}")
    planned, restored = run(names=[image])
    assert (planned["lacking"], restored) == ([], 2)
    assert storage.path(f"{image}-m").read_bytes() == b"three"
    assert not storage.path(appender).exists()
    planned, restored = run(names=[appender])
    assert (planned["lacking"], restored) == ([], 1)
    assert storage.path(appender).read_bytes() == b"three"


def test_what_an_interrupted_run_brought_is_named_by_the_next(storage, archive, run, tmp_path):
    name = storage.upload(b"brought")
    (tmp_path / "noted/group1").write_text(f"{name}\n{storage.name(b'not any more')}\n")
    before = log(storage)
    assert run(names=[])[1] == 1
    assert [line.split()[1:] for line in log(storage)[len(before) :]] == [["C", name]]


def test_an_archive_that_has_nothing_of_a_group_brings_nothing(storage, archive, run):
    storage.upload()
    for kind in ("archive", "versions"):
        (archive.root / kind / "group1").rename(archive.root / kind / "group2")
    planned, restored = run()
    assert (planned["files"], planned["needs"][0]["bytes"], restored) == (0, 0, 0)


def test_an_archive_that_cannot_be_reached_is_said(storage, run, monkeypatch, tmp_path):
    (tmp_path / "ssh").write_text("#!/bin/sh\necho no route to host >&2\nexit 255\n")
    with pytest.raises(SystemExit, match="rsync from backup1 failed: no route to host"):
        run()


def test_it_takes_its_settings_from_those_of_shipping(storage, tmp_path):
    ssh = ["ssh", "-i", "/the/key/of/shipping", "-oControlMaster=auto"]
    settings = {
        "group": "group1",
        "paths": [str(storage.store)],
        "base_path": str(storage.base),
        "target": "nobody@127.0.0.1",
        "ssh": ssh,
    }
    (tmp_path / "ship.json").write_text(json.dumps(settings))
    (tmp_path / "names").touch()
    words = [
        sys.executable,
        ROLE / "files/restore.py",
        "plan",
        tmp_path / "ship.json",
        "/a/key",
        f"names:{tmp_path}/names",
    ]
    storage.store.mkdir()
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout)["files"] == 0
