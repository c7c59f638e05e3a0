# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ships what this FastDFS storage is the source of to a backup host, in the order of its binlog, and never a delete.

A batch is the files of some lines of the binlog and then a list of them, named after the position behind them. The backup host says up to which
position everything is in its archive, and that is where this goes on after any trouble: what is shipped twice is archived once.

    ship.py CONFIGURATION        JSON: group, base_path, paths, target, ssh (words), state (folder)

The binlog's lines are upstream's ``<unix time> <operation> <name>[ <more>]``; upper case means that this storage is the source.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zlib
from contextlib import suppress
from typing import NamedTuple

import wire
from exchange import NAME, Item, Notice, items, listing, replace

LINE = re.compile(rf"^(\d{{1,11}}) ([A-Za-z]) ({NAME})( .*)?$")
# Create, append, update (metadata), modify, truncate, link. Deletes are for the storages.
SHIPPED = "CAUMTL"
BATCH = 500  # lines
PAUSE = 0.5  # seconds between looks at a binlog that has nothing new
ASK_EVERY = 15  # seconds, with nothing new
AHEAD = 4  # batches that may be on their way
PATIENCE = 60  # seconds without a word of the archive's progress until a batch is shipped again
RETRY = 5  # seconds after trouble


class Trouble(Exception):
    """What keeps files from being shipped, in a sentence."""


class Position(NamedTuple):
    """Where the next line of the binlog begins: which of its files, and the offset in bytes. ``born`` tells one binlog from its successor."""

    born: str = "00000000"
    index: int = 0
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.born}-{self.index}-{self.offset}"

    @classmethod
    def read(cls, text: str) -> Position:
        born, index, offset = text.strip().split("-")
        return cls(born, int(index), int(offset))


class Entry(NamedTuple):
    """A line of the binlog that is to be shipped, and its time in Unix seconds."""

    time: int
    item: Item


def entry(line: str, position: Position, group: str) -> Entry | None:
    """What has to be shipped for ``line``, which ends at ``position``. What may change is shipped as the state that this line speaks of."""
    match = LINE.match(line)
    if not match or match[2] not in SHIPPED:
        return None
    try:
        proves = match[2] == "C" and wire.file_id(f"{group}/{match[3]}").size is not None
    except wire.WireError:
        proves = False
    return Entry(int(match[1]), Item(match[3], "" if proves else str(position)))


class Binlog:
    """The files binlog.000, binlog.001 … of a storage."""

    def __init__(self, base_path: str, group: str) -> None:
        self.folder = os.path.join(base_path, "data", "sync")
        self.group = group

    def file(self, index: int) -> str:
        return os.path.join(self.folder, f"binlog.{index:03}")

    def begin(self) -> Position:
        """Its beginning. The first line, with its time and its file's name, is that of no other binlog."""
        try:
            with open(self.file(0), "rb") as binlog:
                first = binlog.readline()
        except FileNotFoundError:
            first = b""
        return Position(f"{zlib.crc32(first):08x}") if first.endswith(b"\n") else Position()

    def read(self, position: Position, lines: int = BATCH) -> tuple[list[Entry], Position]:
        """What follows ``position`` and has to be shipped, of so many lines at most, and the position behind them."""
        found: list[Entry] = []
        if position.born == Position().born:
            # A position before there was a binlog is in none.
            return found, position
        # A file that has a successor gets no more lines; it may get its last ones until then.
        last = not os.path.exists(self.file(position.index + 1))
        try:
            with open(self.file(position.index), "rb") as binlog:
                binlog.seek(position.offset)
                for _line in range(lines):
                    raw = binlog.readline()
                    if not raw.endswith(b"\n"):
                        break
                    position = position._replace(offset=position.offset + len(raw))
                    each = entry(raw.decode("ascii", "replace").rstrip("\n"), position, self.group)
                    if each:
                        found.append(each)
                else:
                    return found, position
        except FileNotFoundError:
            return found, position
        if not raw and not last:
            position = Position(position.born, position.index + 1)
        return found, position


def metrics(archive: str, lag: int, shipped: int, trouble: str) -> str:
    """How it is, in Prometheus' text format. The archive is a label: a storage that ships to two has two such files, and one collector."""
    return "".join(
        f'# HELP {name} {meaning}\n# TYPE {name} {kind}\n{name}{{archive="{archive}"}} {value}\n'
        for name, kind, meaning, value in (
            ("fastdfs_backup_lag_seconds", "gauge", "Age of the oldest change that is not archived.", lag),
            ("fastdfs_backup_shipped_total", "counter", "Files shipped since the service started.", shipped),
            (
                "fastdfs_backup_trouble",
                "gauge",
                "1 while something keeps files from being shipped.",
                int(bool(trouble)),
            ),
        )
    )


class Shipper:
    def __init__(self, settings: dict) -> None:
        self.settings = settings
        self.binlog = Binlog(settings["base_path"], settings["group"])
        self.state = settings["state"]
        self.stage = os.path.join(self.state, "stage")
        # What is archived, what was passed, and what the lists that were shipped speak of: everything before these.
        self.done = self.sent = self.listed = Position()
        self.moved = time.monotonic()  # when the archive's position moved last
        self.asked = self.repeated = 0.0
        self.shipped = 0
        self.waiting: dict[Position, int] = {}  # by the position behind a batch, the time of its first line
        self.since: int | None = None  # the same of what has to be shipped again
        self.said = ""
        self.notice = Notice()

    def _run(self, words: list[str], text: str = "", accepted: tuple[int, ...] = (0,)) -> str:
        ran = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
        if ran.returncode not in accepted:
            last = (ran.stderr.strip() or f"status {ran.returncode}").splitlines()[-1]
            raise Trouble(f"{words[0]} to {self.settings['target']} failed: {last}")
        return ran.stdout

    def _rsync(self, root: str, to: str, names: list[str], accepted: tuple[int, ...] = (0,)) -> None:
        # No --partial, --inplace or --append: what a name shows on the other side is a whole file, since nobody can mend it there.
        ssh = " ".join(self.settings["ssh"])
        options = ["--times", "--relative", "--files-from=-", "--ignore-missing-args", "--timeout=60"]
        self._run(
            ["rsync", *options, "--rsh", ssh, root, f"{self.settings['target']}:{to}"],
            "".join(f"{name}\n" for name in names),
            accepted,
        )

    def rewind(self) -> None:
        """What the archive does not have is read and shipped again."""
        self.since = self.oldest()
        self.waiting = {}
        self.sent = self.listed = self.done

    def oldest(self) -> int | None:
        """The time of the first line that the archive does not have, as far as it is known."""
        return min(filter(None, [self.since, *self.waiting.values()]), default=None)

    def ask(self) -> None:
        """Learns how far the archive is, and ships what it asks for again."""
        answer = self._run([*self.settings["ssh"], self.settings["target"], "state"]).splitlines()
        first, self.asked = not self.asked, time.monotonic()
        try:
            done = Position.read(answer[0])
        except (IndexError, ValueError):
            raise Trouble(f"{self.settings['target']} does not say what it has: {answer[:1]}") from None
        begin = self.binlog.begin()
        if done.born != begin.born:
            # Another binlog, since the storage was set up anew. What is archived already is archived once.
            done = begin
        late = bool(self.waiting) and self.asked - self.moved > PATIENCE
        again = first or late or done < self.done or done > self.sent or done.born != self.sent.born
        if done != self.done:
            self.done, self.moved, self.since = done, self.asked, None
        if again:
            # The archive is a new one or has more than was known, or what was sent was lost before it was archived.
            self.moved = self.asked
            self.rewind()
        self.waiting = {
            position: since
            for position, since in self.waiting.items()
            if position.born == done.born and position > done
        }
        lacking = items("\n".join(answer[1:]))
        if lacking and self.asked - self.repeated > RETRY:
            self.repeated = self.asked
            self.ship(lacking[:BATCH], f"{self.sent}.again-{time.time_ns()}")

    def _store(self, top: str) -> str:
        """The directory of the store path M00, M01 …"""
        paths = self.settings["paths"]
        if int(top[1:], 16) >= len(paths):
            raise Trouble(f"the binlog speaks of {top}, and this storage has {len(paths)} store paths")
        return os.path.join(paths[int(top[1:], 16)], "data")

    def _gone(self, source: str) -> bool:
        """Whether it was deleted before it could be shipped. A disk that is away deletes nothing."""
        try:
            os.lstat(source)
        except FileNotFoundError:
            if not os.path.isdir(os.path.dirname(source)):
                raise Trouble(f"{os.path.dirname(source)} is not there") from None
            return True
        except OSError:
            # That it cannot be read is found when it is to be read.
            return False
        return False

    def ship(self, wanted: list[Item], named: str) -> None:
        """Files, and then the list of them."""
        shutil.rmtree(self.stage, ignore_errors=True)
        os.makedirs(self.stage)
        listed, versions = [], []
        by_path: dict[str, list[str]] = {}
        for item in wanted:
            top, name = item.name.split("/", 1)
            source = os.path.join(self._store(top), name)
            listed.append(item._replace(gone=self._gone(source)))
            if listed[-1].gone:
                continue
            if item.version:
                staged = os.path.join(self.stage, item.place)
                os.makedirs(os.path.dirname(staged), exist_ok=True)
                # What does not come is asked for again, and keeps nothing else from being shipped.
                with suppress(PermissionError, FileNotFoundError):
                    shutil.copy2(source, staged)
                    versions.append(item.place)
            else:
                by_path.setdefault(top, []).append(name)
        for top, names in by_path.items():
            # 23: one that could not be read.
            self._rsync(f"{self._store(top)}/", f"{top}/", names, accepted=(0, 23))
        if versions:
            self._rsync(f"{self.stage}/", "./", versions)
        replace(os.path.join(self.stage, f"{named}.list"), listing(listed, str(self.listed)))
        self._rsync(f"{self.stage}/", "./", [f"{named}.list"])
        self.shipped += len(listed)

    def step(self) -> bool:
        """Ships what is new, once it is known what the archive has. False when there was nothing, or when the archive has enough to do."""
        begin = self.binlog.begin()
        if not self.asked:
            self.ask()
        elif begin.born != self.sent.born:
            # It has begun, or another one has taken its place.
            self.done = begin
            self.rewind()
        entries, behind = self.binlog.read(self.sent) if len(self.waiting) < AHEAD else ([], self.sent)
        if entries:
            if not self.waiting:
                self.moved = time.monotonic()
            self.waiting.setdefault(behind, entries[0].time)
            # Of a file that changed several times there is one state now.
            last = {each.item.name: each.item for each in entries}
            self.ship(list(last.values()), str(behind))
            self.listed = behind
        # Lines that are not shipped are passed without a word; after a restart they are passed again.
        moved, self.sent = behind != self.sent, behind
        if self.waiting or time.monotonic() - self.asked > ASK_EVERY:
            self.ask()
        return moved

    def tell(self, trouble: str = "") -> None:
        """State and lag, for people and for a monitor."""
        oldest = self.oldest()
        lag = max(0, int(time.time()) - oldest) if oldest else 0
        state = {
            "position": str(self.done),
            "sent": str(self.sent),
            "lag_seconds": lag,
            "shipped": self.shipped,
            "trouble": trouble,
        }
        if trouble and trouble != self.said:
            print(f"{trouble}. It is tried again every {RETRY} s; nothing is lost meanwhile.", flush=True)
        if self.said and not trouble:
            print("It works again.", flush=True)
        self.said = trouble
        # On a full disk this can wait.
        with suppress(OSError):
            self.notice.tell(
                {
                    os.path.join(self.state, "state.json"): json.dumps(state) + "\n",
                    os.path.join(self.state, "fastdfs_backup.prom"): metrics(
                        os.path.basename(self.state), lag, self.shipped, trouble
                    ),
                }
            )


def main() -> None:
    with open(sys.argv[1]) as file:
        shipper = Shipper(json.load(file))
    while True:
        try:
            more = shipper.step()
            shipper.tell()
            time.sleep(0 if more else PAUSE)
        except (Trouble, OSError) as error:
            shipper.rewind()
            shipper.tell(str(error))
            time.sleep(RETRY)


if __name__ == "__main__":
    main()
