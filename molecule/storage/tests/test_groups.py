"""Two FastDFS groups behind one VIP: any image server answers for every group, asks nobody twice, and does not guess."""

from __future__ import annotations

import base64
import struct
import time
import uuid
from contextlib import contextmanager

import pytest
from traffic import missed, serving

GROUPS = {"group1": ("image1", "image3"), "group2": ("image2", "image4")}
SERVERS = [server for servers in GROUPS.values() for server in servers]
LOG = "/var/log/nginx/image_access.log"


def nobodys(group: str) -> str:
    """The path of an image as FastDFS names them, which nobody has."""
    raw = struct.pack(">4sIQI", b"\x7f\0\0\1", 1, (0x80000000 << 32) | 17000, uuid.uuid4().int & 0xFFFFFFFF)
    return f"/{group}/M00/00/00/{base64.urlsafe_b64encode(raw).decode().rstrip('=')}123.jpg"


def logged(host, path: str) -> int:
    """How often this path was asked for. nginx, told to open its log anew, first writes what it has gathered."""
    host.check_output("systemctl kill --kill-whom=main --signal=USR1 nginx; sleep 0.5")
    return int(host.run(f"grep -c {path} {LOG}").stdout)


@pytest.fixture(scope="module")
def client(nodes):
    return nodes("fastdfs_clients")[0]


@pytest.fixture(scope="module")
def director(nodes):
    return nodes("lvs_directors")[0]


@pytest.fixture(scope="module")
def ask(client, hostvars):
    """ask("image1", "/group2/…", option…): status and headers (lower case) of that server's answer."""

    def asked(server: str, path: str, *options: str) -> tuple[int, dict[str, str]]:
        url = f"http://{hostvars(server)['ansible_host']}{path}"
        words = " ".join(f"'{word}'" for word in options)
        head = client.check_output(f"curl -s -o /dev/null -D - --max-time 15 {words} '{url}'").replace(
            "\r", ""
        )
        lines = head.strip().splitlines()
        headers = {
            key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:])
        }
        return int(lines[0].split()[1]), headers

    return asked


@pytest.fixture(scope="module")
def images(client, hostvars):
    """The path and the size of an image of each group, uploaded to the group's first storage."""
    made = {}
    for number, (group, (first, _)) in enumerate(GROUPS.items()):
        storage = f"{hostvars(first)['ansible_host']}:23000"
        size = 5000 + number
        command = f"head -c {size} /dev/urandom >/var/tmp/groups.jpg && fdfs_upload_file /etc/fdfs/client.conf /var/tmp/groups.jpg {storage}"
        made[group] = (f"/{client.check_output(command)}", size)
    yield made
    for path, _ in made.values():
        client.check_output(f"fdfs_delete_file /etc/fdfs/client.conf {path[1:]}")
    client.check_output("rm -f /var/tmp/groups.jpg")


@contextmanager
def stopped(node, *servers):
    """nginx does not run on these servers. Those that ask them have forgotten what they knew of them, before and after."""

    def forget():
        for name in SERVERS:
            if node(name).service("nginx").is_running:
                node(name).check_output("systemctl reload nginx")
        time.sleep(1)

    for server in servers:
        node(server).check_output("systemctl stop nginx")
    forget()
    try:
        yield
    finally:
        for server in servers:
            node(server).check_output("systemctl start nginx")
        forget()


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("server", SERVERS)
def test_any_image_server_has_every_group_s_images(ask, images, server, group):
    path, size = images[group]
    status, headers = ask(server, path)
    assert (status, headers["x-image-server"], int(headers["content-length"])) == (200, server, size)
    assert "immutable" in headers["cache-control"]
    assert ("x-image-source" in headers) or server in GROUPS[group]
    assert headers.get("x-image-source", server) in GROUPS[group]
    assert ask(server, path, "--head")[0] == 200
    status, headers = ask(server, path, "--range", "100-199")
    assert (status, headers["content-range"]) == (206, f"bytes 100-199/{size}")
    # Whoever kept that would keep readers from the image.
    status, headers = ask(server, path, "--range", f"{size}-")
    assert (status, headers["cache-control"]) == (416, "no-store")
    etag = ask(server, path)[1]["etag"]
    assert ask(server, path, "-H", f"If-None-Match: {etag}")[0] == 304


@pytest.mark.parametrize("group", GROUPS)
def test_one_image_has_one_etag_and_one_time_on_every_server_of_its_group(
    ask, images, wait, node, stored, group
):
    path, _size = images[group]
    wait(
        lambda: all(node(server).file(stored(server, path)).exists for server in GROUPS[group]),
        "it is replicated",
        30,
    )
    told = [ask(server, path)[1] for server in GROUPS[group]]
    assert not any("x-image-source" in headers for headers in told)
    assert len({(headers["etag"], headers["last-modified"]) for headers in told}) == 1


@pytest.mark.parametrize("state", ["all run", "image3 is down", "image4 is down"])
def test_an_image_can_be_read_as_soon_as_its_writer_has_its_name(
    client, director, node, hostvars, vips, wait, state
):
    down = [each for each in SERVERS if each in state]
    roots = [
        f"http://{vips[0]}",
        *(f"http://{hostvars(each)['ansible_host']}" for each in SERVERS if each not in down),
    ]
    storages = [f"{hostvars(each)['ansible_host']}:23000" for each in SERVERS if each not in down]
    with stopped(node, *down):
        for each in down:
            node(each).check_output("systemctl stop fdfs-storaged")
        try:
            gone = {hostvars(each)["ansible_host"] for each in down}
            wait(lambda: not gone & serving(director), "what is down gets no reader", 30)
            for root in roots:
                assert missed(client, root, storages, 10) == 0, root
        finally:
            for each in down:
                node(each).check_output("systemctl start fdfs-storaged")


@pytest.mark.parametrize("group", GROUPS)
def test_a_name_that_nobody_has_is_not_found_and_asked_from_each_server_of_its_group_once(ask, node, group):
    for server in SERVERS:
        path = nobodys(group)
        begin = time.monotonic()
        status, headers = ask(server, path)
        assert (status, headers["cache-control"]) == (404, "no-store")
        assert "x-image-source" not in headers
        assert time.monotonic() - begin < 2
        # The server itself and its group's, each once.
        seen = {name: logged(node(name), path) for name in SERVERS}
        assert seen == {name: int(name == server or name in GROUPS[group]) for name in SERVERS}


def test_a_server_that_was_asked_asks_nobody(ask, node):
    path = nobodys("group2")
    assert ask("image1", path, "-H", "X-Image-Hop: 1")[0] == 404
    assert [name for name in SERVERS if logged(node(name), path)] == ["image1"]


@pytest.mark.parametrize("silent", GROUPS["group2"])
def test_not_found_is_not_said_for_a_server_that_did_not_answer(ask, images, node, silent):
    path, _ = images["group2"]
    with stopped(node, silent):
        for _ in range(4):
            # Whichever of the two was asked last.
            status, headers = ask("image1", nobodys("group2"))
            assert (status, headers["retry-after"], headers["cache-control"]) == (503, "1", "no-store")
        if silent == "image4":
            assert ask("image1", path)[0] == 200
        assert ask("image1", nobodys("group1"))[0] == 404


def test_a_server_that_is_back_is_not_overlooked(ask, node):
    path, host = nobodys("group2"), node("image2")
    file = f"/data/fastdfs/data/00/00/{path.rsplit('/', 1)[1]}"
    host.check_output("systemctl stop nginx")
    try:
        # From now on image1 leaves it out.
        assert [ask("image1", nobodys("group2"))[0] for _ in range(2)] == [503, 503]
    finally:
        host.check_output("systemctl start nginx")
    host.check_output(f"echo written a moment ago >{file} && chmod 644 {file}")
    try:
        status, headers = ask("image1", path)
        assert (status, headers["x-image-source"]) == (200, "image2")
    finally:
        host.check_output(f"rm {file}")


@pytest.mark.parametrize(
    "path",
    [
        "/group2/M00/00/00/fdfs_storaged.pid",
        "/group2/",
        "/group2/M00/../healthz",
        "/group2/healthz",
        "/group3/M00/00/00/{name}",
        "/group2/M00/00/00/{name}-m",
        "/group2/M00/00/00/{name}%0a",
    ],
)
def test_nothing_but_images_is_asked_from_another_group(ask, node, path):
    name = nobodys("group2").rsplit("/", 1)[1]
    before = {each: node(each).check_output(f"wc -l <{LOG}") for each in GROUPS["group2"]}
    assert ask("image1", path.format(name=name), "--path-as-is")[0] in (400, 404)
    assert ask("image1", nobodys("group2"), "-X", "POST")[0] == 405
    # The directors' health checks are not in that log.
    assert {each: node(each).check_output(f"wc -l <{LOG}") for each in before} == before
