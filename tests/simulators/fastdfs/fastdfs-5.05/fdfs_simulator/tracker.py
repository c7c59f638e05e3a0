"""fdfs_trackerd: who is in which group and in what state, and where a client shall go."""

import errno
import itertools
import pickle
import struct
import time
from collections import defaultdict
from pathlib import Path

from .daemon import Daemon
from .wire import BRIEF, GROUP, JOIN, STAT, STAT_NAMES, STORAGE, FileName, Join, Status, fail, pad, text


class Storage:
    """One storage server. `paths` holds (total MB, free MB) of each store path; `stat` the values of STAT_NAMES."""

    def __init__(self, group: str, own_id: str, join: Join) -> None:
        self.group, self.id, self.join = group, own_id, join
        self.status, self.paths, self.stat = Status.INIT, [], [0] * len(STAT_NAMES)

    def space(self) -> list[int]:
        """Total and free MB."""
        return [sum(column) for column in zip(*self.paths)] or [0, 0]

    def address(self) -> bytes:
        """As clients hear of it."""
        return pad(self.group) + pad(self.ip, 15) + struct.pack(">q", self.join.port)

    def record(self) -> bytes:
        """As fdfs_monitor hears of it."""
        join = self.join
        numbers = (join.priority, join.paths, join.subdirs, 0, join.port, join.http)
        head = (self.status, pad(self.id), pad(self.ip), join.domain, b"", join.version, join.joined, join.up)
        return STORAGE.pack(*head, *self.space(), *numbers, STAT.pack(*self.stat), 0)


class Tracker(Daemon):
    """The answers to each command. A connection that has joined carries its `storage`."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.turns, self.started, self.changes = defaultdict(itertools.count), int(time.time()), 1
        self.ids = self._ids() if self.config.text("use_storage_id") == "true" else None
        self.state, self.threads = self.data / "simulated_storages.pickle", [self._watch]
        self.storages = pickle.loads(self.state.read_bytes()) if self.state.exists() else {}
        for storage in self.storages.values():
            storage.status = Status.OFFLINE

    def _ids(self) -> dict[tuple[str, str], str]:
        """Ids by group and address."""
        lines = map(str.split, Path(self.config.text("storage_ids_filename")).read_text().splitlines())
        return {(line[1], line[2]): line[0] for line in lines if line and not line[0].startswith("#")}

    def _id(self, group: str, ip: str) -> str:
        if self.ids is not None and (group, ip) not in self.ids:
            raise fail(errno.ENOENT)
        return ip if self.ids is None else self.ids[group, ip]

    def _watch(self) -> None:
        interval = self.config.number("check_active_interval", 100)
        while True:
            time.sleep(interval)
            for storage in list(self.storages.values()):
                if time.time() - storage.stat[-1] > interval:
                    self.set_status(storage, Status.OFFLINE)

    def set_status(self, storage: Storage, status: int) -> None:
        """Note it; each member of the group hears of it with its next heart-beat."""
        with self.lock:
            self.changes += storage.status != status
            storage.status = status

    def _members(self, group: str, *statuses: int) -> list[Storage]:
        """The servers of a group in upstream's order; only those with one of `statuses`, if any is given."""
        members = [storage for (name, _id), storage in sorted(self.storages.items()) if name == group]
        if not members:
            raise fail(errno.ENOENT)
        return [storage for storage in members if not statuses or storage.status in statuses]

    def do_parameters(self, connection, body: bytes) -> bytes:
        return (
            b"use_storage_id=%d\nid_type_in_filename=id\nuse_trunk_file=0\nreserved_storage_space=0\n"
            % bool(self.ids)
        )

    def do_get_server_id(self, connection, body: bytes) -> bytes:
        return self._id(text(body[:16]), text(body[16:]) or connection.peer).encode()

    def do_join(self, connection, body: bytes) -> bytes:
        join = Join(*JOIN.unpack(body[: JOIN.size]))
        group, alike = text(join.group), (join.port, join.subdirs)
        key = (group, self._id(group, connection.peer))
        others = [s.join for s in self.storages.values() if s.group == group and s.id != key[1]]
        if any((o.port, o.subdirs) != alike or o.paths > join.paths for o in others):
            raise ValueError("port, subdir_count_per_path or store_path_count is not the group's")
        storage = connection.storage = self.storages.setdefault(key, Storage(*key, join))
        storage.ip, storage.join, storage.status, connection.known = connection.peer, join, Status.ONLINE, 0
        self.changes += 1
        self.state.with_suffix(".tmp").write_bytes(pickle.dumps(self.storages))
        self.state.with_suffix(".tmp").replace(self.state)
        return pad("")  # no other has to send it the old files: every source sends its own

    def _news(self, connection) -> bytes:
        """What a member is told with each answer: nothing, or everybody's state."""
        if connection.known == self.changes:
            return b"\0"
        connection.known, members = self.changes, self._members(connection.storage.group)
        return b"\4" + b"".join(BRIEF.pack(s.status, s.join.port, pad(s.id), pad(s.ip)) for s in members)

    def do_beat(self, connection, body: bytes) -> bytes:
        storage = connection.storage
        if body:
            storage.stat[:-2] = STAT.unpack(body)[:-2]
        storage.stat[-1] = int(time.time())
        self.set_status(storage, Status.ACTIVE)
        return self._news(connection)

    def do_disk_usage(self, connection, body: bytes) -> bytes:
        connection.storage.paths = list(struct.iter_unpack(">qq", body))
        return self._news(connection)

    def do_sync_report(self, connection, body: bytes) -> bytes:
        times = [when for _source, when in struct.iter_unpack(">16si", body) if when > 0]
        connection.storage.stat[-2] = min(times, default=0)
        return self._news(connection)

    do_changelog = do_replica_change = do_report_status = Daemon.do_active_test
    do_sync_src_req = do_sync_dest_req = do_sync_notify = Daemon.do_active_test

    def do_tracker_status(self, connection, body: bytes) -> bytes:
        return struct.pack(">bqq", 1, int(time.time()) - self.started, 0)  # each leads: they do not elect

    def _space(self, group: str) -> list[int]:
        """Total and free MB: those of the fullest active server, because every file lies on all of them."""
        spaces = [storage.space() for storage in self._members(group, Status.ACTIVE)]
        return min(spaces, key=lambda space: space[1], default=[0, 0])

    def do_list_groups(self, connection, body: bytes) -> bytes:
        records = []
        for group in sorted({name for name, _id in self.storages}):
            members, active = self._members(group), self._members(group, Status.ACTIVE)
            join, space = members[0].join, (*self._space(group), 0)
            counts = (len(members), join.port, join.http, len(active), 0, join.paths, join.subdirs, 0)
            records.append(GROUP.pack(pad(group), *space, *counts))
        return b"".join(records)

    def do_list_storages(self, connection, body: bytes) -> bytes:
        return b"".join(s.record() for s in self._members(text(body[:16])) if text(body[16:]) in ("", s.id))

    def _turn(self, name: str, choices: list):
        return choices[next(self.turns[name]) % len(choices)]

    def do_store(self, connection, body: bytes) -> bytes:
        """Which server, and which of its paths, takes the next upload."""
        lookup, store_server = self.config.number("store_lookup", 0), self.config.number("store_server", 0)
        wanted = text(body) or (self.config.text("store_group") if lookup == 1 else "")
        groups = [wanted] if wanted else sorted({name for name, _id in self.storages})
        groups = [group for group in groups if self._members(group, Status.ACTIVE)]
        if not groups:
            raise fail(errno.ENOENT)
        group = max(groups, key=lambda name: self._space(name)[1]) if lookup == 2 else self._turn("", groups)
        active = self._members(group, Status.ACTIVE)
        fixed = {1: active[0], 2: min(active, key=lambda storage: storage.join.priority)}
        storage = fixed.get(store_server) or self._turn(group, active)
        return storage.address() + bytes([self._turn(f"{group} {storage.id}", range(len(storage.paths)))])

    do_store_group = do_store

    def _holders(self, body: bytes) -> list[Storage]:
        """Who certainly has the file of this id, its source first; else all that are active."""
        active, name = self._members(text(body[:16]), Status.ACTIVE), FileName.decode(text(body[16:]))
        old = time.time() - name.timestamp > self.config.number("storage_sync_file_max_delay", 86400)
        holders = [s for s in active if old or s.stat[-2] > name.timestamp or s.id == name.source] or active
        if not holders:
            raise fail(errno.ENOENT)
        return sorted(holders, key=lambda storage: storage.id != name.source)

    def do_fetch(self, connection, body: bytes) -> bytes:
        return self._turn("fetch", self._holders(body)).address()

    def do_update(self, connection, body: bytes) -> bytes:
        return self._holders(body)[0].address()
