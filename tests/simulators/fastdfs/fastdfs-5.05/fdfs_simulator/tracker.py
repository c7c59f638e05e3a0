"""fdfs_trackerd: who is in which group and in what state, and where a client shall go."""

from __future__ import annotations

import errno
import itertools
import pickle
import re
import struct
import time
from collections import defaultdict

from .daemon import Daemon
from .wire import BRIEF, GROUP, JOIN, STAT, STAT_NAMES, STORAGE, SYNC, FileName, Join, Status, fail, pad, text

_NEW = (Status.INIT, Status.WAIT_SYNC, Status.SYNCING)
_HAVE_FILES = (Status.OFFLINE, Status.ONLINE, Status.ACTIVE)


class Storage:
    """One storage server. `paths` holds (total MB, free MB) of each store path; `stat` the values of STAT_NAMES."""

    def __init__(self, group: str, ip: str, join: Join) -> None:
        self.group, self.ip, self.join = group, ip, join
        self.status = int(Status.INIT if join.first else join.status)
        self.source, self.until = "", 0  # who sends it the files that are older than `until`
        self.paths, self.write_path, self.stat = [], 0, [0] * len(STAT_NAMES)

    def space(self) -> list[int]:
        """Total and free MB."""
        return [sum(column) for column in zip(*self.paths)] or [0, 0]

    def address(self) -> bytes:
        """As clients hear of it."""
        return pad(self.group) + pad(self.ip, 15) + struct.pack(">q", self.join.port)

    def sync(self) -> bytes:
        """Its source, if it has one."""
        return SYNC.pack(pad(self.source), self.until) if self.source else b""

    def record(self) -> bytes:
        """As fdfs_monitor hears of it."""
        join, ip = self.join, pad(self.ip)
        numbers = (join.priority, join.path_count, join.subdirs, self.write_path, join.port, join.http_port)
        names, times = (ip, ip, join.domain, pad(self.source), join.version), (join.join_time, join.up_time)
        return STORAGE.pack(self.status, *names, *times, *self.space(), *numbers, STAT.pack(*self.stat), 0)


class Tracker(Daemon):
    """The answers to each command. A connection that has joined carries its `storage`."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.turns, self.started, self.changes = defaultdict(itertools.count), int(time.time()), 1
        reserved = self.config.text("reserved_storage_space", "1G").upper()
        self.reserved = re.fullmatch(r"([\d.]+)\s*([KMGT%]?)B?", reserved)
        if not self.reserved:
            raise ValueError("reserved_storage_space is neither a size nor a percentage")
        self.state = self.data / "simulated_storages.pickle"
        self.storages = pickle.loads(self.state.read_bytes()) if self.state.exists() else {}
        for storage in self.storages.values():
            self._offline(storage)
        self.threads = [self._watch]

    def save(self) -> None:
        """Bring everything that must not be lost to disk."""
        self.state.with_suffix(".tmp").write_bytes(pickle.dumps(self.storages))
        self.state.with_suffix(".tmp").replace(self.state)

    def closed(self, connection) -> None:
        if connection.storage:
            self._offline(connection.storage)

    def _watch(self) -> None:
        interval = self.config.number("check_active_interval", 100)
        while not self.stopping.wait(interval):
            for storage in list(self.storages.values()):
                if time.time() - storage.stat[-1] > interval:
                    self._offline(storage)

    def _offline(self, storage: Storage) -> None:
        self._set_status(storage, Status.OFFLINE if storage.status in _HAVE_FILES else storage.status)

    def _set_status(self, storage: Storage, status: int) -> None:
        with self.lock:
            self.changes += storage.status != status
            storage.status = status

    def _members(self, group: str, *statuses: int) -> list[Storage]:
        """The servers of a group in upstream's order; only those with one of `statuses`, if any is given."""
        members = [storage for (name, _ip), storage in sorted(self.storages.items()) if name == group]
        if not members:
            raise fail(errno.ENOENT)
        return [storage for storage in members if not statuses or storage.status in statuses]

    # Asked by storage servers

    def do_parameters(self, connection, body: bytes) -> bytes:
        return f"use_storage_id=0\nuse_trunk_file=0\nreserved_storage_space={self.reserved.string}\n".encode()

    def do_get_server_id(self, connection, body: bytes) -> bytes:
        return body[16:] or connection.peer.encode()

    def do_join(self, connection, body: bytes) -> bytes:
        join = Join(*JOIN.unpack(body[: JOIN.size]))
        key, alike = (text(join.group), connection.peer), (join.port, join.subdirs)
        others = [s for s in self.storages.values() if s.group == key[0] and s.ip != key[1]]
        others = [s.join for s in others if s.status != Status.DELETED]
        if any((o.port, o.subdirs) != alike or o.path_count > join.path_count for o in others):
            raise ValueError("port, subdir_count_per_path or store_path_count is not the group's")
        if not (
            key[0].isalnum() and join.port > 0 and 0 < join.path_count <= 256 and 0 < join.subdirs <= 256
        ):
            raise ValueError(f"invalid join: {join}")
        if key not in self.storages and not join.first and not Status.INIT <= join.status <= Status.ACTIVE:
            raise fail(errno.EFAULT)
        storage = connection.storage = self.storages.setdefault(key, Storage(*key, join))
        storage.join, connection.known = join, 0
        if storage.status not in _NEW:
            storage.status = Status.INIT if storage.status == Status.DELETED else Status.ONLINE
        self.changes += 1
        self.save()
        return pad(storage.source)

    def _news(self, connection) -> bytes:
        """What a member is told with each answer: nothing, or everybody's state."""
        if connection.known == self.changes:
            return b"\0"
        connection.known, members = self.changes, self._members(connection.storage.group)
        return b"\4" + b"".join(BRIEF.pack(s.status, s.join.port, pad(s.ip), pad(s.ip)) for s in members)

    def do_beat(self, connection, body: bytes) -> bytes:
        storage = connection.storage
        if body:
            storage.stat[:-2] = STAT.unpack(body)[:-2]
        storage.stat[-1] = int(time.time())
        self._set_status(storage, storage.status if storage.status in _NEW else Status.ACTIVE)
        return self._news(connection)

    def do_disk_usage(self, connection, body: bytes) -> bytes:
        connection.storage.paths = list(struct.iter_unpack(">qq", body))
        return self._news(connection)

    def do_sync_report(self, connection, body: bytes) -> bytes:
        times = [when for _source, when in struct.iter_unpack(">16si", body) if when > 0]
        connection.storage.stat[-2] = min(times, default=0)
        return self._news(connection)

    def do_report_status(self, connection, body: bytes) -> bytes:
        for status, _port, ip, _ip in BRIEF.iter_unpack(body[16:]):
            storage = self.storages[text(body[:16]), text(ip)]
            if storage.status in (Status.WAIT_SYNC, Status.SYNCING) and storage.status < status:
                self._set_status(storage, status)
        return b""

    def do_sync_dest_req(self, connection, body: bytes) -> bytes:
        """A new member asks who will send it the files that are older than it is."""
        storage = connection.storage
        others = [s for s in self._members(storage.group, *_HAVE_FILES) if s is not storage]
        sources = [s.ip for s in others if s.status == Status.ACTIVE]
        if others and not sources:
            raise fail(errno.ENOENT)
        storage.source, storage.until = (sources or [""])[0], int(time.time())
        self._set_status(storage, Status.WAIT_SYNC if others else Status.ONLINE)
        return storage.sync()

    def do_sync_notify(self, connection, body: bytes) -> bytes:
        storage, (source, until) = connection.storage, SYNC.unpack(body)
        if text(source) and not storage.source:
            storage.source, storage.until = text(source), until
        if storage.status == Status.INIT or (storage.status in _NEW and not text(source)):
            self._set_status(storage, Status.WAIT_SYNC if text(source) else Status.ONLINE)
        return b""

    def do_sync_src_req(self, connection, body: bytes) -> bytes:
        return self.storages[text(body[:16]), text(body[16:])].sync()

    do_changelog = do_replica_change = Daemon.do_active_test

    # Asked by clients

    def do_tracker_status(self, connection, body: bytes) -> bytes:
        return struct.pack(">bqq", 1, int(time.time()) - self.started, 0)  # each leads: they do not elect

    def _space(self, group: str) -> list[int]:
        """Total and free MB: those of the fullest active server, because every file lies on all of them."""
        spaces = [storage.space() for storage in self._members(group, Status.ACTIVE)]
        return min(spaces, key=lambda space: space[1], default=[0, 0])

    def do_list_groups(self, connection, body: bytes) -> bytes:
        records = []
        for group in sorted({name for name, _ip in self.storages}):
            members, active = self._members(group), self._members(group, Status.ACTIVE)
            join, counts = members[0].join, (len(members), members[0].join.port, members[0].join.http_port)
            numbers = (*self._space(group), 0, *counts, len(active), 0, join.path_count, join.subdirs, 0)
            records.append(GROUP.pack(pad(group), *numbers))
        return b"".join(records)

    def do_list_storages(self, connection, body: bytes) -> bytes:
        return b"".join(s.record() for s in self._members(text(body[:16])) if text(body[16:]) in ("", s.ip))

    def do_delete_storage(self, connection, body: bytes) -> bytes:
        found = [s for s in self._members(text(body[:16])) if s.ip == text(body[16:])]
        status = {Status.ONLINE: errno.EBUSY, Status.ACTIVE: errno.EBUSY, Status.DELETED: errno.EALREADY}
        if not found or found[0].status in status:
            raise fail(status[found[0].status] if found else errno.ENOENT)
        self._set_status(found[0], Status.DELETED)
        return b""

    def _has_space(self, total: int, free: int) -> bool:
        number, unit = float(self.reserved.group(1)), self.reserved.group(2)
        if unit == "%":
            return free > number * total / 100
        return free > number * 1024 ** (" KMGT".index(unit or " ") - 2)

    def _turn(self, name: str, choices: list):
        """Each of the choices in turn."""
        return choices[next(self.turns[name]) % len(choices)]

    def do_store(self, connection, body: bytes) -> bytes:
        """Which server, and which of its paths, takes the next upload."""
        lookup, store_server = self.config.number("store_lookup", 0), self.config.number("store_server", 0)
        wanted = text(body) or (self.config.text("store_group") if lookup == 1 else "")
        groups = [wanted] if wanted else sorted({name for name, _ip in self.storages})
        groups = [group for group in groups if self._members(group, Status.ACTIVE)]
        if not groups:
            raise fail(errno.ENOENT)
        group = max(groups, key=lambda name: self._space(name)[1]) if lookup == 2 else self._turn("", groups)
        active = self._members(group, Status.ACTIVE)
        by_priority = sorted(active, key=lambda storage: storage.join.priority)
        storage = {1: active, 2: by_priority}.get(store_server, [self._turn(group, active)])[0]
        paths = [index for index, space in enumerate(storage.paths) if self._has_space(*space)]
        if not paths:
            raise fail(errno.ENOSPC)
        storage.write_path = self._turn(f"{group} {storage.ip}", paths)
        return storage.address() + bytes([storage.write_path])

    do_store_group = do_store

    def _holders(self, body: bytes) -> list[Storage]:
        """Who certainly has the file of this id, its source first; else all that are active."""
        active, name = self._members(text(body[:16]), Status.ACTIVE), FileName.decode(text(body[16:]))
        old = time.time() - name.timestamp > self.config.number("storage_sync_file_max_delay", 86400)
        holders = [s for s in active if old or s.stat[-2] > name.timestamp or s.ip == name.source] or active
        if not holders:
            raise fail(errno.ENOENT)
        return sorted(holders, key=lambda storage: storage.ip != name.source)

    def do_fetch(self, connection, body: bytes) -> bytes:
        holders = self._holders(body)
        return self._turn(
            "fetch", holders[: 1 if self.config.number("download_server", 0) else None]
        ).address()

    def do_update(self, connection, body: bytes) -> bytes:
        return self._holders(body)[0].address()

    def do_fetch_all(self, connection, body: bytes) -> bytes:
        first, *others = self._holders(body)
        return first.address() + b"".join(pad(storage.ip, 15) for storage in others)
