"""Writes and reads images for the bench, on a host of the lab. Prints one JSON object.

    images.py upload TRACKER --size N --clients N (--seconds S | --count N) [--ids FILE]    FastDFS uploads, each asking the tracker first
    images.py plain FOLDER --size N --clients N --seconds S                                 create, write and close; the files stay
    images.py read (http|fdfs) HOST PORT --ids FILE --clients N [--seconds S]               kept connections; without --seconds each id once
    images.py forget FOLDER --ids FILE                                                      no content of these images is in memory any more

Rates are those of all clients together, each a process of its own. It needs the collection's own client (PYTHONPATH) and Python 3.9 or newer.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import itertools
import json
import os
import socket
import statistics
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs import wire
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs.client import Client, FastdfsError

STALLED = 5.0  # seconds without an answer


def content(size: int, number: int) -> bytes:
    """Not the same twice, and not what a file system would leave out."""
    return (number.to_bytes(8, "big") + os.urandom(1024) * (size // 1024 + 1))[:size]


def uploads(given: argparse.Namespace) -> Iterator[str]:
    with Client([wire.address(given.where, 22122)], timeout=STALLED) as client:
        for number in itertools.count():
            try:
                yield str(client.upload(content(given.size, number), "jpg"))
            except FastdfsError as error:
                # As Connection tells it: the next request wakes the disk's thread up.
                print(f"stalled: {error}", file=sys.stderr)


def plain(given: argparse.Namespace) -> Iterator[str]:
    for number in itertools.count():
        path = os.path.join(given.where, f"{uuid.uuid4().hex}.jpg")
        with open(path, "xb", buffering=0) as file:
            file.write(content(given.size, number))
        yield path


class Connection:
    """A connection that is made again when the server has ended it, as nginx does after so many requests, or says nothing any more.

    The latter is FastDFS 5.05: it signals a disk's thread without the lock that this thread holds until it waits (storage_dio.c), so a request
    can lie in the queue until another one comes. It is said on stderr, and its seconds are in the rate.
    """

    def __init__(self, host: str, port: int) -> None:
        self.address = (host, port)
        self.socket = socket.create_connection(self.address, timeout=STALLED)

    def ask(self, request: bytes) -> bytes:
        """The first bytes of the answer."""
        for _ in range(2):
            try:
                self.socket.sendall(request)
                answer = self.socket.recv(65536)
                if answer:
                    return answer
            except socket.timeout:
                print(f"stalled: {self.address}", file=sys.stderr)
            except ConnectionError:
                pass
            self.socket.close()
            self.socket = socket.create_connection(self.address, timeout=STALLED)
        raise SystemExit(f"{self.address} ends every connection")

    def more(self) -> bytes:
        got = self.socket.recv(262144)
        if not got:
            raise SystemExit(f"{self.address} ended the connection in the middle of an answer")
        return got


def http(connection: Connection, file: str) -> None:
    answer = connection.ask(f"GET /{file} HTTP/1.1\r\nHost: {connection.address[0]}\r\n\r\n".encode())
    while b"\r\n\r\n" not in answer:
        answer += connection.more()
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"{file}: {head.decode()}")
    left = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) - len(body)
    while left > 0:
        left -= len(connection.more())


def fdfs(connection: Connection, file: str) -> None:
    answer = connection.ask(wire.download(wire.file_id(file)).packet())
    while len(answer) < wire.HEADER.size:
        answer += connection.more()
    length, _command, status = wire.HEADER.unpack(answer[: wire.HEADER.size])
    if status:
        raise SystemExit(f"{file}: status {status}")
    left = length - len(answer) + wire.HEADER.size
    while left > 0:
        left -= len(connection.more())


def reads(given: argparse.Namespace) -> Iterator[str]:
    ids = Path(given.ids).read_text().split()
    one = {"http": http, "fdfs": fdfs}[given.protocol]
    connection = Connection(given.host, given.port)
    for file in itertools.cycle(ids) if given.seconds else ids:
        one(connection, file)
        yield file


def forget(given: argparse.Namespace) -> None:
    os.sync()
    for file in Path(given.ids).read_text().split():
        # group1/M00/00/00/name lies in FOLDER/00/00/name
        number = os.open(os.path.join(given.where, file.split("/", 2)[2]), os.O_RDONLY)
        os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(number)


def work(work_of: Callable, given: argparse.Namespace, begin: float) -> tuple[list[str], list[float]]:
    """What one client did, and how long each piece took."""
    time.sleep(max(0.0, begin - time.time()))
    done, took = [], []
    last = time.perf_counter()
    end = last + (given.seconds or 1e9)
    with contextlib.closing(work_of(given)) as pieces:
        for piece in pieces:
            now = time.perf_counter()
            done.append(piece)
            took.append(now - last)
            last = now
            if now > end or (given.count and len(done) * given.clients >= given.count):
                break
    return done, took


def main() -> None:
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("upload", "plain", "read", "forget"):
        one = verbs.add_parser(verb)
        if verb == "read":
            one.add_argument("protocol", choices=["http", "fdfs"])
            one.add_argument("host")
            one.add_argument("port", type=int)
        else:
            one.add_argument("where")
        one.add_argument("--size", type=int, default=17000)
        one.add_argument("--clients", type=int, default=1)
        one.add_argument("--seconds", type=float, default=0)
        one.add_argument("--count", type=int, default=0)
        one.add_argument("--ids")
    given = parser.parse_args()
    if given.verb == "forget":
        forget(given)
        return
    work_of = {"upload": uploads, "plain": plain, "read": reads}[given.verb]
    begin = time.time() + 0.5
    # Unlike multiprocessing.Pool it ends when one of its processes does.
    with concurrent.futures.ProcessPoolExecutor(given.clients) as pool:
        ended = list(pool.map(work, *([each] * given.clients for each in (work_of, given, begin))))
        seconds = time.time() - begin
    took = [second for _done, times in ended for second in times]
    done = [piece for pieces, _times in ended for piece in pieces]
    if given.verb == "upload" and given.ids:
        with open(given.ids, "a") as file:
            file.writelines(f"{piece}\n" for piece in done)
    print(json.dumps({"count": len(done), "per_second": len(done) / seconds, "p50": statistics.median(took)}))


if __name__ == "__main__":
    main()
