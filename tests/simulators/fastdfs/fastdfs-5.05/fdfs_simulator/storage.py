"""fdfs_storaged: takes, gives and deletes files, and tells the trackers how it is."""

import contextlib
import errno
import functools
import itertools
import logging
import os
import random
import re
import struct
import time
from pathlib import Path

from . import wire
from .daemon import Daemon
from .replicate import Binlog, Replicator, load_values, save_values
from .wire import Cmd, FileName, Status, call, connect, fail, pad, text


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


class Storage(Daemon):
    """The answers to each command, and one thread for each tracker and each other member of the group."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        config, base = self.config, str(self.data.parent)
        self.trackers, self.group = config.trackers(), config.text("group_name")
        self.subdirs = config.number("subdir_count_per_path", 256)
        if not self.group.isalnum() or not 0 < self.subdirs <= 256 or "127.0.0.1" in dict(self.trackers):
            raise ValueError("group_name, subdir_count_per_path or a tracker_server of 127.0.0.1 is invalid")
        self.id = ""  # is our own address, where trackers do not use ids
        while not self.id:  # as long as no tracker answers, a storage server does not start
            with contextlib.suppress(BlockingIOError):
                self.id = self.ask_trackers(Cmd.GET_SERVER_ID).decode()
            time.sleep(0 if self.id else 1)
        names = [f"store_path{index}" for index in range(config.number("store_path_count", 1))]
        self.store = Store([Path(config.text(name, base)) for name in names], self.subdirs)
        self.binlog, self.started = Binlog(self.data / "sync"), int(time.time())
        self.peers: dict[str, Replicator] = {}
        self.synced: dict[str, int] = {}  # by source: the time of the last operation that came from there
        self.joined = int(load_values(self.data / ".data_init_flag").get("storage_join_time", self.started))
        self.heart_beat = config.number("heart_beat_interval", 30)
        self.threads = [functools.partial(self._report, tracker) for tracker in self.trackers]

    def ask_trackers(self, command: Cmd, body: bytes = b"") -> bytes:
        """Send group and `body` to every tracker; returns the first answer. Raises `BlockingIOError` without one."""
        answers = []
        for tracker in self.trackers:
            try:
                with connect(tracker, self.bind) as sock:
                    answers.append(call(sock, command, pad(self.group) + body))
            except OSError as error:
                logging.error("tracker server %s:%d: %s", *tracker, error)
        if not answers:
            raise fail(errno.EAGAIN)
        return answers[0]

    def _report(self, tracker: tuple[str, int]) -> None:
        while True:
            time.sleep(1)
            try:
                with connect(tracker, self.bind) as sock:
                    self._join(sock)
                    while True:
                        self._beat(sock)
                        time.sleep(self.heart_beat)
            except OSError as error:
                logging.error("tracker server %s:%d: %s", *tracker, error)

    def _join(self, sock) -> None:
        counts = (self.port, self.config.number("http.server_port", 80), len(self.store.paths), self.subdirs)
        numbers = (*counts, self.config.number("upload_priority", 10), self.joined, self.started)
        status = (0, Status.ACTIVE, len(self.trackers))
        addresses = b"".join(pad(f"{host}:{port}", 22) for host, port in self.trackers)
        call(sock, Cmd.JOIN, wire.JOIN.pack(self.group.encode(), *numbers, b"5.05", b"", *status) + addresses)
        with self.lock:
            save_values(self.data / ".data_init_flag", {"storage_join_time": self.joined})

    def _beat(self, sock) -> None:
        spaces = [(s.f_frsize, s.f_blocks, s.f_bavail) for s in map(os.statvfs, self.store.paths)]
        usage = [struct.pack(">qq", size * total >> 20, size * free >> 20) for size, total, free in spaces]
        self._hear(call(sock, Cmd.DISK_USAGE, b"".join(usage)))
        self._hear(call(sock, Cmd.BEAT, wire.STAT.pack(*(self.stat[name] for name in wire.STAT_NAMES))))
        if self.synced:
            report = [pad(source) + struct.pack(">i", when) for source, when in self.synced.items()]
            self._hear(call(sock, Cmd.SYNC_REPORT, b"".join(report)))

    def _hear(self, news: bytes) -> None:
        """Take over what a tracker says of the members; each gets a thread that sends it our files."""
        skipped = bin((news or b"\0")[0] & 3).count("1")  # who is the new tracker leader, or trunk server
        told = list(wire.BRIEF.iter_unpack(news[1:]))[skipped:]
        for status, _port, raw_id, ip in told:
            peer = text(raw_id)
            with self.lock:
                if peer not in (self.id, *self.peers):
                    self.peers[peer] = Replicator(self, peer)
                    self.peers[peer].start()
                if peer != self.id:
                    self.peers[peer].ip, self.peers[peer].status = text(ip), status

    # What clients ask

    def _named(self, body: bytes) -> tuple[str, Path]:
        if text(body[:16]) != self.group:
            raise ValueError(f"group_name: {text(body[:16])} not correct, should be: {self.group}")
        return text(body[16:]), self.store.locate(text(body[16:]))

    def _log(self, operation: str, name: str) -> None:
        now = self.stat["last_source_update"] = int(time.time())
        self.binlog.append(now, operation, name)

    def do_upload(self, connection, body: bytes) -> bytes:
        (path_index, size), content = struct.unpack(">Bq", body[:9]), body[15:]
        self.stat["dist_write_file_count"] += 1  # so many files in one directory, then the next
        turn = self.stat["dist_write_file_count"] // self.config.number("file_distribute_rotate_count", 100)
        high, low = divmod(turn % self.subdirs**2, self.subdirs)
        extension = f".{text(body[9:15])}" if text(body[9:15]) else ""
        digits = "".join(random.choices("0123456789", k=7 - len(extension)))
        encoded = FileName(self.id, int(time.time()), size, wire.crc32(content)).encode()
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
        file, stat = FileName.decode(name), path.stat()
        peer = self.peers.get(file.source)
        source = peer.ip if peer else self.bind if file.source == self.id else file.source
        return struct.pack(">qqq", stat.st_size, int(stat.st_mtime), file.crc) + pad(source)

    # What other storage servers send

    def do_report_server_id(self, connection, body: bytes) -> bytes:
        connection.source = text(body)
        return b""

    def _log_synced(self, connection, timestamp: int, operation: str, name: str) -> bytes:
        self.stat["last_sync_update"], self.synced[connection.source] = int(time.time()), timestamp
        self.binlog.append(timestamp, operation, name)
        return b""

    def do_sync_create(self, connection, body: bytes) -> bytes:
        length, size, timestamp = struct.unpack(">qqi", body[:20])
        name, path = self._named(body[20 : 36 + length])
        if path.exists() and path.stat().st_size == size:
            raise fail(errno.EEXIST)
        self.store.write(name, body[36 + length :])
        return self._log_synced(connection, timestamp, "c", name)

    def do_sync_delete(self, connection, body: bytes) -> bytes:
        name, path = self._named(body[4:])
        path.unlink()
        return self._log_synced(connection, struct.unpack(">i", body[:4])[0], "d", name)
