"""What the role fastdfs_backup runs on both sides, with the real rsync and rrsync between them and no ssh."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
ROLE = PROJECT / "roles" / "fastdfs_backup"
sys.path[:0] = [str(ROLE / "files"), str(PROJECT / "plugins" / "module_utils" / "fastdfs")]

import keep  # noqa: E402
import ship  # noqa: E402
from exchange import Item, listing  # noqa: E402
from storage_disk import SOURCE, Storage  # noqa: E402


@pytest.fixture
def storage(tmp_path):
    return Storage(tmp_path)


@pytest.fixture
def backup(tmp_path):
    root = tmp_path / "backup"
    for folder in ("inbox/image1", "archive", "versions", "rejected", "state"):
        (root / folder).mkdir(parents=True)
    (root / "state/image1").write_text("00000000-0-0\n")
    return root


@pytest.fixture
def ssh(tmp_path, backup):
    """What stands for ssh: it runs the key's forced command."""
    receive = (ROLE / "templates/receive.j2").read_text()
    receive = receive.replace("{{ fastdfs_backup_path }}", str(backup)).replace(
        "{{ ansible_managed | comment }}", "#"
    )
    assert "{{" not in receive
    (tmp_path / "receive").write_text(receive)
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\nshift\nSSH_ORIGINAL_COMMAND="$*" exec sh {tmp_path}/receive image1\n')
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def shipper(storage, ssh):
    def make() -> ship.Shipper:
        settings = {"group": "group1", "base_path": str(storage.base), "paths": [str(storage.store)]}
        return ship.Shipper(
            {**settings, "target": "backup1", "ssh": [ssh], "state": str(storage.root / "state")}
        )

    return make


@pytest.fixture
def inbox(backup):
    return lambda: keep.Inbox(str(backup), "image1", "group1", [SOURCE])


@pytest.fixture
def run(shipper, inbox):
    """run() ships and archives until nothing moves any more, as both services would."""

    def rounds(count: int = 3) -> tuple[ship.Shipper, keep.Inbox]:
        sender, receiver = shipper(), inbox()
        for _ in range(count):
            sender.step()
            receiver.step()
            sender.repeated = -100.0
            sender.ask()
        return sender, receiver

    return rounds


def archived(backup: Path, name: str) -> bytes | None:
    path = backup / "archive/group1" / name
    return path.read_bytes() if path.exists() else None


def everything(backup: Path) -> list[str]:
    return sorted(
        str(each.relative_to(backup / "archive"))
        for each in (backup / "archive").rglob("*")
        if each.is_file()
    )


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


# What a stranger with the key may leave in the inbox


def listed(backup: Path, *lines: str) -> None:
    (backup / "inbox/image1/00000000-0-99.list").write_text(
        "".join(f"{line}\n" for line in [*lines, "after 00000000-0-0"])
    )


@pytest.mark.parametrize(
    "line",
    [
        "../../../etc/passwd",
        "M00/00/00/../../../../../../../../../../../../etc/passwd",
        "/etc/passwd",
        "00000000-0-1 ../../etc/passwd",
        "M00/00/00/short.jpg",
        "",
        "\x00\xff",
    ],
)
def test_lines_that_are_none_are_nothing(backup, inbox, line):
    listed(backup, line)
    receiver = inbox()
    assert receiver.step()
    assert (receiver.again, everything(backup), list((backup / "rejected").rglob("*"))) == ([], [], [])


def test_links_lead_nowhere(storage, backup, inbox):
    name = storage.name(b"an image")
    kept = backup / "archive/group1" / name
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"an image")
    box = backup / "inbox/image1"
    # The folder of the archive, as if it lay in the inbox: what is archived already is removed from there.
    (box / "M00").symlink_to(backup / "archive/group1/M00")
    listed(backup, name)
    receiver = inbox()
    receiver.step()
    assert kept.read_bytes() == b"an image"
    (box / "M00").unlink()
    (box / name).parent.mkdir(parents=True)
    (box / name).symlink_to("/etc/passwd")
    listed(backup, name)
    kept.unlink()
    receiver.step()
    assert everything(backup) == []
    assert Path("/etc/passwd").is_file()


def test_what_is_no_file_keeps_nobody_waiting(storage, backup, inbox):
    names = [storage.name(b"an image") for _ in range(2)]
    for name in names:
        (backup / "inbox/image1" / name).parent.mkdir(parents=True)
    os.mkfifo(backup / "inbox/image1" / names[0])
    (backup / "inbox/image1" / names[1]).mkdir()
    listed(backup, *names)
    (backup / "inbox/image1/00000000-0-98.list").mkdir()
    receiver = inbox()
    assert [receiver.step() for _ in range(3)] == [True, True, False]
    assert everything(backup) == []


def test_what_cannot_be_set_aside_is_trouble_of_that_storage_only(backup, inbox):
    for folder in (backup / "inbox/image1/00000000-0-1.list", backup / "rejected/image1/00000000-0-1.list/x"):
        folder.mkdir(parents=True)
    (backup / "inbox/image1/00000000-0-1.list/x").touch()
    receiver = inbox()
    assert [receiver.turn(now) for now in (100.0, 101.0)] == [False, False]
    assert receiver.trouble.startswith("image1: ")
    (backup / "rejected/image1/00000000-0-1.list/x").rmdir()
    assert [receiver.turn(now) for now in (102.0, 106.0)] == [False, True]
    assert receiver.trouble == ""


def test_another_storage_s_images_are_not_taken(storage, backup, run, capsys):
    storage.put(storage.name(b"forged", source="10.0.0.99"), b"forged")
    run(1)
    assert everything(backup) == []
    assert "10.0.0.99 is its source" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    [
        "id",
        "rm -rf .",
        "cat state/image1",
        "state; id",
        "rsync --server --sender -r . .",
        "rsync --server --delete -r . .",
        "scp -t .",
    ],
)
def test_the_key_runs_no_other_command_and_reads_nothing(ssh, backup, storage, run, command):
    name = storage.upload()
    run()
    done = subprocess.run(
        [ssh, "backup1", *command.split()], capture_output=True, text=True, check=False, input=""
    )
    assert done.returncode != 0
    assert "uid=" not in done.stdout
    assert archived(backup, name) == b"an image"


def test_the_key_overwrites_nothing_that_is_in_the_inbox(ssh, backup, tmp_path):
    (tmp_path / "file").write_text("first")
    push = ["rsync", "--rsh", ssh, str(tmp_path / "file"), "backup1:./file"]
    subprocess.run(push, check=True)
    (tmp_path / "file").write_text("second, and longer")
    subprocess.run(push, check=True)
    assert (backup / "inbox/image1/file").read_text() == "first"
