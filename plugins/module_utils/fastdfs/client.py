# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks FastDFS trackers and storages over TCP. Each call has one total timeout, and each failure one sentence.

A sentence names the address, what was asked, and what happened: refused, closed early, garbage, hung for so many seconds, or the status.
"""

from __future__ import annotations

import io
import socket
import time
from typing import Any, BinaryIO, Callable, Iterable, TypeVar

from . import wire
from .wire import Address, FileId, FileInfo, GroupInfo, Request, StorageInfo, Target, TrackerStatus, WireError

TIMEOUT = 10.0  # seconds
REFUSED, CLOSED, GARBAGE, HUNG, STATUS = "refused", "closed", "garbage", "hung", "status"
_CHUNK = 256 * 1024
_Answer = TypeVar("_Answer")


class FastdfsError(Exception):
    """A call that failed. ``kind`` is one of the five names above; ``status`` is the errno value of an answer that was a refusal, else 0."""

    def __init__(self, message: str, kind: str, status: int = 0) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status


class Client:
    """A client of the trackers, which are tried in order, and of the storages that they name. One thread may use it at a time.

    ``trackers`` may be empty for one that is only to ask storages. ``timeout`` in seconds holds for a whole call with everything that it
    asks for; a tracker that hangs gets its share of it, so that those after it are still asked. Names, other than addresses, are resolved
    outside of it. Connections are kept between calls until ``close``.
    """

    def __init__(self, trackers: Iterable[Address] = (), timeout: float = TIMEOUT) -> None:
        self.trackers = tuple(trackers)
        self.timeout = timeout
        self._connections: dict[Address, socket.socket] = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client can be used again."""
        while self._connections:
            self._connections.popitem()[1].close()

    # What is asked for. Every method raises FastdfsError, and WireError for what cannot be asked.

    def query_store(self, group: str | None = None) -> Target:
        """The storage, and its store path, that takes the next upload."""
        return self._ask_trackers(wire.query_store(group), wire.store_target, self._deadline())

    def query_fetch(self, file: FileId) -> Target:
        """A storage that has the file."""
        return self._ask_trackers(wire.query_fetch(file), wire.target, self._deadline())

    def query_update(self, file: FileId) -> Target:
        """The storage that takes changes of the file."""
        return self._ask_trackers(wire.query_update(file), wire.target, self._deadline())

    def list_groups(self) -> list[GroupInfo]:
        return self._ask_trackers(wire.list_groups(), wire.groups, self._deadline())

    def list_storages(self, group: str) -> list[StorageInfo]:
        return self._ask_trackers(wire.list_storages(group), wire.storages, self._deadline())

    def delete_storage(self, group: str, storage: str) -> None:
        """Tell the first tracker that answers that this storage, by its id, has left the group. Each tracker has to be told."""
        self._ask_trackers(wire.delete_storage(group, storage), wire.nothing, self._deadline())

    def tracker_status(self) -> TrackerStatus:
        """Of the first tracker that answers. A tracker that no storage ever joined answers with status 2."""
        return self._ask_trackers(wire.tracker_status(), wire.tracker, self._deadline())

    def upload(
        self,
        content: bytes | BinaryIO,
        extension: str = "",
        group: str | None = None,
        target: Target | None = None,
    ) -> FileId:
        """Upload bytes or the rest of a seekable file; returns the id of the new file once a storage has acknowledged it.

        ``target`` is the storage to upload to; without it a tracker chooses one, in ``group`` if that is given. After an error the storage
        may still have the file, under an id that nobody knows.
        """
        deadline = self._deadline()
        file = io.BytesIO(content) if isinstance(content, bytes) else content
        begin = file.tell()
        size = file.seek(0, io.SEEK_END) - begin
        file.seek(begin)
        request = wire.upload(size, extension)
        if target is None:
            target = self._ask_trackers(wire.query_store(group), wire.store_target, deadline)
        request = wire.upload(size, extension, target.path_index)
        return self._call("storage", target.address, request, wire.uploaded, deadline, file, size)

    def download(
        self, file: FileId, offset: int = 0, length: int = 0, storage: Address | None = None
    ) -> bytes:
        """``length`` bytes of the file from ``offset`` on, 0 for all the rest; from ``storage``, or from one that a tracker names.

        What comes is not compared with the file id: what a storage holds is its answer.
        """
        deadline = self._deadline()
        request = wire.download(file, offset, length)
        return self._ask_storage(storage, wire.query_fetch(file), request, bytes, deadline)

    def file_info(self, file: FileId, storage: Address | None = None) -> FileInfo:
        """What a storage tells of the file."""
        deadline = self._deadline()
        request = wire.query_file_info(file)
        return self._ask_storage(storage, wire.query_fetch(file), request, wire.file_info, deadline)

    def delete(self, file: FileId, storage: Address | None = None) -> None:
        """Delete the file from its group."""
        deadline = self._deadline()
        self._ask_storage(storage, wire.query_update(file), wire.delete(file), wire.nothing, deadline)

    # How it is asked

    def _deadline(self) -> float:
        return time.monotonic() + self.timeout

    def _ask_trackers(self, request: Request, decode: Callable[[bytes], _Answer], deadline: float) -> _Answer:
        if not self.trackers:
            raise WireError("no tracker is given")
        errors: list[FastdfsError] = []
        for index, address in enumerate(self.trackers):
            share = (deadline - time.monotonic()) / (len(self.trackers) - index)
            try:
                return self._call("tracker", address, request, decode, time.monotonic() + share)
            except FastdfsError as error:
                errors.append(error)
        # What a tracker said tells more than that another did not answer.
        told = next((error for error in errors if error.kind == STATUS), errors[0])
        raise FastdfsError("; ".join(map(str, errors)), told.kind, told.status)

    def _ask_storage(
        self,
        storage: Address | None,
        query: Request,
        request: Request,
        decode: Callable[[bytes], _Answer],
        deadline: float,
    ) -> _Answer:
        if storage is None:
            storage = self._ask_trackers(query, wire.target, deadline).address
        return self._call("storage", storage, request, decode, deadline)

    def _call(
        self,
        role: str,
        address: Address,
        request: Request,
        decode: Callable[[bytes], _Answer],
        deadline: float,
        content: BinaryIO | None = None,
        size: int = 0,
    ) -> _Answer:
        begin = time.monotonic()
        asked = f"{role} {address}, asked {request.asked}, "
        sock = None
        try:
            sock = self._connection(address, deadline)
            _send(sock, request.packet(size), content, size, deadline)
            head = wire.header(_receive(sock, wire.HEADER.size, deadline), request.limit)
            if head.status:
                raise FastdfsError(asked + f"refused: {wire.meaning(head.status)}", STATUS, head.status)
            answer = decode(_receive(sock, head.length, deadline))
        except WireError as error:
            raise FastdfsError(asked + f"answered garbage: {error}", GARBAGE) from None
        except (socket.timeout, TimeoutError):
            raise FastdfsError(asked + f"hung for {time.monotonic() - begin:.1f} s", HUNG) from None
        except (EOFError, ConnectionResetError, BrokenPipeError) as error:
            how = str(error) if isinstance(error, EOFError) else f"early: {error.strerror}"
            raise FastdfsError(asked + f"closed the connection {how}", CLOSED) from None
        except OSError as error:
            reason = error.strerror or error
            raise FastdfsError(asked + f"could not be reached: {reason}", REFUSED) from None
        else:
            self._connections[address], sock = sock, None
            return answer
        finally:
            if sock is not None:
                sock.close()

    def _connection(self, address: Address, deadline: float) -> socket.socket:
        """A kept connection that the other side has not closed meanwhile, or a new one."""
        kept = self._connections.pop(address, None)
        if kept is not None and _is_idle(kept):
            return kept
        if kept is not None:
            kept.close()
        sock = socket.create_connection(address, _left(deadline))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


def _is_idle(sock: socket.socket) -> bool:
    """Whether there is neither an end of the connection nor an unasked answer to be read."""
    sock.setblocking(False)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout
    return left


def _send(sock: socket.socket, packet: bytes, content: Any, size: int, deadline: float) -> None:
    """The packet and exactly ``size`` bytes of ``content``."""
    sock.settimeout(_left(deadline))
    sock.sendall(packet)
    while size:
        chunk = content.read(min(size, _CHUNK))
        if not chunk:
            raise ValueError(f"the content ended {size} bytes before the size that it had at first")
        size -= len(chunk)
        sock.settimeout(_left(deadline))
        sock.sendall(chunk)


def _receive(sock: socket.socket, size: int, deadline: float) -> bytes:
    """Exactly ``size`` bytes; what is not there yet takes no memory."""
    buffer = bytearray()
    while len(buffer) < size:
        sock.settimeout(_left(deadline))
        part = sock.recv(min(size - len(buffer), _CHUNK))
        if not part:
            raise EOFError(f"after {len(buffer)} of {size} bytes")
        buffer += part
    return bytes(buffer)
