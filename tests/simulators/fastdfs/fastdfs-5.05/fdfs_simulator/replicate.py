"""How a storage server sends one other member of its group what it is the source of, in the order of the binlog."""

from __future__ import annotations

import logging
import struct
import threading
import time

from .store import load_values, save_values
from .wire import BRIEF, SYNC, Cmd, Status, call, connect, pad, text


class Replicator(threading.Thread):
    """Follows the binlog for the member at `ip`; `status` is what the trackers say of it."""

    def __init__(self, storage, ip: str) -> None:
        super().__init__(daemon=True)
        self.storage, self.ip, self.status = storage, ip, int(Status.INIT)
        self.mark_file = storage.data / "sync" / f"{ip}_{storage.port}.mark"

    def run(self) -> None:
        while self.status != Status.DELETED and not self.storage.stopping.wait(1):
            if self.status in (Status.ACTIVE, Status.WAIT_SYNC, Status.SYNCING):
                try:
                    with connect((self.ip, self.storage.port), self.storage.bind) as sock:
                        self._follow(sock)
                except OSError as error:
                    logging.error("sync to storage server %s: %s", self.ip, error)
        if self.status == Status.DELETED:
            self.mark_file.unlink(missing_ok=True)

    def _report(self, status: int) -> None:
        self.status = status
        self.storage.ask_trackers(Cmd.REPORT_STATUS, BRIEF.pack(status, 0, pad(self.ip), pad(self.ip)))

    def _load_mark(self) -> dict[str, int]:
        """Where to go on: a member that is new, or was wiped, starts at the beginning."""
        mark = {key: int(value) for key, value in load_values(self.mark_file).items()}
        if mark and self.status == Status.ACTIVE:
            return mark
        source, until = SYNC.unpack(self.storage.ask_trackers(Cmd.SYNC_SRC_REQ, pad(self.ip)) or bytes(24))
        need_old = int(text(source) == self.storage.id)
        if not mark or self.status == Status.WAIT_SYNC or need_old > mark["need_sync_old"]:
            mark = {"binlog_index": 0, "binlog_offset": 0, "need_sync_old": need_old, "sync_old_done": 0}
            mark.update(until_timestamp=until, scan_row_count=0, sync_row_count=0)
        return mark

    def _follow(self, sock) -> None:
        storage, alive = self.storage, time.monotonic()
        self.mark = mark = self._load_mark()
        if self.status != Status.ACTIVE and not mark["need_sync_old"]:
            return
        call(sock, Cmd.REPORT_SERVER_ID, pad(storage.id))
        if self.status == Status.WAIT_SYNC:
            self._report(Status.SYNCING)
        while self.status in (Status.ACTIVE, Status.SYNCING) and not storage.stopping.is_set():
            self._send_new(sock)
            mark["sync_old_done"] = mark["need_sync_old"]
            save_values(self.mark_file, mark)
            if self.status == Status.SYNCING:
                self._report(Status.OFFLINE)  # its next heart-beat makes it ACTIVE
            if time.monotonic() - alive > storage.heart_beat:
                call(sock, Cmd.ACTIVE_TEST)
                alive = time.monotonic()
            with storage.binlog.flushed:
                storage.binlog.flushed.wait(1)

    def _send_new(self, sock) -> None:
        with self.storage.binlog.path.open("rb") as file:
            file.seek(self.mark["binlog_offset"])
            for line in file:
                if not line.endswith(b"\n"):
                    break  # the disk was full: the rest comes later
                self._send(sock, *line.decode().split()[:3])
                self.mark["binlog_offset"] += len(line)
                self.mark["scan_row_count"] += 1

    def _send(self, sock, timestamp: str, operation: str, name: str) -> None:
        mark, when, ours = self.mark, int(timestamp), operation.isupper()
        old = when < mark["until_timestamp"]
        if ours and old and not mark["need_sync_old"]:
            return  # somebody else sends it with the old files
        if not ours and not (old and mark["need_sync_old"] and not mark["sync_old_done"]):
            return  # its source sends it
        path, named = self.storage.store.locate(name), pad(self.storage.group) + name.encode()
        try:
            if operation in "Dd" and not path.exists():
                call(sock, Cmd.SYNC_DELETE, struct.pack(">i", when) + named)
            elif operation in "CcUu":
                content = path.read_bytes()
                command = Cmd.SYNC_CREATE if operation in "Cc" else Cmd.SYNC_UPDATE
                call(sock, command, struct.pack(">qqi", len(name), len(content), when) + named + content)
            mark["sync_row_count"] += 1
        except (FileNotFoundError, FileExistsError):
            pass  # deleted since, or there already
