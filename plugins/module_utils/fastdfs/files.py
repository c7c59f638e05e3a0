# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single files of a cluster: upload, read, describe and delete them, with size and CRC compared. Raises what the client raises."""

from __future__ import annotations

import errno
import os
from typing import BinaryIO, Callable, NamedTuple

from . import wire
from .client import GARBAGE, STATUS, Client, FastdfsError
from .cluster import GONE
from .wire import Address, FileId, FileInfo, Target, WireError

PART = 1 << 20  # bytes; each part of a file has the client's timeout
# The options that a state understands, besides those of every state.
_OPTIONS = {
    "present": ("src", "file_id", "extension", "group"),
    "fetched": ("file_id", "dest"),
    "absent": ("file_id",),
}
STATES = tuple(_OPTIONS)


class Content(NamedTuple):
    """Size in bytes and FastDFS's CRC. The CRC is None where a file id does not tell it and the content was not read."""

    size: int
    crc32: int | None


class Stored(NamedTuple):
    """What ``storage`` tells of a file."""

    storage: Address
    info: FileInfo


def check(params: dict) -> None:
    """Raises WireError for options of the module ``fastdfs_file`` that do not go together."""
    state = params["state"]
    for name in sorted({name for names in _OPTIONS.values() for name in names}):
        if params[name] is not None and name not in _OPTIONS[state]:
            raise WireError(f"{name}: means nothing with state={state}")
    if params["file_id"] is not None:
        for name in ("extension", "group"):
            if params[name] is not None:
                raise WireError(f"{name}: is for an upload, and file_id names a file that is there already")


def extension_of(path: str) -> str:
    """What follows the last dot in the name of a file, where FastDFS can take it, else nothing."""
    extension = os.path.splitext(path)[1][1:]
    try:
        wire.upload(0, extension)
    except WireError:
        return ""
    return extension


def content_of(file: BinaryIO) -> Content:
    """Of what is left of an open file."""
    size = crc = 0
    while True:
        part = file.read(PART)
        if not part:
            return Content(size, crc)
        size += len(part)
        crc = wire.crc32(part, crc)


def upload_target(client: Client, group: str | None, extension: str) -> Target:
    """The storage that would take an upload."""
    wire.upload(0, extension)  # refused here, it has no trace on the cluster
    return _find(client, client.query_store, group, group)


def upload(client: Client, source: BinaryIO, extension: str, group: str | None) -> FileId:
    """Upload the rest of an open file; what the new id tells is compared with it."""
    begin = source.tell()
    target = upload_target(client, group, extension)
    content = content_of(source)
    source.seek(begin)
    file = client.upload(source, extension, target=target)
    if (file.size, file.crc32) != content:
        raise FastdfsError(
            f"storage {target.address} took the file as {file}, which tells {_told(file.size, file.crc32)}; "
            f"the file had {_told(*content)}. It changed meanwhile or arrived damaged: look at it, or delete this file id",
            GARBAGE,
        )
    return file


def stored(client: Client, file: FileId) -> Stored:
    """Ask a storage that a tracker names what it holds. A size that is not that of the file id is an error."""
    storage = _find(client, client.query_fetch, file, file.group).address
    info = client.file_info(file, storage)
    if info.size < 0 or (file.size is not None and info.size != file.size):
        raise FastdfsError(
            f"storage {storage} holds {info.size} bytes of {file}, whose id tells {file.size}", GARBAGE
        )
    return Stored(storage, info)


def read(
    client: Client, file: FileId, held: Stored, write: Callable[[bytes], object] = lambda _part: None
) -> Content:
    """Read all of a file from the storage that holds it, part by part. A CRC that is not that of the file id is an error."""
    size = crc = 0
    while size < held.info.size:
        part = client.download(file, size, min(PART, held.info.size - size), held.storage)
        if not part:
            raise FastdfsError(
                f"storage {held.storage} sent {size} bytes of {file}, of which it holds {held.info.size}",
                GARBAGE,
            )
        write(part)
        size += len(part)
        crc = wire.crc32(part, crc)
    if file.crc32 is not None and crc != file.crc32:
        raise FastdfsError(
            f"storage {held.storage} sent {file} damaged: {_told(size, crc)} came, the id tells {_told(size, file.crc32)}",
            GARBAGE,
        )
    return Content(size, crc)


def same(client: Client, file: FileId, local: Content, path: str) -> Stored:
    """Read a file and compare it with a local one, which ``path`` names in the error when they differ."""
    held = stored(client, file)
    # What the id tells needs no reading to be seen as different.
    told = Content(held.info.size, local.crc32 if file.crc32 is None else file.crc32)
    content = told if told != local else read(client, file, held)
    if content != local:
        raise FastdfsError(
            f"{file} is not {path}: it has {_told(*content)}, the local file {_told(*local)}", GARBAGE
        )
    return held


def delete(client: Client, file: FileId, dry: bool = False) -> bool:
    """Delete a file (or with ``dry`` look whether it is there); returns whether it was there.

    That it is not is the word of the storage that took its upload. While that one is away, the others may not have got the file yet,
    which is an error.
    """
    storage = _find(client, client.query_update, file, file.group).address
    try:
        if dry:
            client.file_info(file, storage)
        else:
            client.delete(file, storage)
        return True
    except FastdfsError as error:
        if error.status != errno.ENOENT:
            raise
    members = [each for each in client.list_storages(file.group) if each.status not in GONE]
    source = next((each for each in members if file.source in (each.id, each.address)), None)
    if source is not None and source.address != storage.host:
        raise FastdfsError(
            f"storage {storage} has no {file}, but {source.address}, which took its upload, is {source.status} and may have it",
            STATUS,
            errno.EAGAIN,
        )
    return False


def _find(client: Client, query: Callable[..., Target], subject: object, group: str | None) -> Target:
    """Ask trackers for a storage; they have one status for several reasons not to name one, which are told apart here."""
    try:
        return query(subject)
    except FastdfsError as error:
        if error.status != errno.ENOENT or group is None:
            raise
        raise FastdfsError(_reason(client, group) or str(error), STATUS, error.status) from None


def _reason(client: Client, group: str) -> str | None:
    try:
        groups = {each.name: each for each in client.list_groups()}
    except FastdfsError:
        return None
    trackers = ", ".join(map(str, client.trackers))
    if group not in groups:
        return f"group {group} is not known; trackers asked: {trackers}; groups known: {', '.join(groups) or 'none'}"
    if not groups[group].active_count:
        return (
            f"no storage of {group} is ACTIVE, of {groups[group].storage_count}; trackers asked: {trackers}"
        )
    return None


def _told(size: int | None, crc: int | None) -> str:
    return f"{size} bytes with CRC {crc}"


def id_shape(file: FileId) -> dict:
    """What a file id tells, as the module ``fastdfs_file`` returns it."""
    return {
        name: getattr(file, name)
        for name in ("group", "source", "timestamp", "size", "crc32", "appender", "slave")
    }


def stored_shape(held: Stored) -> dict:
    """What a storage tells, likewise."""
    return {"address": str(held.storage), **held.info._asdict()}
