# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves what storages have shipped from their inboxes into the archive, and never the other way.

An inbox is a stranger's: its owner may put anything there at any time. So names are read from a list and have to be those of FastDFS, files are
opened without following links and copied rather than moved (whoever still has them open cannot reach the copy), and a file counts when size and
CRC are those that its name tells. What cannot be proved is kept in every state that came.

    keep.py CONFIGURATION        JSON: root (folder), storages (inbox: {group, sources})

Below root: inbox/STORAGE, archive/GROUP/M00/…, versions/GROUP/M00/…/STATE, rejected/STORAGE, and state/STORAGE, which the storage may read: the
position up to which everything is archived, and the names that it shall ship again.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

import wire
from exchange import POSITION, Item, Notice, follows, items, replace

LISTED = re.compile(rf"^(?P<position>{POSITION})(?P<again>\.again-\d{{1,20}})?\.list\Z")
NOTHING = "00000000-0-0"
PAUSE = 0.3  # seconds between looks
RETRY = 5  # seconds after trouble
CHUNK = 1 << 20
MAX_LIST = 1 << 20  # bytes


class Wrong(Exception):
    """What is wrong with a file, in words."""


class Proof:
    """Reads a file once, and knows afterwards whether it is what its name tells."""

    def __init__(self, group: str, sources: list[str], name: str) -> None:
        try:
            self.told = wire.file_id(f"{group}/{name}")
        except wire.WireError as error:
            raise Wrong(str(error)) from None
        if sources and self.told.source not in sources:
            raise Wrong(f"its name says that {self.told.source} is its source")
        if self.told.size is None:
            raise Wrong("it may change, so it has to come as a version")
        self.size = self.crc = 0

    def update(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self.crc = wire.crc32(chunk, self.crc)

    def check(self) -> None:
        if self.size != self.told.size:
            raise Wrong(f"it has {self.size} bytes and not {self.told.size}")
        if self.crc != self.told.crc32:
            raise Wrong("its CRC is not that of its name")


@contextmanager
def folder_of(box: int, path: str) -> Iterator[tuple[int, str]]:
    """The directory in which ``path`` lies below the directory ``box``, reached without following any link, and its last name."""
    *parents, name = path.split("/")
    at = os.dup(box)
    try:
        for parent in parents:
            below = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        yield at, name
    finally:
        os.close(at)


def open_below(box: int, path: str) -> BinaryIO:
    """The regular file at ``path`` below the directory ``box``, for reading. Raises Wrong, and FileNotFoundError."""
    try:
        with folder_of(box, path) as (folder, name):
            # A pipe must not make anybody wait.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Wrong(error.strerror) from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise Wrong("it is no file")
    return os.fdopen(file, "rb")


def flush(path: str) -> None:
    """What is in this file, or what was made and renamed in this folder, is on its disk."""
    at = os.open(path, os.O_RDONLY)
    try:
        os.fsync(at)
    finally:
        os.close(at)


class Inbox:
    """What one storage ships."""

    def __init__(self, root: str, storage: str, group: str, sources: list[str]) -> None:
        self.root, self.storage, self.group, self.sources = root, storage, group, sources
        self.path = os.path.join(root, "inbox", storage)
        self.state = os.path.join(root, "state", storage)
        self.position, self.again = self._saved()
        self.archived = self.rejected = 0
        self.trouble, self.later = "", 0.0  # what is in the way, and when it is tried again

    def _saved(self) -> tuple[str, list[str]]:
        try:
            with open(self.state) as file:
                first, *names = file.read().splitlines() or [NOTHING]
                return first, names
        except FileNotFoundError:
            return NOTHING, []

    def lists(self) -> list[str]:
        """The lists that have come: those of the binlog that is being archived before its successor's, and the oldest position first."""
        found = [name for name in os.listdir(self.path) if LISTED.match(name)]
        born = self.position.split("-")[0]
        return sorted(
            found,
            key=lambda name: (not name.startswith(born), list(map(int, re.findall(r"(?<=-)\d+", name)))),
        )

    def turn(self, now: float) -> bool:
        """A step, unless there was trouble a moment ago: whoever has trouble, or makes it, is in nobody else's way."""
        if now < self.later:
            return False
        try:
            worked, self.trouble = self.step(), ""
        except OSError as error:
            worked, self.trouble, self.later = False, f"{self.storage}: {error}", now + RETRY
        return worked

    def step(self) -> bool:
        """Archives what the oldest list names. False when there is none."""
        found = self.lists()
        if found:
            self._list(found[0])
        return bool(found)

    def _list(self, name: str) -> None:
        box = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            try:
                with open_below(box, name) as file:
                    text = file.read(MAX_LIST).decode("ascii", "replace")
                listed, match = items(text), LISTED.match(name)
                self._in_turn(follows(text), again=bool(match["again"]))
            except Wrong as error:
                self._reject(box, name, str(error))
                return
            again = dict.fromkeys(self.again)
            new = {}
            for item in listed:
                wanted = str(item._replace(gone=False))
                again.pop(wanted, None)
                if not item.gone and not self._copy(box, item, new):
                    again[wanted] = None
            self._keep(new)
            self.again = list(again)
            if not match["again"]:
                self.position = match["position"]
            replace(self.state, "".join(f"{line}\n" for line in [self.position, *self.again]))
            # The storage may forget what stands there.
            flush(self.state)
            flush(os.path.dirname(self.state))
            # Not before: after a power cut the same list is gone through again.
            for item in listed:
                with suppress(OSError), folder_of(box, item.place) as (folder, file_name):
                    os.unlink(file_name, dir_fd=folder)
                if item.version:
                    self._tidy(box, item.place)
            os.unlink(name, dir_fd=box)
        finally:
            os.close(box)

    def _tidy(self, box: int, place: str) -> None:
        """The directories that came with one state, as far as they are empty."""
        while place.count("/") > 1:
            place = os.path.dirname(place)
            with suppress(OSError), folder_of(box, place) as (folder, name):
                os.rmdir(name, dir_fd=folder)

    def _in_turn(self, begin: str | None, again: bool) -> None:
        """Raises Wrong for a list that would step over another one. After a power cut one can have come and not be on the disk."""
        if begin is None:
            raise Wrong("its end is missing. It is shipped again")
        if again:
            return
        born, *there = begin.split("-")
        own, *here = self.position.split("-")
        if [int(part) for part in there] > ([int(part) for part in here] if born == own else [0, 0]):
            raise Wrong(
                f"what comes before it is missing, from {self.position} to {begin}. It is shipped again"
            )

    def _copy(self, box: int, item: Item, new: dict[str, str]) -> bool:
        """Whether it is in the archive, or a copy beside its place there, noted in ``new`` by where it belongs.

        Trouble with this host's own disk is raised, so that nothing is given up for it.
        """
        kept = os.path.join(
            self.root, "versions" if item.version else "archive", self.group, item.name, item.version
        ).rstrip("/")
        if kept in new or os.path.exists(kept):
            return True
        beside = os.path.join(os.path.dirname(kept), f".{os.path.basename(kept)}.new")
        try:
            with open_below(box, item.place) as came:
                os.makedirs(os.path.dirname(kept), mode=0o755, exist_ok=True)
                self._prove(came, beside, item)
        except FileNotFoundError:
            return False
        except Wrong as error:
            with suppress(FileNotFoundError):
                os.unlink(beside)
            self._reject(box, item.place, f"{error}. It is asked for again")
            return False
        new[kept] = beside
        return True

    def _prove(self, came: BinaryIO, beside: str, item: Item) -> None:
        proof = None if item.version else Proof(self.group, self.sources, item.name)
        with open(beside, "wb") as copy:
            for chunk in iter(lambda: came.read(CHUNK), b""):
                if proof:
                    proof.update(chunk)
                copy.write(chunk)
            if proof:
                proof.check()
            copy.flush()
            times = os.fstat(came.fileno())
            os.utime(copy.fileno(), ns=(times.st_atime_ns, times.st_mtime_ns))
            os.fchmod(copy.fileno(), 0o444)

    def _keep(self, new: dict[str, str]) -> None:
        """The copies are on disk, whole, and then under their names. All at once, since the first flush of many takes the others along."""
        for beside in new.values():
            flush(beside)
        for kept, beside in new.items():
            os.rename(beside, kept)
        for folder in {os.path.dirname(kept) for kept in new}:
            flush(folder)
        self.archived += len(new)

    def _reject(self, box: int, place: str, why: str) -> None:
        # One of a name: what stays damaged at its source comes again and again.
        aside = os.path.join(self.root, "rejected", self.storage, os.path.basename(place))
        os.makedirs(os.path.dirname(aside), mode=0o700, exist_ok=True)
        with folder_of(box, place) as (folder, name):
            os.rename(name, aside, src_dir_fd=folder)
        self.rejected += 1
        print(f"{place} of {self.storage} is set aside ({aside}): {why}.", flush=True)


def main() -> None:
    with open(sys.argv[1]) as file:
        settings = json.load(file)
    inboxes = [
        Inbox(settings["root"], storage, each["group"], each["sources"])
        for storage, each in settings["storages"].items()
    ]
    trouble, notice = "", Notice()
    while True:
        worked = [inbox.turn(time.monotonic()) for inbox in inboxes]
        said = "; ".join(inbox.trouble for inbox in inboxes if inbox.trouble)
        if said and said != trouble:
            print(f"{said}. It is tried again every {RETRY} s; the inboxes keep what has come.", flush=True)
        if trouble and not said:
            print("It works again.", flush=True)
        trouble = said
        # On a full disk this can wait.
        with suppress(OSError):
            notice.tell(
                {
                    os.path.join(settings["root"], "state", "keep.json"): json.dumps(state(inboxes, said))
                    + "\n"
                }
            )
        time.sleep(0 if any(worked) else PAUSE)


def state(inboxes: list[Inbox], trouble: str) -> dict:
    """For people and for a monitor."""
    return {
        "trouble": trouble,
        "storages": {
            each.storage: {
                "position": each.position,
                "asked_again": len(each.again),
                "archived": each.archived,
                "rejected": each.rejected,
            }
            for each in inboxes
        },
    }


if __name__ == "__main__":
    main()
