# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints as JSON what a storage or a backup host knows of itself. Read by ``python3 - STORE_PATH…`` on that host; it changes nothing.

A storage's mark file for a peer, ``ADDRESS_PORT.mark`` or ``ID.mark``, has upstream's ``binlog_index=`` and ``binlog_offset=``: where it goes on
sending.
"""

from __future__ import annotations

import glob
import json
import os
import sys
import time

SYNC = "/var/lib/fastdfs/storage/data/sync"


def disk(path: str) -> dict:
    """Space of the file system below ``path`` in bytes; nothing when there is none."""
    try:
        said = os.statvfs(path)
    except OSError:
        return {"path": path}
    return {
        "path": path,
        "total": said.f_blocks * said.f_frsize,
        "free": said.f_bavail * said.f_frsize,
        "files_free": said.f_favail,
    }


def binlog(index: int) -> str:
    return os.path.join(SYNC, f"binlog.{index:03}")


def behind(index: int, offset: int) -> int:
    """The bytes of the binlog that follow this position."""
    logs = [binlog(number) for number in range(index, index + 1000)]
    return sum(os.path.getsize(log) for log in logs if os.path.exists(log)) - offset


def mark(path: str) -> dict:
    """How much of the binlog has not been sent to a peer: bytes, and the age in seconds of the first line of that.

    No bytes, but None, when that cannot be known: the file is empty for a moment when the storage writes it.
    """
    peer = os.path.basename(path)[: -len(".mark")].rsplit("_", 1)[0]
    for _look in range(5):
        with open(path) as file:
            values = dict(line.strip().split("=", 1) for line in file if "=" in line)
        if "binlog_offset" in values:
            break
        time.sleep(0.2)
    else:
        return {"peer": peer, "bytes": None, "seconds": 0}
    index, offset = int(values["binlog_index"]), int(values["binlog_offset"])
    left, seconds = behind(index, offset), 0
    if left > 0:
        with open(binlog(index), "rb") as log:
            log.seek(offset)
            first = log.readline().split(b" ")[0]
        seconds = max(0, int(time.time()) - int(first)) if first.isdigit() else 0
    return {"peer": peer, "bytes": left, "seconds": seconds}


def marks() -> list[str]:
    """The mark files. What a cluster that has gone over to storage ids had before stays, and nobody goes on with it."""
    found = sorted(glob.glob(f"{SYNC}/*.mark"))
    return [path for path in found if "_" not in os.path.basename(path)] or found


def loaded(path: str) -> dict:
    """What a service says, and how many seconds ago it did."""
    with open(path) as file:
        return {**json.load(file), "age": max(0, int(time.time() - os.fstat(file.fileno()).st_mtime))}


def ship(path: str) -> dict:
    """What the service says that ships to an archive, and how many bytes of the binlog it has not looked at yet: while it waits for a host
    that hangs it says nothing new."""
    said = loaded(path)
    _born, index, offset = said["sent"].split("-")
    return {**said, "bytes": behind(int(index), int(offset))}


def main() -> None:
    paths = sys.argv[1:]
    ships = glob.glob("/var/lib/fastdfs/backup/*/state.json")
    keeps = [
        path for path in (os.path.join(each, "state", "keep.json") for each in paths) if os.path.exists(path)
    ]
    print(
        json.dumps(
            {
                "disks": [disk(path) for path in paths],
                "marks": [mark(path) for path in marks()],
                "ships": {os.path.basename(os.path.dirname(path)): ship(path) for path in sorted(ships)},
                "keeps": [loaded(path) for path in keeps],
            }
        )
    )


main()
