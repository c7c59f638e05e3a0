# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""FastDFS 5.05 on the wire and in file ids: what is asked becomes bytes, and what is answered becomes values. No input or output here.

The formats are those of upstream's ``tracker_proto.h``, ``tracker_types.h`` and ``storage_service.c``. Integers are big-endian and signed,
strings are padded with NUL. Errors travel as Linux errno values in the status byte of an answer.
"""

from __future__ import annotations

import base64
import errno
import os
import re
import socket
import struct
from typing import NamedTuple

TRACKER_PORT = 22122
STORAGE_PORT = 23000
ANY_PATH = 0xFF  # the storage chooses the store path
MAX_STORAGE_ID = 2**24 - 1
# What one answer may hold: upstream's limits of groups and of storages in a group, and more than any image.
MAX_GROUPS = 512
MAX_STORAGES = 32
MAX_NAME = 128
MAX_CONTENT = 1 << 32

HEADER = struct.Struct(">qBB")  # body length, command, status
GROUP = struct.Struct(">17s11q")
STORAGE = struct.Struct(">b16s16s128s16s6s10q348sb")
STAT = struct.Struct(">3i42q")
TARGET = struct.Struct(">16s15sq")  # group, address, port
STORE_TARGET = struct.Struct(">16s15sqB")  # the same and the index of the store path
FILE_INFO = struct.Struct(">qqq16s")
TRACKER_STATUS = struct.Struct(">bqq")
STEM = struct.Struct(">4sIQI")  # the 20 bytes in a file's name

ANSWER = 100
QUERY_STORE, QUERY_FETCH, QUERY_UPDATE, QUERY_STORE_OF_GROUP = 101, 102, 103, 104
GET_TRACKER_STATUS, LIST_GROUPS, LIST_STORAGES, DELETE_STORAGE = 64, 91, 92, 93
UPLOAD, DELETE, DOWNLOAD, QUERY_FILE_INFO = 11, 12, 14, 22

STATUS_NAMES = {
    0: "INIT",
    1: "WAIT_SYNC",
    2: "SYNCING",
    3: "IP_CHANGED",
    4: "DELETED",
    5: "OFFLINE",
    6: "ONLINE",
    7: "ACTIVE",
    9: "RECOVERY",
    99: "NONE",
}
# What upstream means by the errno values that it answers.
_MEANINGS = {
    errno.ENOENT: "it knows no such file or group, or no storage of it is ACTIVE",
    errno.EAGAIN: "it is not ready yet",
    errno.EBUSY: "that is in use",
    errno.EEXIST: "that is there already",
    errno.EINVAL: "it takes the request for invalid",
    errno.ENOSPC: "no storage has space left above the reserved space",
}

# The numbers of a storage's statistics in their order on the wire, by the names that fdfs_monitor prints.
_COUNTED = ("upload", "append", "modify", "truncate", "set_meta", "delete", "download", "get_meta")
_COUNTED_ALL = (
    *(f"{kind}_count" for kind in (*_COUNTED, "create_link", "delete_link")),
    *(f"{kind}_bytes" for kind in ("upload", "append", "modify", "download", "sync_in", "sync_out")),
    *(f"file_{kind}_count" for kind in ("open", "read", "write")),
)
COUNTERS = (
    *(f"connection_{kind}_count" for kind in ("alloc", "current", "max")),
    *(f"{result}_{name}" for name in _COUNTED_ALL for result in ("total", "success")),
)
TIMES = ("last_source_update", "last_sync_update", "last_synced_timestamp", "last_heart_beat")

STORAGE_ID = re.compile(r"^([0-9]{1,8}|[0-9]{1,3}(\.[0-9]{1,3}){3})\Z")
_GROUP_NAME = re.compile(r"^[A-Za-z0-9]{1,16}\Z")
# Labels of 1 to 63 characters: what is none of these, Python's resolver answers with other errors than OSError.
_HOST = re.compile(r"^[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\Z")
_EXTENSION = re.compile(r"^[A-Za-z0-9_-]{0,6}\Z")
_FILE_ID = re.compile(
    r"^(?P<group>[A-Za-z0-9]{1,16})/(?P<name>M(?P<path>[0-9A-F]{2})/[0-9A-F]{2}/[0-9A-F]{2}/"
    r"(?P<stem>[A-Za-z0-9_-]{27})(?P<rest>[A-Za-z0-9_.-]{7,91}))\Z"
)
_LONG_FILE = 7  # characters that follow the stem in the name of a file that is neither slave nor in a trunk
_TRUNK_PLACE = 16  # characters that say where in a trunk a file lies
_APPENDER_MARK = 1 << 58
_TRUNK_MARK = 1 << 59
_RANDOM_MARK = 1 << 63


class WireError(ValueError):
    """Bytes or names that are not what the format says. The text is a part of a sentence that says what is wrong."""


class Address(NamedTuple):
    """Where a tracker or storage listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return "{}:{}".format(*self)


class Request(NamedTuple):
    """What is sent: command and body, and in words. ``limit`` is the largest body in bytes that an answer may have."""

    command: int
    body: bytes
    asked: str
    limit: int

    def packet(self, content: int = 0) -> bytes:
        """Header and body; ``content`` is how many bytes of content will follow."""
        return HEADER.pack(len(self.body) + content, self.command, 0) + self.body


class Header(NamedTuple):
    """Of an answer: how many bytes follow, and an errno value, 0 for success."""

    length: int
    status: int


class Target(NamedTuple):
    """The storage that a tracker names."""

    group: str
    address: Address
    path_index: int = ANY_PATH


class FileId(NamedTuple):
    """What the name of a file tells.

    ``source`` is the address of the storage that took the upload, or the storage's id as digits. ``timestamp`` is the time of the upload
    in Unix seconds, of its master for a slave file. ``size`` in bytes and ``crc32`` are None for appender and slave files, whose names do not
    tell them.
    """

    group: str
    name: str  # with the store path: M00/00/00/…
    path_index: int
    source: str
    timestamp: int
    size: int | None
    crc32: int | None
    appender: bool
    slave: bool
    trunk: bool

    def __str__(self) -> str:
        return f"{self.group}/{self.name}"


class FileInfo(NamedTuple):
    """What a storage tells of a file: bytes, Unix time, CRC, address of the storage that took the upload."""

    size: int
    timestamp: int
    crc32: int
    source: str


class GroupInfo(NamedTuple):
    """What a tracker tells of a group. Space is in MB, that of the storage with the least."""

    name: str
    total_mb: int
    free_mb: int
    trunk_free_mb: int
    storage_count: int
    storage_port: int
    http_port: int
    active_count: int
    current_write_server: int
    store_path_count: int
    subdir_count_per_path: int
    current_trunk_file_id: int


class StorageInfo(NamedTuple):
    """What a tracker tells of a storage. Space is in MB, times are Unix seconds (0: never), ``counters`` has the names of COUNTERS."""

    status: str
    id: str
    address: str
    domain_name: str
    source_id: str  # of the storage that sent it the files that are older than it
    version: str
    join_time: int
    up_time: int
    total_mb: int
    free_mb: int
    upload_priority: int
    store_path_count: int
    subdir_count_per_path: int
    current_write_path: int
    port: int
    http_port: int
    counters: dict[str, int]
    last_source_update: int
    last_sync_update: int
    last_synced_timestamp: int
    last_heart_beat: int
    trunk_server: bool


class TrackerStatus(NamedTuple):
    """What a tracker tells of itself; times are in seconds."""

    leader: bool
    running_time: int
    restart_interval: int


def meaning(status: int) -> str:
    """The status of an answer in words, with its number."""
    return f"{_MEANINGS.get(status) or os.strerror(status)} (status {status})"


def address(text: str, port: int) -> Address:
    """``host`` or ``host:port``; ``port`` stands for one that is not named. Raises WireError."""
    host, colon, number = text.partition(":")
    if colon and not (number.isascii() and number.isdigit()):
        raise WireError(f"{text!r} is no address: write host or host:port, IPv4 only")
    if not _HOST.match(host) or not 0 < int(number or port) < 65536:
        raise WireError(f"{text!r} is no address: write host or host:port with a port from 1 to 65535")
    return Address(host, int(number or port))


def file_id(text: str) -> FileId:
    """Read ``group1/M00/00/00/…``. Raises WireError when it is no file id."""
    match = _FILE_ID.match(text)
    if not match:
        raise WireError(
            f"{text!r} is no file id: those look like group1/M00/00/00/ and a name of 34 characters or more"
        )
    source, timestamp, marked, crc = STEM.unpack(base64.b64decode(match["stem"] + "=", b"-_"))
    trunk, appender = bool(marked & _TRUNK_MARK), bool(marked & _APPENDER_MARK)
    slave = len(match["rest"]) > _LONG_FILE + (_TRUNK_PLACE if trunk else 0)
    # Below 4 GiB upstream fills the upper half with random bits, so that equal files get unequal names.
    size = marked & 0xFFFFFFFF if marked & _RANDOM_MARK or trunk else marked
    untold = slave or appender
    return FileId(
        group=match["group"],
        name=match["name"],
        path_index=int(match["path"], 16),
        source=_source(source),
        timestamp=timestamp,
        size=None if untold else size,
        crc32=None if untold else crc,
        appender=appender,
        slave=slave,
        trunk=trunk,
    )


def crc32(content: bytes, value: int = 0) -> int:
    """FastDFS's CRC of ``content``, going on from the CRC ``value`` of what came before. It shifts a signed integer and so is not zlib's."""
    value = ~value & 0xFFFFFFFF
    value -= (value & 0x80000000) << 1
    table = _CRC_TABLE
    for byte in content:
        value = table[(value ^ byte) & 255] ^ (value >> 8)
    return ~value & 0xFFFFFFFF


# Requests


def query_store(group: str | None = None) -> Request:
    """Which storage takes the next upload, of any group or of the named one."""
    asked = "for a storage to upload to"
    if group is None:
        return Request(QUERY_STORE, b"", asked, STORE_TARGET.size)
    return Request(QUERY_STORE_OF_GROUP, _group(group), f"{asked} in {group}", STORE_TARGET.size)


def query_fetch(file: FileId) -> Request:
    """Which storage has the file."""
    return Request(QUERY_FETCH, _named(file), f"which storage has {file}", TARGET.size)


def query_update(file: FileId) -> Request:
    """Which storage takes changes of the file."""
    return Request(QUERY_UPDATE, _named(file), f"which storage may change {file}", TARGET.size)


def list_groups() -> Request:
    return Request(LIST_GROUPS, b"", "for its groups", MAX_GROUPS * GROUP.size)


def list_storages(group: str) -> Request:
    return Request(LIST_STORAGES, _group(group), f"for the storages of {group}", MAX_STORAGES * STORAGE.size)


def delete_storage(group: str, storage: str) -> Request:
    """That the storage with this id, its address where ids are not used, has left the group. Upstream takes no padding here."""
    if not STORAGE_ID.match(storage):
        raise WireError(f"{storage!r} is neither an IPv4 address nor an id; trackers know no other names")
    return Request(
        DELETE_STORAGE, _group(group) + storage.encode(), f"to forget storage {storage} of {group}", 0
    )


def tracker_status() -> Request:
    return Request(GET_TRACKER_STATUS, b"", "whether it leads", TRACKER_STATUS.size)


def upload(size: int, extension: str = "", path_index: int = ANY_PATH) -> Request:
    """A new file of ``size`` bytes; its content follows the packet. ``extension`` has no dot and up to six characters."""
    if not _EXTENSION.match(extension):
        raise WireError(
            f"{extension!r} is no extension for FastDFS: write up to six letters or digits, no dot"
        )
    body = struct.pack(">Bq", path_index, size) + extension.encode().ljust(6, b"\0")
    return Request(UPLOAD, body, f"to take a file of {size} bytes", 16 + MAX_NAME)


def download(file: FileId, offset: int = 0, length: int = 0) -> Request:
    """``length`` bytes of the file from ``offset`` on; 0 means to its end."""
    if offset < 0 or length < 0:
        raise WireError(f"offset {offset} and length {length} must not be negative")
    body = struct.pack(">qq", offset, length) + _named(file)
    return Request(DOWNLOAD, body, f"for {file}", length or MAX_CONTENT)


def query_file_info(file: FileId) -> Request:
    return Request(QUERY_FILE_INFO, _named(file), f"what it knows of {file}", FILE_INFO.size)


def delete(file: FileId) -> Request:
    return Request(DELETE, _named(file), f"to delete {file}", 0)


# Answers; each function raises WireError


def header(raw: bytes, limit: int) -> Header:
    """The first ten bytes of an answer whose body may have up to ``limit`` bytes. With a status the body does not matter."""
    length, command, status = HEADER.unpack(raw)
    if command != ANSWER:
        raise WireError(f"command {command} instead of {ANSWER}")
    if length < 0 or (length > limit and not status):
        raise WireError(f"a length of {length} bytes where at most {limit} can be")
    return Header(length, status)


def target(body: bytes) -> Target:
    """Of ``query_fetch`` and ``query_update``."""
    group, host, port = _unpack(TARGET, body)
    return Target(_text(group), _address(host, port))


def store_target(body: bytes) -> Target:
    """Of ``query_store``."""
    group, host, port, path_index = _unpack(STORE_TARGET, body)
    return Target(_text(group), _address(host, port), path_index)


def uploaded(body: bytes) -> FileId:
    return file_id(f"{_text(body[:16])}/{_text(body[16:])}")


def file_info(body: bytes) -> FileInfo:
    size, timestamp, crc, source = _unpack(FILE_INFO, body)
    # The CRC comes as a signed integer that was made longer.
    return FileInfo(size, timestamp, crc & 0xFFFFFFFF, _text(source))


def groups(body: bytes) -> list[GroupInfo]:
    return [GroupInfo(_text(name), *numbers) for name, *numbers in _records(GROUP, body)]


def storages(body: bytes) -> list[StorageInfo]:
    return [_storage(*record) for record in _records(STORAGE, body)]


def tracker(body: bytes) -> TrackerStatus:
    leader, *times = _unpack(TRACKER_STATUS, body)
    return TrackerStatus(bool(leader), *times)


def nothing(body: bytes) -> None:
    """Of a request that is answered by its status alone."""
    if body:
        raise WireError(f"{len(body)} bytes where none can be")


def _storage(status, own_id, host, domain, source, version, *rest) -> StorageInfo:
    *numbers, stat, trunk_server = rest
    values = STAT.unpack(stat)
    return StorageInfo(
        STATUS_NAMES.get(status, f"unknown ({status})"),
        *map(_text, (own_id, host, domain, source, version)),
        *numbers,
        dict(zip(COUNTERS, values)),
        *values[len(COUNTERS) :],
        bool(trunk_server),
    )


def _unpack(layout: struct.Struct, body: bytes) -> tuple:
    if len(body) != layout.size:
        raise WireError(f"{len(body)} bytes instead of {layout.size}")
    return layout.unpack(body)


def _records(layout: struct.Struct, body: bytes) -> list[tuple]:
    if len(body) % layout.size:
        raise WireError(f"{len(body)} bytes, which is no multiple of {layout.size}")
    return list(layout.iter_unpack(body))


def _text(raw: bytes) -> str:
    """A padded string: what stands before the first NUL."""
    try:
        return raw.split(b"\0", 1)[0].decode("ascii")
    except UnicodeDecodeError:
        raise WireError("a string that is not ASCII") from None


def _address(raw: bytes, port: int) -> Address:
    """Where a storage listens. Trackers know storages by IPv4 addresses only, so nothing else is connected to."""
    host = _text(raw)
    try:
        socket.inet_pton(socket.AF_INET, host)
    except OSError:
        raise WireError(f"{host!r} for the address of a storage") from None
    if not 0 < port < 65536:
        raise WireError(f"{port} for the port of a storage")
    return Address(host, port)


def _group(name: str) -> bytes:
    if not _GROUP_NAME.match(name):
        raise WireError(f"{name!r} is no name of a group: write 1 to 16 letters or digits")
    return name.encode().ljust(16, b"\0")


def _named(file: FileId) -> bytes:
    return _group(file.group) + file.name.encode()


def _source(raw: bytes) -> str:
    """Upstream puts a storage's id where the address would stand, in the order of bytes of the machine."""
    number = int.from_bytes(raw, "little")
    return str(number) if 0 < number <= MAX_STORAGE_ID else socket.inet_ntoa(raw)


def _crc_entry(value: int) -> int:
    for _bit in range(8):
        value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
    return value - ((value & 0x80000000) << 1)


_CRC_TABLE = [_crc_entry(value) for value in range(256)]
