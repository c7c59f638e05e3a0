# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings images back from an archive into the store of this storage, under the names that they had, and names them in its binlog.

    restore.py plan|do CONFIGURATION KEY all|names:FILE|since:TIME

CONFIGURATION is that of ship.py for this archive, KEY an ssh key that may read the archive. FILE has names, TIME is Unix time: what was deleted
since then, by this storage's binlog, and in the seconds before (CLOCK).

``plan`` prints as JSON what ``do`` would bring: files, for each store path the bytes needed and free, and what is wanted and neither there nor
here (``lacking``). What is here already stays as it is. ``do`` prints how many files came that the storage has not been started with.
Interrupted, it goes on where it was: names are noted until their lines stand in the binlog, and then in GROUP.named until whoever has started
the storage again removes that.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

NAME = re.compile(r"M[0-9A-F]{2}/[0-9A-F]{2}/[0-9A-F]{2}/[A-Za-z0-9_-][A-Za-z0-9_.-]{33,127}\Z")
DELETED = re.compile(r"(\d+) [Dd] (\S+)")
NOTED = "/var/lib/fastdfs/restore"
CLOCK = 5  # seconds by which a line's time may be before what it tells of: storaged's clock is set once a second, later on a busy host


class Restore:
    def __init__(self, settings: dict) -> None:
        self.settings = settings
        self.paths = settings["paths"]
        self.sync = os.path.join(settings["base_path"], "data", "sync")
        self.names = self._names()
        self.tops: dict[str, set[str]] = {}  # what the archive has of this group's store paths, by kind

    def _names(self) -> list[str] | None:
        """What is wanted; None: all there is."""
        if self.settings.get("names"):
            with open(self.settings["names"]) as file:
                return [line for line in file.read().splitlines() if NAME.match(line)]
        if self.settings.get("since") is not None:
            return sorted(set(self._deleted(int(self.settings["since"]))))
        return None

    def _deleted(self, since: int) -> Iterator[str]:
        for name in sorted(os.listdir(self.sync)):
            if re.match(r"binlog\.\d+\Z", name):
                with open(os.path.join(self.sync, name)) as file:
                    for match in filter(None, map(DELETED.match, file)):
                        if int(match[1]) >= since - CLOCK and NAME.match(match[2]):
                            yield match[2]

    def place(self, name: str) -> str:
        return os.path.join(self.paths[int(name[1:3], 16)], "data", name[4:])

    def stage(self, index: int) -> str:
        """Where states of files that may change come first."""
        return os.path.join(self.paths[index], "restore")

    def _listed(self, folder: str) -> set[str]:
        return {
            line.split()[-1] for line in self._run(["--list-only", f"{self.settings['target']}:{folder}/"])
        }

    def _there(self, kind: str, index: int) -> bool:
        """Whether the archive has anything of one store path."""
        if kind not in self.tops:
            group = self.settings["group"]
            self.tops[kind] = self._listed(f"{kind}/{group}") if group in self._listed(kind) else set()
        return f"M{index:02X}" in self.tops[kind]

    def _rsync(self, index: int, kind: str, *options: str) -> Iterator[str]:
        """The lines that rsync prints while it brings one store path's files of the archive, or of the states beside it."""
        top = f"M{index:02X}"
        wanted = [name[4:] for name in self.names or () if name.startswith(f"{top}/")]
        if (self.names is not None and not wanted) or not self._there(kind, index):
            return
        if kind == "versions":
            wanted += [f"{name}-m" for name in wanted]
        words = ["-rtO", "--ignore-existing", "--ignore-missing-args", "--no-human-readable", *options]
        # What begins with a dot is not whole yet.
        words += ["--chmod=F644", "--exclude=.*"]
        if self.names is not None:
            words.append("--files-from=-")
        to = f"{self.paths[index]}/data/" if kind == "archive" else f"{self.stage(index)}/"
        yield from self._run(
            [*words, f"{self.settings['target']}:{kind}/{self.settings['group']}/{top}/", to], wanted
        )

    def _run(self, words: list[str], names: list[str] = ()) -> Iterator[str]:
        """What rsync prints. Between files, not pipes: neither side may wait for the other."""
        rsync = ["rsync", "--timeout=60", "--rsh", " ".join(self.settings["ssh"]), *words]
        with tempfile.TemporaryFile("w+") as listed, tempfile.TemporaryFile("w+") as errors:
            listed.writelines(f"{name}\n" for name in names)
            listed.seek(0)
            locale = {**os.environ, "LC_ALL": "C"}
            with subprocess.Popen(
                rsync, stdin=listed, stdout=subprocess.PIPE, stderr=errors, text=True, env=locale
            ) as process:
                yield from (line.rstrip("\n") for line in process.stdout)
            errors.seek(0)
            if process.returncode:
                said = errors.read().strip() or process.returncode
                sys.exit(f"rsync from {self.settings['target']} failed: {said}")

    def plan(self) -> dict:
        files = 0
        # Store paths of one file system share its space.
        needs: dict[int, dict] = {}
        # What tells of a store path that this storage has not is nowhere, either.
        lacking = {
            name
            for name in self.names or ()
            if int(name[1:3], 16) >= len(self.paths) or not os.path.exists(self.place(name))
        }
        listed = [] if self.names is None else ["--out-format=%n"]
        for index, path in enumerate(self.paths):
            size = 0
            for kind in ("archive", "versions"):
                for line in self._rsync(index, kind, "--dry-run", "--stats", *listed):
                    # A state of a file that may change lies in a directory of that file's name.
                    lacking.discard(f"M{index:02X}/{line if kind == 'archive' else os.path.dirname(line)}")
                    key, _colon, value = line.partition(": ")
                    if key == "Number of regular files transferred" and kind == "archive":
                        files += int(value)
                    elif key == "Total transferred file size":
                        size += int(value.split()[0])
            disk = os.statvfs(path)
            need = needs.setdefault(
                os.stat(path).st_dev, {"paths": [], "bytes": 0, "free": disk.f_bavail * disk.f_frsize}
            )
            need["paths"].append(path)
            need["bytes"] += size
        return {"files": files, "needs": list(needs.values()), "lacking": sorted(lacking)}

    def do(self) -> dict:
        noted = os.path.join(NOTED, self.settings["group"])
        with open(noted, "a") as notes:
            for index in range(len(self.paths)):
                for line in self._rsync(index, "archive", "--out-format=%n"):
                    name = f"M{index:02X}/{line}"
                    if NAME.match(name):
                        notes.write(f"{name}\n")
                        notes.flush()
                for name in self._latest(index):
                    notes.write(f"{name}\n")
        with open(noted) as notes:
            names = [
                name for name in dict.fromkeys(notes.read().splitlines()) if os.path.exists(self.place(name))
            ]
        self._log(names)
        with open(f"{noted}.named", "a+") as named:
            named.writelines(f"{name}\n" for name in names)
            named.flush()
            os.fsync(named.fileno())
            os.unlink(noted)
            named.seek(0)
            return {"restored": len(set(named.read().splitlines()))}

    def _latest(self, index: int) -> Iterator[str]:
        """The last state of each file that may change."""
        stage = self.stage(index)
        for _line in self._rsync(index, "versions"):
            pass
        for folder, _folders, states in os.walk(stage):
            name = f"M{index:02X}/{os.path.relpath(folder, stage)}"
            if states and NAME.match(name) and not os.path.exists(self.place(name)):
                last = max((os.path.join(folder, state) for state in states), key=os.path.getmtime)
                os.rename(last, self.place(name))
                yield name
        shutil.rmtree(stage, ignore_errors=True)

    def _log(self, names: list[str]) -> None:
        """Lines by which the storage sends these files to its replicas, once it has been started again."""
        with open(os.path.join(self.sync, "binlog.index")) as file:
            index = int(file.read() or 0)
        lines = "".join(f"{int(os.path.getmtime(self.place(name)))} C {name}\n" for name in names)
        binlog = os.open(os.path.join(self.sync, f"binlog.{index:03}"), os.O_WRONLY | os.O_APPEND)
        # In one write: the storage writes there, too. A part of it is none: it would be glued to what comes next.
        begin, text = os.fstat(binlog).st_size, lines.encode()
        written = os.write(binlog, text)
        if written != len(text):
            if os.fstat(binlog).st_size == begin + written:
                os.ftruncate(binlog, begin)
            sys.exit(
                f"{self.sync} has no space for {len(text)} bytes of the binlog. The images are there; make space and run this again."
            )
        os.fsync(binlog)
        os.close(binlog)


def main() -> None:
    action, configuration, key, wanted = sys.argv[1:]
    with open(configuration) as file:
        settings = json.load(file)
    ssh = [word for word in settings["ssh"] if not word.startswith("-oControl")]
    ssh[ssh.index("-i") + 1] = key
    how, _colon, value = wanted.partition(":")
    work = Restore({**settings, "ssh": ssh, how: value})
    print(json.dumps(work.plan() if action == "plan" else work.do()))


if __name__ == "__main__":
    main()
