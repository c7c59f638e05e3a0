"""What a storage ships is archived, once and in its order, whatever befalls either side."""

from __future__ import annotations

import json
import os
import random
import subprocess

import pytest
import ship
from backup_archive import archived, everything
from exchange import Item, listing


def test_what_the_storage_is_the_source_of_is_archived_and_nothing_is_ever_deleted(storage, backup, run):
    contents = [f"image {number}".encode() for number in range(5)]
    names = [storage.upload(content) for content in contents]
    replicated = storage.upload(b"another storage's", operation="c")
    storage.log("D", names[0])
    storage.path(names[0]).unlink()
    first = storage.upload(b"late")
    sender, _ = run()
    assert [archived(backup, name) for name in names] == [None, *contents[1:]]
    assert archived(backup, first) == b"late"
    assert archived(backup, replicated) is None
    assert sender.done == sender.sent != ship.Position()
    assert not list((backup / "inbox/image1").rglob("*.*"))
    storage.log("D", names[1])
    storage.path(names[1]).unlink()
    run()
    assert archived(backup, names[1]) == contents[1]
    path = backup / "archive/group1" / names[1]
    assert path.stat().st_mode & 0o777 == 0o444


def test_what_was_archived_is_not_shipped_again(storage, run, shipper):
    storage.upload()
    run()
    again = shipper()
    again.step()
    assert again.shipped == 0


def test_a_line_that_is_half_written_is_waited_for(storage, backup, run):
    storage.upload()
    name = storage.name(b"second")
    storage.path(name).parent.mkdir(parents=True, exist_ok=True)
    storage.path(name).write_bytes(b"second")
    storage.log("C", name[:20], end="")
    run()
    assert len(everything(backup)) == 1
    with (storage.base / "data/sync/binlog.000").open("a") as binlog:
        binlog.write(name[20:] + "\n")
    run()
    assert archived(backup, name) == b"second"


def test_the_binlog_goes_on_in_its_next_file(storage, backup, run):
    first = storage.upload(b"first")
    storage.index = 1
    second = storage.upload(b"second")
    sender, _ = run(4)
    assert (archived(backup, first), archived(backup, second)) == (b"first", b"second")
    assert sender.done.index == 1


def test_what_changes_is_kept_in_every_state(storage, backup, run):
    name = storage.name(b"one", mark=1 << 58)
    storage.put(name, b"one")
    run()
    storage.put(name, b"one, two", operation="A")
    metadata = storage.put(f"{storage.upload()}-m", b"width 10", operation="U")
    run()
    states = {each.read_bytes() for each in (backup / "versions/group1" / name).iterdir()}
    assert states == {b"one", b"one, two"}
    assert [each.read_bytes() for each in (backup / "versions/group1" / metadata).iterdir()] == [b"width 10"]


def test_a_file_that_is_not_what_its_name_tells_is_set_aside_and_asked_for_again(
    storage, backup, run, shipper, capsys
):
    names = [storage.name(b"an image") for _ in range(2)]
    for name, content in zip(names, (b"an imagE", b"longer than an image")):
        storage.put(name, content)
    _, receiver = run(1)
    assert receiver.again == names
    assert everything(backup) == []
    assert sorted(each.read_bytes() for each in (backup / "rejected/image1").iterdir()) == [
        b"an imagE",
        b"longer than an image",
    ]
    said = capsys.readouterr().out
    assert "its CRC is not that of its name" in said
    assert "it has 20 bytes and not 8" in said
    storage.path(names[0]).write_bytes(b"an image")
    storage.path(names[1]).unlink()
    _, receiver = run()
    assert archived(backup, names[0]) == b"an image"
    assert receiver.again == []


def test_nothing_is_forgotten_however_much_did_not_come(storage, backup, inbox):
    names = [storage.name(f"image {number}".encode()) for number in range(700)]
    (backup / "inbox/image1/00000000-0-99.list").write_text(
        listing([Item(name) for name in names], "00000000-0-0")
    )
    receiver = inbox()
    receiver.step()
    assert receiver.again == names
    assert (backup / "state/image1").read_text().splitlines() == ["00000000-0-99", *names]


def test_what_was_deleted_before_it_could_be_shipped_is_not_asked_for(storage, backup, run):
    storage.path(storage.upload(b"gone")).unlink()
    kept = storage.upload(b"kept")
    sender, receiver = run()
    assert (everything(backup), receiver.again) == ([f"group1/{kept}"], [])
    assert sender.done == sender.sent


def test_a_state_that_never_came_is_asked_for_until_its_file_is_gone(storage, backup, run):
    name = storage.name(b"one", mark=1 << 58)
    storage.path(name).parent.mkdir(parents=True)
    storage.path(name).write_bytes(b"one")
    (backup / "state/image1").write_text(f"00000000-0-0\n00000000-0-7 {name}\n00000000-0-8 {name}\n")
    _, receiver = run()
    assert receiver.again == []
    states = backup / "versions/group1" / name
    assert sorted(each.name for each in states.iterdir()) == ["00000000-0-7", "00000000-0-8"]
    storage.path(name).unlink()
    (backup / "state/image1").write_text(f"00000000-0-0\n00000000-0-9 {name}\n")
    _, receiver = run()
    assert receiver.again == []


def test_a_new_archive_gets_everything(storage, backup, run):
    name = storage.upload()
    run()
    (backup / "archive/group1" / name).unlink()
    (backup / "state/image1").write_text("00000000-0-0\n")
    run()
    assert archived(backup, name) == b"an image"


def test_a_storage_that_was_set_up_anew_begins_at_the_beginning(storage, backup, run):
    for number in range(3):
        storage.upload(f"old {number}".encode())
    run()
    (storage.base / "data/sync/binlog.000").unlink()
    # More than the old one had.
    names = [storage.upload(f"new {number}".encode()) for number in range(5)]
    run()
    assert all(archived(backup, name) for name in names)


def test_a_shipper_that_is_older_than_the_first_image_ships_it_once(storage, backup, shipper, inbox):
    sender = shipper()
    sender.step()
    name = storage.upload()
    sender.step()
    sender.step()
    # One list, of the binlog that has begun: an archive that took two of them in the wrong order refused what came next.
    (only,) = inbox().lists()
    assert only.startswith(sender.binlog.begin().born)
    assert sender.shipped == 1
    later = storage.upload(b"later")
    sender.step()
    receiver = inbox()
    while receiver.step():
        pass
    assert archived(backup, name) and archived(backup, later) == b"later"
    assert not list((backup / "rejected").rglob("*"))


def test_what_a_storage_shipped_before_it_was_set_up_anew_is_archived_first(storage, backup, shipper, inbox):
    sender = shipper()
    first = storage.upload(b"first")
    sender.step()
    second = storage.upload(b"second, a longer one")
    inbox().step()
    sender.step()
    (storage.base / "data/sync/binlog.000").unlink()
    new = storage.upload(b"new")
    sender.step()
    receiver = inbox()
    assert len(receiver.lists()) == 2
    while receiver.step():
        pass
    assert [archived(backup, name) is None for name in (first, second, new)] == [False] * 3
    assert not list((backup / "rejected").rglob("*"))


def test_a_binlog_that_was_away_is_not_shipped_all_over_again(storage, shipper, run, monkeypatch):
    monkeypatch.setattr(ship, "BATCH", 2)
    monkeypatch.setattr(ship.Binlog.read, "__defaults__", (2,))
    for number in range(20):
        storage.upload(f"image {number}".encode())
    run(count=12)
    sender = shipper()
    sender.step()
    binlog = storage.base / "data/sync/binlog.000"
    away = binlog.rename(storage.root / "away")
    sender.step()
    away.rename(binlog)
    while sender.step():
        pass
    assert sender.sent == sender.done == ship.Position(sender.done.born, 0, binlog.stat().st_size)
    assert sender.shipped == 2


# With 51 a storage is set up anew while lists of its former binlog wait, in the order that lost an image once.
@pytest.mark.parametrize("seed", [*range(9), 51])
def test_whatever_comes_between_the_two_every_image_that_stays_is_archived(
    storage, backup, shipper, inbox, seed
):
    rng = random.Random(seed)
    sender, receiver = shipper(), inbox()
    there: dict[str, bytes] = {}
    happens = {
        "upload": 8,
        "replica": 3,
        "delete": 2,
        "send": 8,
        "receive": 8,
        "restart": 2,
        "power cut": 1,
        "anew": 1,
    }
    events = rng.choices(list(happens), weights=list(happens.values()), k=40)
    for number, event in enumerate(events):
        content = f"image {number}".encode()
        if event == "upload":
            there[storage.upload(content)] = content
        elif event == "replica":
            storage.upload(content, operation="c")
        elif event == "delete" and there:
            name = rng.choice(list(there))
            storage.path(name).unlink()
            storage.log("D", name)
            del there[name]
        elif event == "send":
            sender.step()
        elif event == "receive":
            receiver.step()
        elif event == "restart":
            sender, receiver = rng.choice([(shipper(), receiver), (sender, inbox())])
        elif event == "power cut" and receiver.lists():
            (backup / "inbox/image1" / rng.choice(receiver.lists())).unlink()
        elif event == "anew":
            (storage.base / "data/sync/binlog.000").unlink(missing_ok=True)
            there.clear()
    for _ in range(8):
        sender.moved -= ship.PATIENCE
        sender.step()
        while receiver.step():
            pass
    assert {name: archived(backup, name) for name in there} == there
    assert not list((backup / "inbox/image1").glob("*.list"))
    # Only what was lost makes a list come out of turn.
    assert "power cut" in events or not list((backup / "rejected").rglob("*"))


def test_what_was_lost_on_its_way_is_shipped_again(storage, backup, run, shipper, inbox, monkeypatch):
    name = storage.upload()
    sender = shipper()
    sender.step()
    for each in (backup / "inbox/image1").iterdir():
        subprocess.run(["rm", "-r", str(each)], check=True)
    monkeypatch.setattr(ship, "PATIENCE", -1)
    sender.ask()
    sender.step()
    inbox().step()
    assert archived(backup, name) == b"an image"


def test_trouble_of_the_archive_s_disk_loses_nothing(storage, backup, run, shipper, inbox):
    name = storage.upload()
    shipper().step()
    (backup / "archive").rmdir()
    (backup / "archive").write_text("no folder")
    receiver = inbox()
    with pytest.raises(OSError):
        receiver.step()
    (backup / "archive").unlink()
    (backup / "archive").mkdir()
    receiver.step()
    assert archived(backup, name) == b"an image"


def test_trouble_on_the_way_is_said_and_nothing_is_passed(storage, backup, shipper, tmp_path, run):
    sender = shipper()
    sender.step()
    name = storage.upload()
    ssh = tmp_path / "ssh"
    working = ssh.read_text()
    ssh.write_text("#!/bin/sh\necho Connection refused >&2\nexit 255\n")
    with pytest.raises(ship.Trouble, match="rsync to backup1 failed"):
        sender.step()
    sender.tell("rsync to backup1 failed")
    state = json.loads((storage.root / "state/state.json").read_text())
    assert state["lag_seconds"] > 1000
    told = (storage.root / "state/fastdfs_backup.prom").read_text()
    assert 'fastdfs_backup_trouble{archive="state"} 1\n' in told
    assert f'fastdfs_backup_lag_seconds{{archive="state"}} {state["lag_seconds"]}\n' in told
    assert sender.done == sender.sent == sender.binlog.begin()
    with pytest.raises(ship.Trouble, match="failed: Connection refused"):
        shipper().step()
    ssh.write_text(working)
    run()
    assert archived(backup, name) == b"an image"


def test_uploads_while_the_backup_host_is_away_are_archived_when_it_is_back(
    storage, backup, shipper, tmp_path, inbox
):
    sender = shipper()
    sender.step()
    ssh = tmp_path / "ssh"
    working = ssh.read_text()
    ssh.write_text("#!/bin/sh\nexit 255\n")
    names = []
    # One more each time: it tries with another batch each time.
    for number in range(2 * ship.AHEAD):
        names.append(storage.upload(f"image {number}".encode()))
        with pytest.raises(ship.Trouble):
            sender.step()
        sender.rewind()
    sender.tell()
    assert json.loads((storage.root / "state/state.json").read_text())["lag_seconds"] > 1000
    ssh.write_text(working)
    receiver = inbox()
    for _ in range(4):
        sender.step()
        receiver.step()
    sender.ask()
    sender.tell()
    assert [name for name in names if not archived(backup, name)] == []
    assert json.loads((storage.root / "state/state.json").read_text())["lag_seconds"] == 0


def test_a_collector_can_read_how_two_archives_are_at_once():
    told = ship.metrics("backup1", 3, 17, "") + ship.metrics("backup2", 0, 18, "a full disk")
    samples = [line for line in told.splitlines() if not line.startswith("#")]
    assert samples == [
        'fastdfs_backup_lag_seconds{archive="backup1"} 3',
        'fastdfs_backup_shipped_total{archive="backup1"} 17',
        'fastdfs_backup_trouble{archive="backup1"} 0',
        'fastdfs_backup_lag_seconds{archive="backup2"} 0',
        'fastdfs_backup_shipped_total{archive="backup2"} 18',
        'fastdfs_backup_trouble{archive="backup2"} 1',
    ]
    assert len({sample.rpartition(" ")[0] for sample in samples}) == len(samples)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut off"])
def test_a_list_that_a_power_cut_took_is_not_stepped_over(
    storage, backup, shipper, inbox, damage, monkeypatch
):
    sender, names = shipper(), []
    for number in range(2):
        names.append(storage.upload(f"image {number}".encode()))
        sender.step()
    first = min((backup / "inbox/image1").glob("*.list"), key=lambda each: int(each.stem.split("-")[2]))
    if damage == "missing":
        first.unlink()
    else:
        os.truncate(first, 0 if damage == "empty" else first.stat().st_size - 1)
    receiver = inbox()
    while receiver.step():
        pass
    assert receiver.position == "00000000-0-0"
    monkeypatch.setattr(ship, "PATIENCE", -1)
    sender.ask()
    while sender.step():
        receiver.step()
    assert all(archived(backup, name) for name in names)


def test_a_file_that_grew_often_is_shipped_once(storage, backup, shipper, inbox):
    appender = storage.put(storage.name(b"", mark=1 << 63 | 1 << 58), b"grows")
    for _ in range(50):
        storage.log("A", appender)
    shipper().step()
    assert len(list((backup / "inbox/image1/versions").iterdir())) == 1
    assert inbox().step()
    assert list((backup / "inbox/image1/versions").iterdir()) == []
    assert len(list((backup / "versions/group1" / appender).iterdir())) == 1


def test_a_disk_that_is_away_is_no_delete(storage, backup, shipper, run):
    name = storage.upload()
    store = storage.path(name).parents[2]
    store.rename(store.with_name("away"))
    with pytest.raises(ship.Trouble, match="is not there"):
        shipper().step()
    store.with_name("away").rename(store)
    run()
    assert archived(backup, name) == b"an image"


def test_a_store_path_that_is_none_is_said(storage, shipper):
    with open(storage.base / "data/sync/binlog.000", "a") as binlog:
        binlog.write(f"1700000000 C M01{storage.name(b'elsewhere')[3:]}\n")
    with pytest.raises(ship.Trouble, match="the binlog speaks of M01, and this storage has 1 store paths"):
        shipper().step()


def test_the_last_lines_of_a_file_are_read_however_late_they_come(storage, monkeypatch):
    binlog = ship.Binlog(str(storage.base), "group1")
    first = storage.upload(b"first")
    _, position = binlog.read(binlog.begin())
    late = storage.name(b"late")
    exists = os.path.exists

    def rotated(path):
        """Upstream writes its last lines and begins the next file right after this look."""
        there = exists(path)
        if not there and path.endswith(".001"):
            with open(binlog.file(0), "a") as file:
                file.write(f"1700000000 C {late}\n")
            open(path, "w").close()
        return there

    monkeypatch.setattr(os.path, "exists", rotated)
    found = []
    for _ in range(3):
        entries, position = binlog.read(position)
        found += [each.item.name for each in entries]
    assert (found, position.index) == ([late], 1) and first


def test_that_it_still_works_shows_where_nothing_changes(storage, backup, shipper, monkeypatch):
    sender = shipper()
    path = storage.root / "state/state.json"
    sender.tell()
    os.utime(path, (0, 0))
    sender.tell()
    assert path.stat().st_mtime == 0
    monkeypatch.setattr(ship.Notice, "EVERY", 0)
    sender.tell()
    assert path.stat().st_mtime > 0
