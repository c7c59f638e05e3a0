"""What image_probe says of answers, asked from a web server on this machine."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.modules import image_probe

BODY = b"an image"


class Site(BaseHTTPRequestHandler):
    def do_GET(self):
        found = self.path == "/image"
        self.send_response(200 if found else 404)
        self.send_header("X-Image-Server", "image1")
        self.end_headers()
        self.wfile.write(BODY if found else b"")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_answer_has_its_server_and_the_checksum_of_its_body(site):
    answer = image_probe.ask(f"{site}/image", "X-Image-Server", 5)
    assert (answer["server"], answer["status"], answer["size"], answer["error"]) == ("image1", 200, 8, "")
    assert answer["sha256"] == hashlib.sha256(BODY).hexdigest()


def test_another_status_and_no_answer_are_failures(site):
    missing = image_probe.ask(f"{site}/nothing", "X-Image-Server", 5)
    silent = image_probe.ask("http://127.0.0.1:1/", "X-Image-Server", 5)
    good = image_probe.ask(f"{site}/image", "X-Image-Server", 5)
    assert missing["status"] == 404
    assert silent["status"] == 0 and "refused" in silent["error"]
    assert image_probe.summary([missing, silent, good, good]) == {"servers": {"image1": 2}, "failures": 2}
