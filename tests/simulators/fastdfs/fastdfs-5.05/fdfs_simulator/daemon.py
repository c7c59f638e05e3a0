"""What both daemons share: configuration, log, command line, pid file, signals, and the TCP server."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import os
import re
import signal
import socket
import socketserver
import struct
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from . import NOTICE, wire


class Config:
    """A configuration file in upstream's format. A number that is none counts as not set, as upstream's atoi has it."""

    def __init__(self, path: str) -> None:
        self.items = {}
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            key, equals, value = line.partition("=")
            if equals and not key.lstrip().startswith("#"):
                self.items.setdefault(key.strip(), []).append(value.strip())

    def text(self, key: str, default: str = "") -> str:
        """The last value of `key`, or `default` when it is missing or empty."""
        return self.items.get(key, [""])[-1] or default

    def number(self, key: str, default: int) -> int:
        """A whole number, else `default`."""
        digits = re.match(r"\d+", self.text(key))
        return int(digits.group()) if digits else default

    def trackers(self) -> list[tuple[str, int]]:
        """Every tracker_server; raises `ValueError` when there is none, or one without a port."""
        values = self.items.get("tracker_server", ["tracker_server is missing"])
        pairs = [value.rpartition(":")[::2] for value in values]
        return [(socket.gethostbyname(host), int(port)) for host, port in pairs]

    def allowed_hosts(self) -> list[ipaddress.IPv4Network]:
        """`allow_hosts`: names, addresses, and networks from /16 to /31 as upstream takes them, else `ValueError`."""
        values = self.items.get("allow_hosts", ["*"])
        if any("/" in value and not 16 <= int(value.partition("/")[2]) <= 31 for value in values):
            raise ValueError(f"allow_hosts={values}: a network is /16 to /31")
        names = [value if "/" in value or value == "*" else socket.gethostbyname(value) for value in values]
        return [ipaddress.IPv4Network(name.replace("*", "0.0.0.0/0"), strict=False) for name in names]


class Connection(socketserver.BaseRequestHandler):
    """One connection; a daemon keeps in its attributes what it has learnt of the other side."""

    storage, source = None, ""

    def handle(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.peer, status = self.client_address[0], 0
        with contextlib.suppress(OSError):  # gone: there is nobody to tell
            while status != errno.EINVAL:  # after a malformed request upstream closes
                command, _status, body = wire.receive(self.request)
                if command == wire.Cmd.QUIT:
                    break
                answer, status = self.server.answer(self, command, body)
                self.request.sendall(wire.HEADER.pack(len(answer), wire.Cmd.RESPONSE, status) + answer)
        self.server.closed(self)


class Daemon(socketserver.ThreadingTCPServer):
    """The command NAME is answered by `do_name(connection, body)`, one at a time; `threads` run besides."""

    allow_reuse_address = daemon_threads = True
    request_queue_size = 128

    def __init__(self, config: Config, base: Path) -> None:
        self.config, self.data, self.allowed = config, base / "data", config.allowed_hosts()
        self.bind, self.port = config.text("bind_addr"), config.number("port", 0)
        self.lock, self.stopping = threading.RLock(), threading.Event()
        self.threads, self.stat = [], Counter()
        super().__init__((self.bind, self.port), Connection)

    def verify_request(self, request, client_address) -> bool:
        return any(ipaddress.IPv4Address(client_address[0]) in network for network in self.allowed)

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

    def closed(self, connection: Connection) -> None:
        """A connection has ended."""


def _signal_running(pid_file: Path, action: str) -> None:
    """Before `stop` and `restart`: end the daemon of this pid file. Before `start`: raise `OSError` if it runs."""
    process = Path("/proc", str(int(pid_file.read_text())))
    while process.exists() and pid_file.stem.encode() in (process / "cmdline").read_bytes():
        if action == "start":
            raise wire.fail(errno.EEXIST)
        os.kill(int(process.name), signal.SIGTERM)
        time.sleep(0.2)


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
    config_file, action = [*arguments, "", ""][:2]
    if not config_file or action not in ("", "start", "stop", "restart"):
        print(f"{NOTICE}\nUsage: {name} <config_file> [start | stop | restart]", file=sys.stderr)
        return errno.EINVAL if config_file else 1
    try:
        config = Config(config_file)
        base = Path(config.text("base_path", "/base_path is missing"))
        pid_file, log_file = base / "data" / f"{name}.pid", base / "logs" / f"{name[5:]}.log"
        for path in (pid_file, log_file):
            path.parent.mkdir(exist_ok=True)
        if action == "stop" or (action and pid_file.exists()):
            _signal_running(pid_file, action)
        if action == "stop":
            return 0
        layout = "[%(asctime)s] %(levelname)s - %(message)s"
        logging.basicConfig(filename=log_file, level="INFO", format=layout)
        logging.info(NOTICE)
        daemon = kind(config, base)
    except (OSError, ValueError) as error:
        logging.critical("%s: exit abnormally!", error)
        print(f"{error}: exit abnormally!", file=sys.stderr)
        return max(getattr(error, "errno", errno.EINVAL), 1)
    _daemonize(pid_file)
    endings = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
    signal.pthread_sigmask(signal.SIG_BLOCK, endings)
    for target in [daemon.serve_forever, *daemon.threads]:
        threading.Thread(target=target, daemon=True).start()
    signal.sigwait(endings)
    daemon.stopping.set()
    daemon.shutdown()
    daemon.save()
    pid_file.unlink()
    return 0
