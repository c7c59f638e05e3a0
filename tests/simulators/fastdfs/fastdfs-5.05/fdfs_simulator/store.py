"""What a storage server keeps on disk: files in store paths, the binlog, and small files of `key=value` lines."""

from __future__ import annotations

import itertools
import os
import re
import threading
from pathlib import Path


class Store:
    """The store paths. Names are `M00/00/00/…`, as in file ids without the group."""

    def __init__(self, paths: list[Path], subdirs: int) -> None:
        self.paths, self._temporary = [path / "data" for path in paths], itertools.count()
        names = [f"{number:02X}" for number in range(subdirs)]
        for path in self.paths:
            if not (path / names[-1] / names[-1]).exists():
                for high, low in itertools.product(names, names):
                    (path / high / low).mkdir(parents=True, exist_ok=True)

    def locate(self, name: str) -> Path:
        """The file of that name; raises `ValueError` or `IndexError` when it cannot be a name here."""
        parts = re.fullmatch(r"M([0-9A-F]{2})/([0-9A-F]{2}/[0-9A-F]{2}/[^/\0\s]+)", name)
        if not parts:
            raise ValueError(f"invalid filename {name}")
        return self.paths[int(parts.group(1), 16)] / parts.group(2)

    def write(self, name: str, content: bytes) -> None:
        """Write under a temporary name and rename: nobody ever reads half a file."""
        path = self.locate(name)
        temporary = path.parents[2] / f".cp{next(self._temporary)}.tmp"
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


class Binlog:
    """`data/sync/binlog.000`, buffered as upstream buffers it: what was not flushed is lost with the process."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        (directory / "binlog.index").write_text("0")
        self.path, self._buffer, self.flushed = directory / "binlog.000", b"", threading.Condition()
        self.path.touch()

    def append(self, timestamp: int, operation: str, name: str) -> None:
        """Note an operation: upper case when this server is its source."""
        with self.flushed:
            self._buffer += f"{timestamp} {operation} {name}\n".encode()
            full = len(self._buffer) > 16 * 1024
        if full:
            self.flush()

    def flush(self) -> None:
        """Bring the buffer to disk, and wake the readers."""
        with self.flushed, self.path.open("ab", buffering=0) as file:
            done = file.write(self._buffer)
            os.fsync(file.fileno())
            self._buffer = self._buffer[done:]
            self.flushed.notify_all()


def load_values(path: Path) -> dict[str, str]:
    """The `key=value` lines of a file; empty when there is none."""
    return dict(line.split("=", 1) for line in (path.read_text().splitlines() if path.exists() else []))


def save_values(path: Path, values: dict) -> None:
    """Replace the file by these values."""
    path.with_suffix(".tmp").write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    path.with_suffix(".tmp").replace(path)
