"""The disk of a storage, as far as the roles' programs look at it."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "plugins" / "module_utils" / "fastdfs"))

import wire

SOURCE = "10.0.0.21"


class Storage:
    """Its binlog, and the files of one store path."""

    def __init__(self, root: Path) -> None:
        self.base, self.store = root / "base", root / "store"
        (self.base / "data/sync").mkdir(parents=True)
        (root / "state").mkdir()
        self.root, self.number, self.index = root, 0, 0

    def log(self, operation: str, name: str, end: str = "\n") -> None:
        with (self.base / f"data/sync/binlog.{self.index:03}").open("a") as binlog:
            binlog.write(f"1700000000 {operation} {name}{end}")

    def name(self, content: bytes, source: str = SOURCE, mark: int = 1 << 63, rest: str = "123.jpg") -> str:
        self.number += 1
        octets = bytes(int(octet) for octet in source.split("."))
        size = mark | len(content)
        stem = wire.STEM.pack(octets, 1700000000 + self.number, size, wire.crc32(content))
        return f"M00/00/{self.number % 256:02X}/{base64.urlsafe_b64encode(stem).decode().rstrip('=')}{rest}"

    def path(self, name: str) -> Path:
        return self.store / "data" / name.split("/", 1)[1]

    def put(self, name: str, content: bytes, operation: str = "C") -> str:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_bytes(content)
        self.log(operation, name)
        return name

    def upload(self, content: bytes = b"an image", operation: str = "C") -> str:
        return self.put(self.name(content), content, operation)
