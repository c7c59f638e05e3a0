# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes into a storage's binlog what it had acknowledged and not yet written there when it was killed.

FastDFS 5.05 keeps lines of the binlog in memory for up to ``sync_binlog_buff_interval`` seconds or 16 KiB. What is lost with them are the names
of images that are on this disk and that no replica and no backup would ever get. So before the storage starts, images that it is the source of
and that no line names get one.

    mend_binlog.py [--id=ID] BASE_PATH GROUP STORE_PATH…      nothing to do after a clean stop, of which BASE_PATH/data/stopped tells

ID is this storage's, where ids and not addresses stand in the names of files.

The binlog's lines are upstream's ``<unix time> <operation> <name>[ <more>]``; the time of a C is that in the file's name, and the file's mtime.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress

import wire

MARGIN = 60  # seconds before the last line was written, from which on files are looked at
BACK = 3600  # seconds before the oldest file looked for, from which on the binlog is read: an upload's line comes when the upload ends
BLOCK = 1 << 20  # bytes


def binlog(base_path: str, index: int) -> str:
    return os.path.join(base_path, "data", "sync", f"binlog.{index:03}")


def current(base_path: str) -> int | None:
    """The number of the binlog's file that is written to; None before the first."""
    try:
        with open(os.path.join(base_path, "data", "sync", "binlog.index")) as file:
            index = int(file.read() or 0)
    except FileNotFoundError:
        return None
    return index if os.path.exists(binlog(base_path, index)) else None


def own_address(base_path: str) -> str:
    """The address that this storage had last, which stands in the names of its files."""
    with suppress(FileNotFoundError), open(os.path.join(base_path, "data", ".data_init_flag")) as file:
        for line in file:
            key, _equals, value = line.partition("=")
            if key.strip() == "last_ip_addr":
                return value.strip()
    return ""


def recent(paths: list[str], group: str, own: str, since: float) -> Iterator[tuple[str, str]]:
    """Name and path of each file that this storage is the source of and that got its name since then.

    Where names tell ids and this storage's is not known, files of any id count: a replica gets it twice rather than never.
    """
    for index, store in enumerate(paths):
        data = os.path.join(store, "data")
        for first in sorted(os.listdir(data)) if os.path.isdir(data) else ():
            if len(first) != 2:
                continue
            for second in os.scandir(os.path.join(data, first)):
                if not second.is_dir(follow_symlinks=False) or second.stat().st_mtime < since:
                    continue
                for entry in os.scandir(second.path):
                    name = f"M{index:02X}/{first}/{second.name}/{entry.name}"
                    with suppress(wire.WireError):
                        source = wire.file_id(f"{group}/{name}").source
                        its_own = source == own or (source.isdigit() and not own.isdigit())
                        if its_own and entry.stat(follow_symlinks=False).st_ctime >= since:
                            yield name, entry.path


def backwards(path: str) -> Iterator[list[bytes]]:
    """The file's lines in blocks, the last block first."""
    with open(path, "rb") as file:
        end, rest = file.seek(0, os.SEEK_END), b""
        while end:
            begin = max(0, end - BLOCK)
            file.seek(begin)
            first, *lines = (file.read(end - begin) + rest).split(b"\n")
            if begin:
                rest = first
            else:
                lines.insert(0, first)
            yield lines
            end = begin


def unnamed(base_path: str, index: int, files: dict[str, str]) -> dict[str, str]:
    """Those of the files that no line of the binlog names."""
    left = dict(files)
    oldest = min((os.lstat(path).st_mtime for path in files.values()), default=0) - BACK
    while left and index >= 0 and os.path.exists(binlog(base_path, index)):
        for lines in backwards(binlog(base_path, index)):
            times = []
            for line in lines:
                time, operation, name = [*line.split(b" ", 3), b"", b"", b""][:3]
                left.pop(name.decode("ascii", "replace"), None)
                # What was replicated here has the time of its source.
                if operation.isupper() and time.isdigit():
                    times.append(int(time))
            if not left or (times and max(times) < oldest):
                return left
        index -= 1
    return left


def whole(group: str, name: str, path: str) -> bool:
    """Whether the file is what its name tells. An upload that was cut off has such a name, too, which nobody was told."""
    told = wire.file_id(f"{group}/{name}")
    if told.size is None:
        return True
    if os.path.getsize(path) != told.size:
        return False
    crc = 0
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(BLOCK), b""):
            crc = wire.crc32(chunk, crc)
    return crc == told.crc32


def cut(path: str) -> None:
    """The file ends with a whole line: what the storage writes next must not be glued to half of one."""
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        begin = max(0, end - BLOCK)
        file.seek(begin)
        whole_lines = begin + file.read().rfind(b"\n") + 1
        if whole_lines < end:
            file.truncate(whole_lines)


def mend(base_path: str, index: int, group: str, paths: list[str], own: str) -> tuple[int, int]:
    """How many files have a line now that had none, and how many are left alone, since they are not what their names tell."""
    log = binlog(base_path, index)
    before = os.stat(log)
    since = before.st_mtime - MARGIN
    # Until it is mended its time tells since when lines can be missing, however often this is interrupted.
    times = (before.st_atime_ns, before.st_mtime_ns)
    cut(log)
    os.utime(log, ns=times)
    found = unnamed(base_path, index, dict(recent(paths, group, own, since)))
    lines = sorted(
        (int(os.lstat(path).st_mtime), name) for name, path in found.items() if whole(group, name, path)
    )
    try:
        with open(log, "a") as file:
            file.writelines(f"{time} C {name}\n" for time, name in lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        os.utime(log, ns=times)
        raise
    return len(lines), len(found) - len(lines)


def main() -> None:
    own, arguments = "", sys.argv[1:]
    if arguments[0].startswith("--id="):
        own, *arguments = arguments[0][len("--id=") :], *arguments[1:]
    base_path, group, *paths = arguments
    stopped = os.path.join(base_path, "data", "stopped")
    if os.path.exists(stopped):
        os.unlink(stopped)
        # If the power fails now, the stop before is not taken for a clean one.
        folder = os.open(os.path.dirname(stopped), os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        return
    index = current(base_path)
    if index is None:
        return
    named, broken = mend(base_path, index, group, paths, own or own_address(base_path))
    print(f"Unclean stop: {named} files that were acknowledged are named in the binlog now.")
    if broken:
        print(f"{broken} files of uploads that were cut off are left as they are.")


if __name__ == "__main__":
    main()
