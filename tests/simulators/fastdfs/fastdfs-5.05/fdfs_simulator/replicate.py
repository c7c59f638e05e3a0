"""The binlog of a storage server, and how another member of its group gets what stands in it, in that order."""

import contextlib
import logging
import struct
import threading
import time
from pathlib import Path

from .wire import STORAGE, Cmd, Status, call, connect, pad


class Binlog:
    """`data/sync/binlog.000`: a line for each operation, in upper case when this server is its source."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        (directory / "binlog.index").write_text("0")
        self.path, self.written = directory / "binlog.000", threading.Condition()
        self.path.touch()

    def append(self, timestamp: int, operation: str, name: str) -> None:
        """Write the line, and wake the readers."""
        with self.written, self.path.open("a") as file:
            file.write(f"{timestamp} {operation} {name}\n")
            self.written.notify_all()


def load_values(path: Path) -> dict[str, str]:
    """The `key=value` lines of a file; empty when there is none."""
    return dict(line.split("=", 1) for line in (path.read_text().splitlines() if path.exists() else []))


def save_values(path: Path, values: dict) -> None:
    """Replace the file by these values."""
    path.with_suffix(".tmp").write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    path.with_suffix(".tmp").replace(path)


class Replicator(threading.Thread):
    """Follows the binlog for the member with this id; `ip` and `status` are what the trackers say of it."""

    def __init__(self, storage, peer: str) -> None:
        super().__init__(daemon=True)
        self.storage, self.peer, self.ip, self.status = storage, peer, "", int(Status.INIT)
        name = f"{peer}.mark" if peer.isdigit() else f"{peer}_{storage.port}.mark"
        self.mark_file = storage.data / "sync" / name

    def run(self) -> None:
        while True:
            time.sleep(1)
            if self.status == Status.ACTIVE:
                try:
                    with connect((self.ip, self.storage.port), self.storage.bind) as sock:
                        self._follow(sock)
                except (OSError, struct.error) as error:
                    logging.error("sync to storage server %s: %s", self.ip, error)

    def _joined(self) -> int:
        """When the member joined: one that was wiped has joined again."""
        return STORAGE.unpack(self.storage.ask_trackers(Cmd.LIST_STORAGES, self.peer.encode()))[6]

    def _follow(self, sock) -> None:
        storage, alive, joined = self.storage, time.monotonic(), self._joined()
        mark = {key: int(value) for key, value in load_values(self.mark_file).items()}
        if mark.get("joined") != joined:
            mark = {"binlog_index": 0, "binlog_offset": 0, "joined": joined}
        call(sock, Cmd.REPORT_SERVER_ID, pad(storage.id))
        while self.status == Status.ACTIVE:
            mark["binlog_offset"] = self._send_from(sock, mark["binlog_offset"], joined)
            save_values(self.mark_file, mark)
            if time.monotonic() - alive > storage.heart_beat:
                call(sock, Cmd.ACTIVE_TEST)
                alive = time.monotonic()
                if self._joined() != joined:
                    return
            with storage.binlog.written:
                storage.binlog.written.wait(1)

    def _send_from(self, sock, offset: int, joined: int) -> int:
        """Send what the binlog has from `offset` on: what is ours or older than the member. Returns where it ended."""
        with self.storage.binlog.path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # the disk was full: the rest comes later
                timestamp, operation, name = line.decode().split()[:3]
                if operation.isupper() or int(timestamp) <= joined:
                    self._send(sock, int(timestamp), operation.upper(), name)
                offset += len(line)
        return offset

    def _send(self, sock, timestamp: int, operation: str, name: str) -> None:
        path, named = self.storage.store.locate(name), pad(self.storage.group) + name.encode()
        with contextlib.suppress(FileNotFoundError, FileExistsError):  # deleted since, or there already
            if operation == "D" and not path.exists():
                call(sock, Cmd.SYNC_DELETE, struct.pack(">i", timestamp) + named)
            elif operation == "C":
                content = path.read_bytes()
                head = struct.pack(">qqi", len(name), len(content), timestamp)
                call(sock, Cmd.SYNC_CREATE, head + named + content)
