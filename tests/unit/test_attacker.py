"""The attacks of the hostile suite: against a site with every fault they tell of each."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "tools" / "attacker"
IMAGE = "/group1/M00/00/00/wKgKSlR8hGSAXQ8mAAAB5Y2Q_0M123.jpg"
CONTENT = b"an image" + os.urandom(2000)
SECRET = "keep-out"


class Faulty(socketserver.StreamRequestHandler):
    """Gives out what lies above the store, something strange for files beside the image, and breaks when a method is none."""

    def handle(self) -> None:
        method, path, *_ = [*self.rfile.readline().split(), b"", b""]
        if b".." in path:
            status, body = 200, SECRET.encode()
        elif method not in (b"GET", b"POST"):
            status, body = 500, b""
        elif path in (b"/", IMAGE.encode()):
            status, body = 200, CONTENT if path != b"/" else b"<h1>page</h1>"
        else:
            status, body = 200, b"something else"
        self.wfile.write(b"HTTP/1.1 %d X\r\n\r\n" % status + body)


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[str, str]]:
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Faulty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "127.0.0.1", str(server.server_address[1])
        server.shutdown()


def attacked(site: tuple[str, str], image: str, *kinds: str) -> tuple[int, list[dict]]:
    asked = [word for kind in kinds for word in ("--kind", kind)]
    run = subprocess.run(
        [sys.executable, PROGRAM, *site, image, "--secret", SECRET, *asked],
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, [json.loads(line) for line in run.stdout.splitlines()]


def test_what_leaks_and_what_breaks_is_told(site):
    status, told = attacked(site, IMAGE, "traversal", "name", "method")
    assert status == 0
    by_kind = {
        kind: [each for each in told if each["kind"] == kind] for kind in ("traversal", "name", "method")
    }
    up = [each for each in by_kind["traversal"] if "'../'" in each["name"]]
    assert up and all(each["leaked"] == [SECRET] and each["strange"] for each in up)
    beside = [each for each in by_kind["name"] if each["name"] == "/.git/config"]
    assert beside and all(
        each["strange"] and each["statuses"] == [200] and each["wanted"] != [200] for each in beside
    )
    put = [each for each in by_kind["method"] if each["name"] == "PUT"]
    assert put and all(each["statuses"] == [500] and 500 not in each["wanted"] for each in put)
    assert (told[-1]["kind"], told[-1]["statuses"], told[-1]["strange"]) == ("plain", [200], False)


def test_there_are_enough_of_them():
    source: dict = {"__name__": "attacker"}
    exec(compile(PROGRAM.read_text(), str(PROGRAM), "exec"), source)
    names = [(each.kind, each.name) for each in source["attacks"](IMAGE)]
    assert len(names) == len(set(names)) >= 200


def test_without_an_image_to_read_nothing_is_said_to_be_well():
    assert attacked(("127.0.0.1", "1"), IMAGE) == (1, [])
