"""fdfs_storaged: takes, gives and deletes files, and tells the trackers how it is."""

from __future__ import annotations

import errno
import logging
import os
import random
import struct
import time
from collections import Counter
from pathlib import Path

from . import daemon, wire
from .replicate import Replicator
from .store import Binlog, Store, load_values, save_values
from .wire import Cmd, Status, fail, pad, text


class Storage(daemon.Daemon):
    """The answers to each command, and one thread for each tracker and each other member of the group."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        number, self.trackers, self.group = (
            self.config.number,
            self.config.trackers(),
            self.config.text("group_name"),
        )
        self.subdirs, self.heart_beat = (
            number("subdir_count_per_path", 256),
            number("heart_beat_interval", 30),
        )
        if not self.group.isalnum() or not 0 < self.subdirs <= 256 or "127.0.0.1" in dict(self.trackers):
            raise ValueError("group_name, subdir_count_per_path or a tracker_server of 127.0.0.1 is invalid")
        self.id = self._ask_trackers()
        paths = [
            self.config.text(f"store_path{n}", str(self.data.parent))
            for n in range(number("store_path_count", 1))
        ]
        self.store, self.binlog = (
            Store([Path(path) for path in paths], self.subdirs),
            Binlog(self.data / "sync"),
        )
        self.started, self.status = int(time.time()), int(Status.INIT)
        self.peers: dict[str, Replicator] = {}
        self.synced: dict[str, int] = {}  # by source: the time of the last operation that came from there
        self.state = {"storage_join_time": self.started, "sync_old_done": 0, "sync_src_server": ""}
        self.state.update({"sync_until_timestamp": 0, **load_values(self.data / ".data_init_flag")})
        self.stat = Counter({k: int(v) for k, v in load_values(self.data / "storage_stat.dat").items()})
        self.threads = [
            self._flush,
            *(lambda tracker=tracker: self._report(tracker) for tracker in self.trackers),
        ]

    def _ask_trackers(self) -> str:
        """Our own address, which is our id, from the first tracker that answers: without one, none of us ever starts."""
        while True:
            for tracker in self.trackers:
                try:
                    with wire.connect(tracker, self.bind) as sock:
                        return wire.call(sock, Cmd.GET_SERVER_ID, pad(self.group)).decode()
                except OSError as error:
                    logging.error("tracker server %s:%d: %s", *tracker, error)
            time.sleep(1)

    def save(self) -> None:
        """Bring everything that must not be lost to disk."""
        self.binlog.flush()
        save_values(self.data / ".data_init_flag", self.state)
        save_values(self.data / "storage_stat.dat", self.stat)

    def _flush(self) -> None:
        while not self.stopping.wait(self.config.number("sync_binlog_buff_interval", 60) or 60):
            self.save()

    # What the trackers hear

    def _report(self, tracker: tuple[str, int]) -> None:
        while not self.stopping.is_set():
            pause = self.heart_beat
            try:
                with wire.connect(tracker, self.bind) as sock:
                    self._join(sock)
                    pause = 1
                    self._beat(sock)
            except OSError as error:
                logging.error("tracker server %s:%d: %s", *tracker, error)
            self.stopping.wait(pause)

    def _join(self, sock) -> None:
        ports = (self.port, self.config.number("http.server_port", 80))
        times = (int(self.state["storage_join_time"]), self.started)
        priority = int(self.config.text("upload_priority", "10"))
        status = (1 - int(self.state["sync_old_done"]), self.status, len(self.trackers))
        numbers = (*ports, len(self.store.paths), self.subdirs, priority, *times)
        addresses = b"".join(pad(f"{host}:{port}", 22) for host, port in self.trackers)
        join = wire.JOIN.pack(self.group.encode(), *numbers, b"5.05", b"", *status)
        wire.call(sock, Cmd.JOIN, join + addresses)
        with self.lock:
            if not int(self.state["sync_old_done"]):
                source, until = wire.SYNC.unpack(wire.call(sock, Cmd.SYNC_DEST_REQ) or bytes(24))
                self.state.update(sync_old_done=1, sync_src_server=text(source), sync_until_timestamp=until)
                self.save()
        until = int(self.state["sync_until_timestamp"])
        wire.call(sock, Cmd.SYNC_NOTIFY, wire.SYNC.pack(pad(self.state["sync_src_server"]), until))

    def _beat(self, sock) -> None:
        beat = usage = 0.0
        while not self.stopping.wait(1):
            now = time.monotonic()
            if now - beat >= self.heart_beat:
                stat = wire.STAT.pack(*(self.stat[name] for name in wire.STAT_NAMES))
                self._hear(wire.call(sock, Cmd.BEAT, stat))
                if self.synced:
                    report = [pad(source) + struct.pack(">i", when) for source, when in self.synced.items()]
                    self._hear(wire.call(sock, Cmd.SYNC_REPORT, b"".join(report)))
                beat = now
            if now - usage >= self.config.number("stat_report_interval", 300):
                spaces = [(s.f_blocks, s.f_bavail, s.f_frsize) for s in map(os.statvfs, self.store.paths)]
                report = [
                    struct.pack(">qq", all_ * size >> 20, free * size >> 20) for all_, free, size in spaces
                ]
                self._hear(wire.call(sock, Cmd.DISK_USAGE, b"".join(report)))
                usage = now

    def _hear(self, news: bytes) -> None:
        """Take over what a tracker says of the members; each gets a thread that sends it our files."""
        skipped = bin((news or b"\0")[0] & 3).count("1")  # who is the new tracker leader, or trunk server
        for status, _port, raw_id, ip in list(wire.BRIEF.iter_unpack(news[1:]))[skipped:]:
            if text(raw_id) == self.id:
                self.status = status
                continue
            with self.lock:
                peer = self.peers.get(text(raw_id))
                if peer is None or not peer.is_alive():
                    peer = self.peers[text(raw_id)] = Replicator(self, text(raw_id), (text(ip), self.port))
                    peer.start()
                peer.status = status

    # What clients ask

    def answer(self, connection, command, body: bytes) -> bytes:
        self.stat[f"total_{command.name.lower()}_count"] += 1
        answer = super().answer(connection, command, body)
        self.stat[f"success_{command.name.lower()}_count"] += 1
        return answer

    def _named(self, body: bytes) -> tuple[str, Path]:
        if text(body[:16]) != self.group:
            raise ValueError(f"group_name: {text(body[:16])} not correct, should be: {self.group}")
        return text(body[16:]), self.store.locate(text(body[16:]))

    def _log(self, operation: str, name: str) -> None:
        now = self.stat["last_source_update"] = int(time.time())
        self.binlog.append(now, operation, name)

    def do_upload(self, connection, body: bytes) -> bytes:
        (path_index, size), content = struct.unpack(">Bq", body[:9]), body[15:]
        if size != len(content):
            raise ValueError(f"file size {size}, but {len(content)} bytes came")
        with self.lock:  # so many files in one directory, then the next
            self.stat["dist_write_file_count"] += 1
        turn = self.stat["dist_write_file_count"] // self.config.number("file_distribute_rotate_count", 100)
        high, low = divmod(turn % self.subdirs**2, self.subdirs)
        extension = f".{text(body[9:15])}" if text(body[9:15]) else ""
        digits = "".join(random.choices("0123456789", k=7 - len(extension)))
        encoded = wire.FileName(self.id, int(time.time()), size, wire.crc32(content)).encode()
        name = f"M{path_index % 0xFF:02X}/{high:02X}/{low:02X}/{encoded}{digits}{extension}"
        self.store.write(name, content)
        self._log("C", name)
        return pad(self.group) + name.encode()

    def do_delete(self, connection, body: bytes) -> bytes:
        name, path = self._named(body)
        path.unlink()
        self._log("D", name)
        return b""

    def do_download(self, connection, body: bytes) -> bytes:
        (offset, size), content = struct.unpack(">qq", body[:16]), self._named(body[16:])[1].read_bytes()
        if offset < 0 or not 0 <= size <= len(content) - offset:
            raise ValueError(f"offset {offset}, bytes {size} of {len(content)}")
        return content[offset : offset + (size or len(content))]

    def do_file_info(self, connection, body: bytes) -> bytes:
        name, path = self._named(body)
        file, stat = wire.FileName.decode(name), path.stat()
        return struct.pack(">qqq", stat.st_size, int(stat.st_mtime), file.crc) + pad(file.source)

    # What other storage servers send

    def do_report_server_id(self, connection, body: bytes) -> bytes:
        connection.source = text(body)
        return b""

    def _log_synced(self, connection, timestamp: int, operation: str, name: str) -> bytes:
        self.stat["last_sync_update"], self.synced[connection.source] = int(time.time()), timestamp
        self.binlog.append(timestamp, operation, name)
        return b""

    def do_sync_create(self, connection, body: bytes, operation: str = "c") -> bytes:
        length, size, timestamp = struct.unpack(">qqi", body[:20])
        name, path = self._named(body[20 : 36 + length])
        if operation == "c" and path.exists() and path.stat().st_size == size:
            raise fail(errno.EEXIST)
        self.store.write(name, body[36 + length :])
        return self._log_synced(connection, timestamp, operation, name)

    def do_sync_update(self, connection, body: bytes) -> bytes:
        return self.do_sync_create(connection, body, "u")

    def do_sync_delete(self, connection, body: bytes) -> bytes:
        name, path = self._named(body[4:])
        path.unlink()
        return self._log_synced(connection, struct.unpack(">i", body[:4])[0], "d", name)
