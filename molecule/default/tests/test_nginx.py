"""What an image server owes its readers over HTTP: images by their names, nothing else, and an honest health answer."""

from __future__ import annotations

import base64
import re
import struct
import uuid

import pytest

SITE = "/etc/nginx/conf.d/nginx_image.conf"
DRAIN = "/var/lib/nginx-image/drain"
HERE = "http://127.0.0.1"


def name(tail: str = "123.jpg", size: int = (0x80000000 << 32) | 17000) -> str:
    """A file name as FastDFS makes them: address, time, size and CRC in base64, then digits and extension; nobody else's."""
    raw = struct.pack(">4sIQI", b"\x7f\0\0\1", 1, size, uuid.uuid4().int & 0xFFFFFFFF)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=") + tail


def ask(host, path: str, *options: str) -> tuple[int, dict[str, str], str]:
    """Status, headers (lower case) and body of a request to the host itself."""
    words = " ".join(f"'{word}'" for word in options)
    answer = host.check_output(f"curl -s -i --path-as-is --max-time 10 {words} '{HERE}{path}'").replace(
        "\r", ""
    )
    head, _, body = answer.partition("\n\n")
    lines = head.splitlines()
    headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, body


@pytest.fixture(scope="module")
def servers(nodes):
    return nodes("image_servers")


@pytest.fixture
def put():
    """put(host, file name, content): that file stands in M00/00/00 of that host until the test has ended."""
    made = []

    def write(host, file: str, content: str) -> str:
        aliases = re.findall(r"alias (/\S+/data/)\$1;", host.file(SITE).content_string)
        path = f"{aliases[0]}00/00/{file}"
        host.check_output(f"printf %s '{content}' >{path} && chmod 644 {path}")
        made.append((host, path))
        return path

    yield write
    for host, path in made:
        host.run(f"rm -f {path}")


def group(host) -> str:
    return re.search(r"FastDFS group (\w+)", host.file(SITE).content_string).group(1)


def test_the_index_page_and_every_answer_name_the_server(servers):
    for host in servers:
        status, headers, body = ask(host, "/")
        assert status == 200 and f"<h1>{host.name}</h1>" in body
        assert headers["x-image-server"] == host.name
        assert ask(host, "/no/such/thing")[1]["x-image-server"] == host.name


def test_a_file_of_the_store_is_served_by_its_name(servers, put):
    host = servers[0]
    file = name()
    put(host, file, "an image")
    status, headers, body = ask(host, f"/{group(host)}/M00/00/00/{file}")
    assert (status, body) == (200, "an image")
    assert headers["content-type"] == "image/jpeg"
    assert "immutable" in headers["cache-control"]
    assert "x-image-source" not in headers


def test_what_may_change_under_its_name_is_asked_for_again(servers, put):
    host = servers[0]
    appender, master = name(size=(0x80000000 << 32) | (1 << 58)), name()
    slave = master.replace("123.jpg", "123_150x150.jpg")
    for file in (appender, slave):
        put(host, file, "may change")
        status, headers, _ = ask(host, f"/{group(host)}/M00/00/00/{file}")
        assert (status, headers["cache-control"]) == (200, "no-cache")


def test_one_connection_may_read_more_images_than_a_process_usually_has_open(servers, put):
    host = servers[0]
    first = name()
    folder = put(host, first, "many").rsplit("/", 1)[0]
    names = [name() for _ in range(1200)]
    listed = "\n".join(names)
    try:
        host.check_output(
            f"cd {folder} && cat >/var/tmp/many <<'END'\n{listed}\nEND\nxargs -n 1 ln {first} </var/tmp/many"
        )
        # One curl is one connection, and that is one worker.
        urls = f"sed 's|.*|url={HERE}/{group(host)}/M00/00/00/&\\noutput=/dev/null|' /var/tmp/many"
        statuses = host.check_output(f"{urls} | curl -s -K - -w '%{{http_code}}\\n' | sort | uniq -c")
        assert statuses.split() == ["1200", "200"], statuses
    finally:
        host.check_output(f"cd {folder} && xargs rm -f </var/tmp/many; rm -f /var/tmp/many")


@pytest.mark.parametrize(("tail", "locked"), [("123.svg", True), ("12.html", True), ("123.jpg", False)])
def test_what_a_browser_would_run_gets_no_rights_of_the_site(servers, put, tail, locked):
    """Once, also where a peer gave it."""
    for holder in servers[:2]:
        file = name(tail)
        put(holder, file, "<svg/>")
        path = f"/{group(servers[0])}/M00/00/00/{file}"
        head = servers[0].check_output(f"curl -s -o /dev/null -D - '{HERE}{path}'").replace("\r", "")
        assert " 200 " in head.splitlines()[0]
        policies = re.findall("(?mi)^content-security-policy: (.*)$", head)
        assert policies == ["default-src 'none'; style-src 'unsafe-inline'; sandbox"] * locked


def test_a_file_that_cannot_be_opened_comes_from_a_peer(servers, put):
    if len(servers) < 2:
        pytest.skip("one image server has no peer")
    first, second = servers[:2]
    file = name()
    path = put(second, file, "the same")
    # As a broken disk does, opening a socket gives an error that is neither "not there" nor "forbidden".
    first.check_output(f"python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"{path}\")'")
    try:
        status, headers, body = ask(first, f"/{group(first)}/M00/00/00/{file}")
    finally:
        first.check_output(f"rm {path}")
    assert (status, headers["x-image-source"], body) == (200, second.name, "the same")


def test_a_miss_is_asked_from_a_peer_once(servers, put):
    if len(servers) < 2:
        pytest.skip("one image server has no peer")
    first, second = servers[:2]
    file = name()
    address = f"/{group(first)}/M00/00/00/{file}"
    put(second, file, "only there")
    status, headers, body = ask(first, address)
    assert (status, body, headers["x-image-server"], headers["x-image-source"]) == (
        200,
        "only there",
        first.name,
        second.name,
    )
    # A server that was itself asked does not ask on, although its peer has the file.
    assert ask(first, address, "-H", "X-Image-Hop: 1")[0] == 404


def test_a_file_that_nobody_has_is_not_found_and_not_kept(servers):
    status, headers, _ = ask(servers[0], f"/{group(servers[0])}/M00/00/00/{name()}")
    assert (status, headers["cache-control"]) == (404, "no-store")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_nothing_but_get_and_head(servers, put, method):
    host = servers[0]
    file = name()
    path = put(host, file, "stays")
    status, headers, _ = ask(host, f"/{group(host)}/M00/00/00/{file}", "-X", method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    assert host.file(path).content_string == "stays"


@pytest.mark.parametrize(
    "file",
    [".hidden", "{name}-m", "{bare}-m", "plain.txt", "", "{name}%0a", "{name}/", "../../fdfs_storaged.pid"],
)
def test_nothing_else_of_the_store_is_reachable(servers, put, file):
    host = servers[0]
    image, bare = name(), name("1234567")
    file = file.format(name=image, bare=bare)
    for standing in (image, bare, ".hidden", f"{image}-m", f"{bare}-m", "plain.txt"):
        put(host, standing, "keep out")
    status, _, body = ask(host, f"/{group(host)}/M00/00/00/{file}")
    assert status in (400, 404)
    assert "keep out" not in body


@pytest.mark.parametrize(
    "path",
    [
        "/.git/config",
        "/nginx_image.conf",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/data/",
        "/group1/",
    ],
)
def test_nothing_outside_the_store_is_reachable(servers, path):
    assert ask(servers[0], path)[0] in (400, 404)


def test_the_drain_flag_is_a_health_answer_and_images_are_served_all_the_same(servers, put):
    host = servers[0]
    file = name()
    put(host, file, "still served")
    assert ask(host, "/healthz")[0] == 200
    host.check_output(f"touch {DRAIN}")
    try:
        assert ask(host, "/healthz")[0] == 503
        assert ask(host, f"/{group(host)}/M00/00/00/{file}")[0] == 200
    finally:
        host.check_output(f"rm -f {DRAIN}")
    assert ask(host, "/healthz")[0] == 200


def test_the_configuration_is_accepted_and_loaded(servers):
    for host in servers:
        assert host.run("nginx -t -q").rc == 0
        assert host.check_output(f"find {SITE} -newer /run/nginx-image/loaded") == ""


def test_the_service_starts_at_boot_in_a_sandbox(servers):
    for host in servers:
        assert host.service("nginx").is_enabled and host.service("nginx").is_running
        properties = host.check_output("systemctl show nginx.service -p ProtectSystem -p NoNewPrivileges")
        assert sorted(properties.split()) == ["NoNewPrivileges=yes", "ProtectSystem=strict"]
        assert host.run("systemd-analyze security --no-pager --threshold=30 nginx.service").rc == 0
