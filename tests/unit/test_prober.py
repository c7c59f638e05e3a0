"""tests/tools/prober against a server that does what servers do when hosts fail."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PROBER = Path(__file__).parents[1] / "tools" / "prober"
IMAGE = b"image" * 4000


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked = 0  # on this connection

    def do_GET(self):
        connections = self.server.connections
        connections[self.client_address] = self.connection
        self.asked += 1
        if self.path == "/reset" or (self.path == "/stale" and self.asked > 1):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
            self.close_connection = True
            return
        body = IMAGE if self.path != "/" else b"page"
        if self.path == "/changing" and len(connections) > 1:
            body = IMAGE[::-1]
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Image-Server", "image1")
        self.end_headers()
        if self.path == "/parting":
            self.close_connection = True
        if self.path == "/short":
            self.wfile.write(body[:5000])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serving(port: int = 0) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.connections = {}
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        for connection in server.connections.values():
            # Most are closed already.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def server():
    with serving() as started:
        yield started


@pytest.fixture
def probe(tmp_path):
    """end = probe(port, path, option…) starts the prober; end() stops it and gives its report."""
    started = []

    def start(port: int, path: str = "/", *options: str):
        report = tmp_path / "report.json"
        url = f"http://127.0.0.1:{port}{path}"
        process = subprocess.Popen([sys.executable, PROBER, "--url", url, "--report", report, *options])
        started.append(process)

        def end() -> dict:
            process.terminate()
            assert process.wait(20) == 0
            return json.loads(report.read_text())

        return end

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait(reached, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_new_and_kept_connections_are_counted_apart(server, probe):
    end = probe(server.server_port)
    wait(lambda: len(server.connections) > 20)
    report = end()
    for way in ("new", "kept"):
        assert report[way]["ok"] > 5
        assert report[way]["failures"] == {}
        assert report[way]["servers"] == {"image1": report[way]["ok"]}
    # All of the kept ones had one connection.
    assert len(server.connections) <= report["new"]["requests"] + 1


def test_a_server_that_is_away_leaves_a_gap_and_refused_requests(probe):
    with serving() as first:
        port = first.server_port
        end = probe(port)
        wait(lambda: len(first.connections) > 5)
        gone = time.time()
    away = time.time()
    time.sleep(1)
    back = time.time()
    with serving(port) as second:
        wait(lambda: len(second.connections) > 5)
        report = end()
        over = time.time()
    for way in ("new", "kept"):
        assert report[way]["failures"]["refused"] > 5
        # The schedule is 0.02 s; what a busy machine adds is many times that.
        assert back - away - 0.2 < report[way]["gap"] < over - gone + 0.2
        assert gone - 5 < report[way]["gap_began"] < away + 0.2
    assert report["new"]["ok"] > 5
    assert report["kept"]["opened"] == 2
    assert report["began"] < gone
    assert 0 < report["late"] < report["new"]["gap"]


def test_a_server_that_never_comes_back_leaves_a_gap_to_the_end(probe):
    with serving() as server:
        end = probe(server.server_port)
        wait(lambda: len(server.connections) > 5)
    away = time.time()
    time.sleep(1)
    report = end()
    for way in ("new", "kept"):
        assert report[way]["gap"] > 0.8
        assert report[way]["gap_began"] < away + 0.2


def test_a_server_that_never_was_is_one_gap(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
    command = [sys.executable, PROBER, "--url", url, "--report", tmp_path / "report", "--seconds", "1"]
    subprocess.run(command, check=True, timeout=20)
    report = json.loads((tmp_path / "report").read_text())
    assert report["new"]["ok"] == 0
    assert report["new"]["gap"] == pytest.approx(report["ended"] - report["began"], abs=0.2)


@pytest.mark.parametrize(("path", "kind"), [("/reset", "reset"), ("/short", "closed")])
def test_a_connection_that_breaks_is_counted_by_its_kind(server, probe, path, kind):
    end = probe(server.server_port, path)
    wait(lambda: len(server.connections) > 10)
    report = end()
    for way in ("new", "kept"):
        assert report[way]["ok"] == 0
        assert set(report[way]["failures"]) == {kind}
        assert report[way]["failures"][kind] > 2


def test_a_server_that_says_it_closes_is_no_failure(server, probe):
    end = probe(server.server_port, "/parting")
    wait(lambda: len(server.connections) > 20)
    report = end()
    assert report["new"]["failures"] == report["kept"]["failures"] == {}
    assert report["kept"]["opened"] > 2


def test_a_request_that_a_closed_kept_connection_swallows_is_asked_again(server, probe):
    end = probe(server.server_port, "/stale")
    wait(lambda: len(server.connections) > 20)
    report = end()
    assert report["new"]["failures"] == report["kept"]["failures"] == {}
    assert report["kept"]["again"] > 2
    assert report["new"]["again"] == 0
    # One may be under way at the end.
    assert report["kept"]["opened"] - report["kept"]["ok"] in (0, 1)


def test_another_content_is_a_failure(server, probe):
    end = probe(server.server_port, "/changing", "--sha256", hashlib.sha256(IMAGE).hexdigest())
    wait(lambda: len(server.connections) > 20)
    report = end()
    assert report["new"]["failures"]["content"] > 2
    assert report["new"]["failures"].keys() == {"content"}


def test_an_answer_of_another_status_is_a_failure(server, probe):
    end = probe(server.server_port, "/broken")
    wait(lambda: len(server.connections) > 5)
    report = end()
    assert report["new"]["ok"] == 0
    assert set(report["new"]["failures"]) == {"status"}
    assert report["new"]["lost"][0]["detail"] == "status: 500 from image1"


def test_a_silent_server_is_a_timeout(probe):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        end = probe(silent.getsockname()[1], "/", "--timeout", "0.1", "--interval", "0.05")
        time.sleep(1.5)
        report = end()
    assert report["new"]["ok"] == 0
    assert set(report["new"]["failures"]) == {"timeout"}


@pytest.mark.parametrize(
    ("path", "digest", "broken"),
    [
        ("/image", hashlib.sha256(IMAGE).hexdigest(), set()),
        ("/image", hashlib.sha256(b"another").hexdigest(), {"content"}),
        ("/short", hashlib.sha256(IMAGE).hexdigest(), {"closed"}),
        ("/reset", hashlib.sha256(IMAGE).hexdigest(), {"reset"}),
        ("/broken", hashlib.sha256(IMAGE).hexdigest(), {"status"}),
        ("/image", "", set()),
        ("/changing", "", {"content"}),
    ],
)
def test_downloads_are_whole_or_broken(server, probe, path, digest, broken):
    url = f"http://127.0.0.1:{server.server_port}{path}"
    options = ["--downloads", "3", "--download-url", url, "--download-rate", "100000"]
    options += ["--download-sha256", digest] if digest else []
    # The page is asked for once.
    end = probe(server.server_port, "/", *options, "--interval", "60")
    wait(lambda: len(server.connections) > 2 + 2 * 3)
    downloads = end()["downloads"]
    assert set(downloads["broken"]) == broken
    assert (downloads["completed"] > 0) == (not broken)
    assert downloads["started"] == downloads["completed"] + downloads["open"] + sum(
        downloads["broken"].values()
    )


def test_downloads_that_are_open_at_the_end_are_read_to_their_end(server, probe):
    url = f"http://127.0.0.1:{server.server_port}/image"
    options = ["--downloads", "5", "--download-url", url, "--download-rate", "1", "--interval", "60"]
    end = probe(server.server_port, "/", *options)
    # Two requests, one for the sha256, five downloads.
    wait(lambda: len(server.connections) >= 8)
    assert end()["downloads"] == {"started": 5, "completed": 5, "broken": {}, "open": 0}


def test_downloads_that_stand_still_at_the_end_are_open(server, probe):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/image"
        options = ["--downloads", "2", "--download-url", url, "--download-sha256", "0", "--finish", "0.1"]
        end = probe(server.server_port, "/", *options)
        accepted = [silent.accept()[0] for _ in range(2)]
        downloads = end()["downloads"]
        for connection in accepted:
            connection.close()
    assert downloads == {"started": 2, "completed": 0, "broken": {}, "open": 2}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--url", "https://127.0.0.1/"],
            "--url is 'https://127.0.0.1/': write http://, a host, and a path.",
        ),
        (["--downloads", "1"], "--download-url is '': write http://, a host, and a path."),
        (["--interval", "0"], "--interval must be more than 0."),
        (["--downloads", "1", "--download-url", "http://127.0.0.1:1/"], "(refused): try again, or give --d"),
    ],
)
def test_what_cannot_be_probed_is_one_sentence(options, said, tmp_path):
    command = [
        sys.executable,
        PROBER,
        "--url",
        "http://127.0.0.1/",
        "--report",
        tmp_path / "report",
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode != 0
    assert said in done.stderr
    assert not (tmp_path / "report").exists()
