"""The clients' commands: arguments, output and exit codes as upstream's."""

import os
import struct
import sys
import time
from pathlib import Path

from . import NOTICE, wire
from .daemon import Config
from .wire import Cmd, Status, pad, text


def _ask_tracker(config: Config, command: Cmd, body: bytes = b"") -> bytes:
    """The answer of the first tracker that can be reached."""
    for host, port in config.trackers():
        try:
            sock = wire.connect((host, port))
        except OSError as error:
            print(f"ERROR - connect to {host}:{port} fail, {error}", file=sys.stderr)
            failure = error
            continue
        with sock:
            return wire.call(sock, command, body)
    raise failure


def _server(answer: bytes) -> tuple[str, int]:
    """The storage server that a tracker names."""
    return text(answer[16:31]), int.from_bytes(answer[31:39], "big")


def _ask_storage(config: Config, query: Cmd, command: Cmd, file_id: str, head: bytes = b"") -> bytes:
    body = pad(file_id.partition("/")[0]) + file_id.partition("/")[2].encode()
    with wire.connect(_server(_ask_tracker(config, query, body))) as sock:
        return wire.call(sock, command, head + body)


def upload(config: Config, local: str, address: str = "", path_index: str = "255") -> None:
    """Print the file id of a new file."""
    content, extension = Path(local).read_bytes(), os.path.splitext(local)[1][1:]
    host, _colon, port = address.partition(":")
    if not address:
        answer = _ask_tracker(config, Cmd.STORE)
        (host, port), path_index = _server(answer), answer[39]
    head = struct.pack(">Bq", int(path_index), len(content)) + pad(extension if len(extension) < 7 else "", 6)
    with wire.connect((host, int(port))) as sock:
        answer = wire.call(sock, Cmd.UPLOAD, head + content)
    print(f"{text(answer[:16])}/{text(answer[16:])}")


def download(config: Config, file_id: str, local: str = "", offset: str = "0", size: str = "0") -> None:
    """Write a file, or a part of it, to `local` or to its own name here."""
    part = struct.pack(">qq", int(offset), int(size))
    content = _ask_storage(config, Cmd.FETCH, Cmd.DOWNLOAD, file_id, part)
    Path(local or file_id.rsplit("/", 1)[-1]).write_bytes(content)


def delete(config: Config, file_id: str) -> None:
    _ask_storage(config, Cmd.UPDATE, Cmd.DELETE, file_id)


def info(config: Config, file_id: str) -> None:
    """Print what the file id tells."""
    file = wire.FileName.decode(file_id)
    by_id = file.source.isdigit()
    print(
        f"source storage id: {file.source if by_id else 0}\nsource ip address: {'' if by_id else file.source}"
    )
    print(f"file create timestamp: {_moment(file.timestamp)}")
    print(f"file size: {file.size}\nfile crc32: {file.crc} (0x{file.crc:08X})")


def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def monitor(config: Config, _list: str = "list", wanted: str = "") -> None:
    """Print the groups, or the one that is wanted, with their servers."""
    trackers = config.trackers()
    print("server_count={}, server_index=0\n\ntracker server is {}:{}\n".format(len(trackers), *trackers[0]))
    groups = wire.GROUP.iter_unpack(_ask_tracker(config, Cmd.LIST_GROUPS))
    groups = [group for group in groups if wanted in ("", text(group[0]))]
    print(f"group count: {len(groups)}")
    for number, (name, total, free, _trunk, count, port, _http, active, *_rest) in enumerate(groups, 1):
        print(f"\nGroup {number}:\ngroup name = {text(name)}")
        print(f"disk total space = {total} MB\ndisk free space = {free} MB\nstorage server count = {count}")
        print(f"active server count = {active}\nstorage server port = {port}\n")
        storages = wire.STORAGE.iter_unpack(_ask_tracker(config, Cmd.LIST_STORAGES, name[:16]))
        for place, storage in enumerate(storages, 1):
            _print_storage(place, *storage)


def _print_storage(place: int, status, raw_id, ip, _domain, _source, version, *numbers) -> None:
    joined, up, total, free, priority, *_counts, stat, _trunk = numbers
    print(f"\tStorage {place}:\n\t\tid = {text(raw_id)}\n\t\tip_addr = {text(ip)}  {Status(status).name}")
    values = {"version": text(version), "join time": _moment(joined), "up time": _moment(up)}
    values.update({"total storage": f"{total} MB", "free storage": f"{free} MB", "upload priority": priority})
    for name, value in zip(wire.STAT_NAMES, wire.STAT.unpack(stat)):
        values[name] = _moment(value) if name.startswith("last_") else value
    print("\n".join(f"\t\t{name} = {value}" for name, value in values.items()))


COMMANDS = {
    "fdfs_upload_file": (upload, "<local_filename> [storage_ip:port] [store_path_index]"),
    "fdfs_download_file": (download, "<file_id> [local_filename] [<download_offset> <download_bytes>]"),
    "fdfs_delete_file": (delete, "<file_id>"),
    "fdfs_file_info": (info, "<file_id>"),
    "fdfs_monitor": (monitor, "[list [group_name]]"),
}


def run(name: str, arguments: list[str]) -> int:
    """Run one command; returns its exit code, an errno value as upstream's."""
    action, usage = COMMANDS.get(name, (None, "(not simulated)"))
    if action is None or len(arguments) < (1 if action is monitor else 2):
        print(f"{NOTICE}\nUsage: {name} <config_file> {usage}")
        return 1
    try:
        action(Config(arguments[0]), *arguments[1:])
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None) or 22
        print(f"{name} fail, error no: {number}, error info: {os.strerror(number)}", file=sys.stderr)
        return number
    return 0
