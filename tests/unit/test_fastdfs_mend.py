"""What a storage had acknowledged when it was killed is named in its binlog before it starts again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage_disk import SOURCE, Storage

ROLE = Path(__file__).parents[2] / "roles" / "fastdfs_storage"
sys.path.insert(0, str(ROLE / "files"))

import mend_binlog  # noqa: E402


@pytest.fixture
def storage(tmp_path):
    made = Storage(tmp_path)
    (made.base / "data/sync/binlog.index").write_text("0")
    (made.base / "data/.data_init_flag").write_text(f"storage_join_time=1700000000\nlast_ip_addr={SOURCE}\n")
    made.upload(b"the first")
    return made


def start(storage: Storage, *options: str) -> str:
    program = [
        sys.executable,
        str(ROLE / "files/mend_binlog.py"),
        *options,
        str(storage.base),
        "group1",
        str(storage.store),
    ]
    path = f"{ROLE / 'files'}:{Path(__file__).parents[2] / 'plugins/module_utils/fastdfs'}"
    ran = subprocess.run(program, capture_output=True, text=True, check=True, env={"PYTHONPATH": path})
    return ran.stdout


def log(storage: Storage, index: int = 0) -> list[str]:
    return (storage.base / f"data/sync/binlog.{index:03}").read_text().splitlines()


def forget(storage: Storage, lines: int) -> None:
    """The last lines were never written."""
    path = storage.base / f"data/sync/binlog.{storage.index:03}"
    path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines()[:-lines]))


def test_files_without_a_line_get_one_and_no_file_gets_two(storage):
    names = [storage.upload(f"image {number}".encode()) for number in range(5)]
    forget(storage, 3)
    assert "3 files" in start(storage)
    lines = log(storage)
    assert sorted(line.split()[2] for line in lines[1:]) == sorted(names)
    mtime = int(storage.path(names[4]).stat().st_mtime)
    assert f"{mtime} C {names[4]}" in lines
    assert "0 files" in start(storage)
    assert log(storage) == lines


def test_after_a_clean_stop_nothing_is_looked_for(storage):
    storage.upload(b"an image")
    forget(storage, 1)
    (storage.base / "data/stopped").touch()
    assert start(storage) == ""
    assert len(log(storage)) == 1
    assert "1 files" in start(storage), "a stop is believed once"


def test_a_storage_that_never_ran_has_nothing_to_mend(tmp_path):
    assert start(Storage(tmp_path)) == ""


def test_what_others_are_the_source_of_is_theirs_to_name(storage):
    name = storage.put(storage.name(b"a replica", source="10.0.0.22"), b"a replica", "c")
    forget(storage, 1)
    assert "0 files" in start(storage)
    assert name not in "".join(log(storage))


def test_an_upload_that_was_cut_off_is_left_alone(storage):
    short, other = storage.upload(b"cut off"), storage.upload(b"not this")
    storage.path(short).write_bytes(b"cut")
    storage.path(other).write_bytes(b"but that")
    forget(storage, 2)
    assert start(storage).splitlines()[1:] == ["2 files of uploads that were cut off are left as they are."]
    assert len(log(storage)) == 1


def test_files_that_may_change_are_named_too(storage):
    appender = storage.put(storage.name(b"", mark=1 << 63 | 1 << 58), b"grows")
    metadata = storage.put(f"{storage.name(b'an image')}-m", b"width=100")
    forget(storage, 2)
    assert "2 files" in start(storage)
    assert {line.split()[2] for line in log(storage)[1:]} == {appender, metadata}


@pytest.mark.parametrize("tail", ["1700000009 C M00/00/", "17", "\0\0\0\0"])
def test_half_a_line_is_cut_off(storage, tail):
    name = storage.upload(b"an image")
    forget(storage, 1)
    storage.log("C", name, end="")
    path = storage.base / "data/sync/binlog.000"
    whole = path.read_text().splitlines()[0]
    path.write_text(f"{whole}\n{tail}")
    start(storage)
    assert [line.split()[1:] for line in log(storage)] == [whole.split()[1:], ["C", name]]


def test_a_name_in_half_a_line_is_not_lost_with_it(storage):
    name = storage.put(storage.name(b"an image"), b"an image")
    path = storage.base / "data/sync/binlog.000"
    path.write_text(path.read_text().rstrip("\n"))
    assert "1 files" in start(storage)
    assert log(storage)[-1].endswith(name)


def test_lines_in_the_binlogs_file_before_count(storage):
    storage.upload(b"an image")
    storage.index = 1
    (storage.base / "data/sync/binlog.001").touch()
    (storage.base / "data/sync/binlog.index").write_text("1")
    new = storage.upload(b"another")
    forget(storage, 1)
    assert "1 files" in start(storage)
    assert [line.split()[2] for line in log(storage, 1)] == [new]


def test_a_run_that_was_interrupted_is_not_taken_for_a_life_of_the_storage(storage, monkeypatch):
    name = storage.upload(b"an image")
    forget(storage, 1)
    path = storage.base / "data/sync/binlog.000"
    path.write_text(path.read_text() + "1700000009 C M00/")
    # The storage died some time ago.
    os.utime(path, (os.path.getmtime(path) - 1000,) * 2)
    before = os.path.getmtime(path)
    mending = (str(storage.base), 0, "group1", [str(storage.store)], SOURCE)
    for broken in ("unnamed", "whole"):
        with monkeypatch.context() as patch:
            patch.setattr(mend_binlog, broken, lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                mend_binlog.mend(*mending)
        assert os.path.getmtime(path) == before
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _file: os.write(999999, b""))
        with pytest.raises(OSError):
            mend_binlog.mend(*mending)
    assert os.path.getmtime(path) == before
    mend_binlog.mend(*mending)
    assert [line.split()[2] for line in log(storage)][1:] == [name]


def test_with_ids_it_is_the_source_of_what_tells_its_own(storage):
    """Another storage's, replicated here and not yet named, would be refused by the backup if it came from here."""
    own, other = (
        storage.name(content, f"{number}.0.0.0") for number, content in ((5, b"own"), (6, b"other"))
    )
    for name in (own, other):
        storage.put(name, b"own" if name == own else b"other")
    forget(storage, 2)
    assert "1 files" in start(storage, "--id=5")
    assert [line.split()[2] for line in log(storage)][1:] == [own]
    forget(storage, 1)
    # Without, nobody's is left out.
    assert "2 files" in start(storage)


def test_old_directories_are_not_searched(storage):
    name = storage.upload(b"an image")
    forget(storage, 1)
    folder = storage.path(name).parent
    os.utime(folder, (1, 1))
    assert "0 files" in start(storage)


@given(
    st.lists(st.binary(min_size=1, max_size=40).filter(lambda line: b"\n" not in line)), st.integers(1, 50)
)
def test_a_file_is_read_backwards_whole(tmp_path_factory, lines, block):
    path = tmp_path_factory.mktemp("log") / "binlog"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mend_binlog, "BLOCK", block)
        read = [line for part in reversed(list(mend_binlog.backwards(str(path)))) for line in part if line]
    assert read == lines
