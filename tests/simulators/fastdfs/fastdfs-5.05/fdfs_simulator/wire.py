"""What FastDFS 5.05 says on the wire and in file ids: layouts, numbers, and one call over one socket.

Integers are big-endian, strings are padded with NUL. Errors travel as Linux errno values and come out as `OSError`.
"""

import base64
import enum
import os
import random
import socket
import struct
from collections import namedtuple

HEADER = struct.Struct(">qBB")  # body length, command, status
BRIEF = struct.Struct(">bi16s16s")  # status, port, storage id, address
GROUP = struct.Struct(">17s11q")
STORAGE = struct.Struct(">b16s16s128s16s6s10q348sb")
STAT = struct.Struct(">3i42q")  # the values of STAT_NAMES
JOIN = struct.Struct(">17s7q6s128s2bq")  # the values of Join, then 22 bytes for each tracker
Join = namedtuple(
    "Join", "group port http paths subdirs priority joined up version domain first status count"
)

_KINDS = "upload append modify truncate set_meta delete download get_meta create_link delete_link"
_COUNTED = [f"{kind}_count" for kind in _KINDS.split()]
_COUNTED += [f"{kind}_bytes" for kind in ("upload", "append", "modify", "download", "sync_in", "sync_out")]
_COUNTED += [f"file_{kind}_count" for kind in ("open", "read", "write")]
STAT_NAMES = [f"connection.{kind}_count" for kind in ("alloc", "current", "max")]
STAT_NAMES += [f"{result}_{name}" for name in _COUNTED for result in ("total", "success")]
STAT_NAMES += ["last_source_update", "last_sync_update", "last_synced_timestamp", "last_heart_beat_time"]


class Cmd(enum.IntEnum):
    """Command bytes. NAME is answered by the method `do_name` of a daemon."""

    REPORT_SERVER_ID, UPLOAD, DELETE, DOWNLOAD, FILE_INFO, RESPONSE = 9, 11, 12, 14, 22, 100
    SYNC_CREATE, SYNC_DELETE, TRACKER_STATUS, GET_SERVER_ID, PARAMETERS = 16, 17, 64, 70, 75
    REPORT_STATUS, CHANGELOG, JOIN, QUIT, BEAT, DISK_USAGE, REPLICA_CHANGE = 76, 77, 81, 82, 83, 84, 85
    SYNC_SRC_REQ, SYNC_DEST_REQ, SYNC_NOTIFY, SYNC_REPORT, LIST_GROUPS, LIST_STORAGES = 86, 87, 88, 89, 91, 92
    ACTIVE_TEST, STORE, FETCH, UPDATE, STORE_GROUP = 111, *range(101, 105)


class Status(enum.IntEnum):
    """States of a storage server, as a tracker reports them."""

    INIT, WAIT_SYNC, SYNCING, IP_CHANGED, DELETED, OFFLINE, ONLINE, ACTIVE = range(8)
    RECOVERY, NONE = 9, 99


def fail(number: int) -> OSError:
    """The exception that becomes this status in the answer."""
    return OSError(number, os.strerror(number))


def text(raw: bytes) -> str:
    """The string in a padded field: cut at the first NUL."""
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def pad(value: str, size: int = 16) -> bytes:
    """`value` as a field of `size` bytes."""
    return value.encode()[:size].ljust(size, b"\0")


def _receive_exactly(sock: socket.socket, size: int) -> bytes:
    buffer = bytearray()
    while len(buffer) < size:
        part = sock.recv(min(size - len(buffer), 1 << 20))
        if not part:
            raise ConnectionResetError(104, "closed by the other side")
        buffer += part
    return bytes(buffer)


def receive(sock: socket.socket) -> tuple[int, int, bytes]:
    """One packet: command, status, body."""
    size, command, status = HEADER.unpack(_receive_exactly(sock, HEADER.size))
    return command, status, _receive_exactly(sock, size)


def call(sock: socket.socket, command: int, body: bytes = b"") -> bytes:
    """Ask and return the body of the answer; raises `OSError` with the answer's status."""
    sock.sendall(HEADER.pack(len(body), command, 0) + body)
    _command, status, answer = receive(sock)
    if status:
        raise fail(status)
    return answer


def connect(address: tuple[str, int], bind: str = "") -> socket.socket:
    """A TCP connection that leaves from the address `bind`, when given."""
    return socket.create_connection(address, 10, (bind, 0) if bind else None)


def _crc_entry(value: int) -> int:
    for _bit in range(8):
        value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
    return value - ((value & 0x80000000) << 1)


_CRC_TABLE = [_crc_entry(value) for value in range(256)]


def crc32(data: bytes) -> int:
    """FastDFS's CRC: upstream shifts a *signed* integer, so it differs from zlib's."""
    value = -1
    for byte in data:
        value = _CRC_TABLE[(value ^ byte) & 255] ^ (value >> 8)
    return ~value & 0xFFFFFFFF


class FileName(namedtuple("FileName", "source timestamp size crc")):
    """What the 27 base64 characters of a file id carry. `source` is an address, or an id as digits."""

    def encode(self) -> str:
        """The 27 characters. Below 4 GiB the upper half of the size is random: equal files get unequal names."""
        size = self.size if self.size >> 32 else (0x80000000 | random.getrandbits(23)) << 32 | self.size
        by_id = self.source.isdigit()
        source = int(self.source).to_bytes(4, "little") if by_id else socket.inet_aton(self.source)
        raw = source + struct.pack(">IQI", self.timestamp, size, self.crc)
        return base64.b64encode(raw, b"-_").decode().rstrip("=")

    @classmethod
    def decode(cls, name: str) -> "FileName":
        """From `M00/00/00/…` (with or without the group); raises `ValueError` when it is no file id."""
        raw = base64.b64decode(name.rsplit("/", 1)[-1][:27] + "=", b"-_", validate=True)
        if len(raw) != 20:
            raise ValueError(f"not a file id: {name}")
        timestamp, size, crc = struct.unpack(">IQI", raw[4:])
        number = int.from_bytes(raw[:4], "little")
        source = str(number) if 0 < number < 1 << 24 else socket.inet_ntoa(raw[:4])
        return cls(source, timestamp, size & 0xFFFFFFFF if size >> 63 else size, crc)
