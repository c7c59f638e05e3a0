"""What both daemons share: configuration, log, command line, pid file, and the TCP server."""

import contextlib
import errno
import logging
import os
import re
import socket
import socketserver
import struct
import sys
import threading
from collections import Counter
from pathlib import Path

from . import NOTICE, wire


class Config:
    """A configuration file in upstream's format. A number that is none counts as not set, as with its atoi."""

    def __init__(self, path: str) -> None:
        self.items = {}
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            key, equals, value = line.partition("=")
            if equals and not key.lstrip().startswith("#"):
                self.items.setdefault(key.strip(), []).append(value.strip())

    def text(self, key: str, default: str = "") -> str:
        return self.items.get(key, [""])[-1] or default

    def number(self, key: str, default: int) -> int:
        return int(re.match(r"\d*", self.text(key)).group() or default)

    def trackers(self) -> list[tuple[str, int]]:
        """Every tracker_server; raises `ValueError` when there is none, or one without a port."""
        values = self.items.get("tracker_server", ["tracker_server is missing"])
        pairs = [value.rpartition(":")[::2] for value in values]
        return [(socket.gethostbyname(host), int(port)) for host, port in pairs]


class Connection(socketserver.BaseRequestHandler):
    """One connection, and what a daemon has learnt of the other side."""

    storage, source, known = None, "", 0

    def handle(self) -> None:
        self.peer, status = self.client_address[0], 0
        with contextlib.suppress(OSError):  # gone: there is nobody to tell
            while status != errno.EINVAL:  # after a malformed request upstream closes
                command, _status, body = wire.receive(self.request)
                if command == wire.Cmd.QUIT:
                    break
                answer, status = self.server.answer(self, command, body)
                self.request.sendall(wire.HEADER.pack(len(answer), wire.Cmd.RESPONSE, status) + answer)
        if self.storage:
            self.server.set_status(self.storage, wire.Status.OFFLINE)


class Daemon(socketserver.ThreadingTCPServer):
    """The command NAME is answered by `do_name(connection, body)`, one at a time; `threads` run besides."""

    allow_reuse_address = daemon_threads = True
    request_queue_size = 128

    def __init__(self, config: Config, base: Path) -> None:
        self.config, self.data = config, base / "data"
        self.bind, self.port = config.text("bind_addr"), config.number("port", 0)
        self.lock, self.threads, self.stat = threading.RLock(), [], Counter()
        super().__init__((self.bind, self.port), Connection)

    def answer(self, connection: Connection, command: int, body: bytes) -> tuple[bytes, int]:
        """Body and status of the answer: an `OSError` becomes its status."""
        try:
            name = wire.Cmd(command).name.lower()
            self.stat[f"total_{name}_count"] += 1
            with self.lock:
                answer = getattr(self, f"do_{name}")(connection, body)
            self.stat[f"success_{name}_count"] += 1
            return answer, 0
        except OSError as error:
            status, reason = error.errno or errno.EIO, error.strerror
        except (ValueError, AttributeError, LookupError, struct.error) as error:
            status, reason = errno.EINVAL, f"malformed or not simulated: {error}"
        logging.error("client %s, cmd %d: errno %d, %s", connection.peer, command, status, reason)
        return b"", status

    def do_active_test(self, connection: Connection, body: bytes) -> bytes:
        return b""


def _daemonize(pid_file: Path) -> None:
    """Fork; the parent leaves once the pid file is written, so that systemd finds it."""
    read_end, write_end = os.pipe()
    if os.fork():
        os.close(write_end)
        os._exit(0 if os.read(read_end, 1) else 1)
    os.setsid()
    os.umask(0o022)  # as upstream: whoever may enter the directories may read the files
    for descriptor in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
    pid_file.write_text(f"{os.getpid()}\n")
    os.write(write_end, b"1")


def run(name: str, arguments: list[str], kind: type[Daemon]) -> int:
    """The life of `fdfs_trackerd` or `fdfs_storaged`; returns the exit code, an errno value as upstream's."""
    if not arguments or arguments[1:] not in ([], ["start"]):
        print(f"{NOTICE}\nUsage: {name} <config_file> [start]", file=sys.stderr)
        return 1
    try:
        config = Config(arguments[0])
        base = Path(config.text("base_path", "/base_path is missing"))
        pid_file, log_file = base / "data" / f"{name}.pid", base / "logs" / f"{name[5:]}.log"
        for path in (pid_file, log_file):
            path.parent.mkdir(exist_ok=True)
        layout = "[%(asctime)s] %(levelname)s - %(message)s"
        logging.basicConfig(filename=log_file, level="INFO", format=layout)
        logging.info(NOTICE)
        daemon = kind(config, base)
    except (OSError, ValueError) as error:
        logging.critical("%s: exit abnormally!", error)
        print(f"{error}: exit abnormally!", file=sys.stderr)
        return max(getattr(error, "errno", errno.EINVAL), 1)
    _daemonize(pid_file)
    for target in daemon.threads:
        threading.Thread(target=target, daemon=True).start()
    return daemon.serve_forever()  # until a signal ends it: everything is on disk at any time
