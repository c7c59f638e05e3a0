"""Servers on loopback that answer each packet as a test says, well or badly."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

import pytest

HEADER = struct.Struct(">qBB")
CLOSE = object()  # an answer: the connection is closed
RESET = object()  # an answer: the connection is reset
HANG = object()  # an answer: nothing comes, until the server ends


def answer(body=b"", status=0, length=None, command=100):
    """The bytes of an answer; `length` is what its header says when that is not the truth."""
    return HEADER.pack(len(body) if length is None else length, command, status) + body


class Server:
    """Listens until `close`; each packet's answer is what `respond(command, body)` gives, and `seen` has all packets.

    An answer is a list of what is sent or done, in its order.
    """

    def __init__(self, respond):
        self.respond, self.seen, self.connections = respond, [], 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self._open, self._over = [], threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self):
        self._over.set()
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(10)

    def close_connections(self):
        """As a server does with connections that nobody used for long."""
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _peer = self._listener.accept()
                self.connections += 1
                self._open.append(sock)
                self._threads.append(threading.Thread(target=self._serve, args=(sock,), daemon=True))
                self._threads[-1].start()

    def _serve(self, sock):
        with contextlib.suppress(OSError), sock, sock.makefile("rb") as file:
            while True:
                head = file.read(HEADER.size)
                if len(head) < HEADER.size:
                    return
                length, command, _status = HEADER.unpack(head)
                body = file.read(length)
                self.seen.append((command, body))
                for part in self.respond(command, body):
                    if part is HANG:
                        self._over.wait(60)
                        return
                    if part is RESET:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    if part in (RESET, CLOSE):
                        file.close()
                        sock.close()
                        return
                    sock.sendall(part)


@pytest.fixture
def serve():
    """serve(respond) or serve(part…): a server whose answers are those, each time."""
    servers = []

    def start(*parts):
        respond = parts[0] if callable(parts[0]) else lambda _command, _body: parts
        servers.append(Server(respond))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def closed_address():
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()
