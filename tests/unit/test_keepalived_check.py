"""The health check of the role keepalived, run as keepalived runs it, against servers of all kinds."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

CHECK = (
    (Path(__file__).parents[2] / "roles/keepalived/templates/check.j2")
    .read_text()
    .replace("{{ ansible_managed | comment }}", "#")
)


@pytest.fixture
def check(tmp_path):
    assert "{{" not in CHECK
    path = tmp_path / "check"
    path.write_text(CHECK)

    def run(port: int, weight: int = 7, slice_: float = 0.5) -> subprocess.Popen:
        words = ["bash", "-eu", str(path), "127.0.0.1", str(port), "/healthz", str(weight), str(slice_)]
        return subprocess.Popen(words, start_new_session=True)

    return run


@pytest.fixture
def server():
    """server(b"HTTP/1.1 200 OK", after=0.0): the port of a server that says this; None is never said."""
    sockets = []

    def serve(answer: bytes | None, after: float = 0.0) -> int:
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def answering() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                sockets.append(connection)
                if answer is not None:
                    # Bash writes line by line, and what is not read at the end resets the connection.
                    for line in connection.makefile("rb"):
                        if line == b"\r\n":
                            break
                    time.sleep(after)
                    connection.sendall(answer + b"\r\n\r\n")
                    connection.close()

        threading.Thread(target=answering, daemon=True).start()
        return listening.getsockname()[1]

    yield serve
    for each in sockets:
        each.close()


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 200 OK", 9),
        (b"HTTP/1.1 503 Service Unavailable", 2),
        (b"HTTP/1.1 404 Not Found", 1),
        (b"HTTP/1.1", 1),
        (b"SSH-2.0-OpenSSH_9.2", 1),
        (None, 1),
    ],
)
def test_healthy_drained_and_dead_are_told_apart(check, server, answer, status):
    # Who answers at once is asked for once, however slow this machine is; only silence takes the slices.
    assert check(server(answer), slice_=5 if answer else 0.5).wait(30) == status


def test_nobody_listens(check):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    assert check(port).wait(10) == 1


def test_a_silent_server_is_given_up_after_four_slices_and_nothing_is_left_behind(check, server):
    began = time.monotonic()
    asked = check(server(None), slice_=0.25)
    assert asked.wait(10) == 1
    assert 0.9 < time.monotonic() - began < 5
    with pytest.raises(ProcessLookupError):
        for _ in range(50):
            os.killpg(asked.pid, 0)
            time.sleep(0.1)


def test_a_director_that_stood_still_does_not_take_the_server_for_dead(check, server):
    asked = check(server(b"HTTP/1.1 200 OK", after=0.5), slice_=0.5)
    time.sleep(0.2)
    os.killpg(asked.pid, signal.SIGSTOP)
    time.sleep(3)
    os.killpg(asked.pid, signal.SIGCONT)
    assert asked.wait(10) == 9
