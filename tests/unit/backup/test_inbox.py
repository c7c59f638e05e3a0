"""What a stranger with a storage's key may do to the backup host: leave things in the inbox, and nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import keep
import pytest
from backup_archive import archived, everything


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


def test_a_storage_with_an_id_ships_what_tells_that_id(storage, backup, shipper, capsys):
    own, other = (storage.name(b"an image", source=f"{number}.0.0.0") for number in (7, 8))
    for name in (own, other):
        storage.put(name, b"an image")
    shipper().step()
    keep.Inbox(str(backup), "image1", "group1", ["7"]).step()
    assert everything(backup) == [f"group1/{own}"]
    assert "its name says that 8 is its source" in capsys.readouterr().out


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
