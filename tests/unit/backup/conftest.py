"""Both sides of the role fastdfs_backup, with the real rsync and rrsync between them and no ssh."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
ROLE = PROJECT / "roles" / "fastdfs_backup"
sys.path[:0] = [str(ROLE / "files"), str(PROJECT / "plugins" / "module_utils" / "fastdfs")]

import keep  # noqa: E402
import ship  # noqa: E402
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
