"""tests/tools/prober against a server that does what servers do when hosts fail."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PROBER = Path(__file__).parents[1] / "tools" / "prober"
IMAGE = b"image" * 4000


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.connections.add(self.client_address)
        body = IMAGE if self.path != "/" else b"page"
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Image-Server", "image1")
        self.end_headers()
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
    server.connections = set()
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


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
    time.sleep(1)
    with serving(port) as second:
        wait(lambda: len(second.connections) > 5)
        report = end()
    assert report["new"]["failures"]["refused"] > 5
    assert report["new"]["gap"] > 0.9
    assert report["new"]["ok"] > 10


def test_an_answer_of_another_status_is_a_failure(server, probe):
    end = probe(server.server_port, "/broken")
    wait(lambda: len(server.connections) > 5)
    report = end()
    assert report["new"]["ok"] == 0
    assert set(report["new"]["failures"]) == {"status"}


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
        ("/short", "", {"closed"}),
    ],
)
def test_downloads_are_whole_or_broken(server, probe, path, digest, broken):
    url = f"http://127.0.0.1:{server.server_port}{path}"
    options = ["--downloads", "3", "--download-url", url, "--download-rate", "100000"]
    # The page is asked for once.
    end = probe(server.server_port, "/", *options, "--download-sha256", digest, "--interval", "60")
    wait(lambda: len(server.connections) > 2 + 2 * 3)
    downloads = end()["downloads"]
    assert set(downloads["broken"]) == broken
    assert (downloads["completed"] > 0) == (not broken)
    assert downloads["started"] == downloads["completed"] + downloads["open"] + sum(
        downloads["broken"].values()
    )
