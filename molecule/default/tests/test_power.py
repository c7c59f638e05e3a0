"""A power cut: every kind of host comes back as it was, in the order that protects the network."""

from __future__ import annotations

import time

import pytest

CLIENT = "/etc/fdfs/client.conf"


@pytest.fixture(scope="module")
def image(nodes):
    """An image on every storage's disk: its file id and sha256."""
    client = nodes("fastdfs_clients")[0]
    client.check_output("head -c 54321 /dev/urandom >/var/tmp/power.jpg")
    file_id = client.check_output(f"fdfs_upload_file {CLIENT} /var/tmp/power.jpg")
    path = file_id.split("/", 2)[2]
    for host in nodes("fastdfs_storages"):
        wait(lambda host=host: host.file(f"/data/fastdfs/data/{path}").exists, f"{file_id} on {host.name}")
        host.check_output("sync")
    yield file_id, client.check_output("sha256sum /var/tmp/power.jpg").split()[0]
    client.run(f"fdfs_delete_file {CLIENT} {file_id}; rm /var/tmp/power.jpg")


def wait(reached, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"after {seconds} s there is no {what}"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def after(image, power_cut, nodes):
    """The image, after the director, an image server and the tracker have lost their power."""
    power_cut(*(nodes(group)[0].name for group in ("lvs_directors", "image_servers", "fastdfs_trackers")))
    return image


def test_the_director_marks_balances_and_carries_the_addresses(after, nodes):
    director = nodes("lvs_directors")[0]
    assert director.check_output("lvs-director plan") == ""
    made = director.check_output("cut -d' ' -f1 /run/lvs-director/made").split()
    order = ["module", "sysctl", "mark", "service", "address"]
    assert made == sorted(made, key=order.index)
    assert made[-1] == "address"


def test_the_image_server_had_its_arp_settings_before_its_addresses(after, nodes):
    server = nodes("image_servers")[0]
    assert server.check_output("lvs-realserver plan") == ""
    made = server.check_output("cut -d' ' -f1 /run/lvs-realserver/made").split()
    assert made == sorted(made, key=["sysctl", "link", "address"].index)
    assert made[-1] == "address"


def test_every_reader_gets_the_image_from_every_server(after, nodes, vips):
    file_id, sha256 = after
    reader = nodes("image_readers")[0]
    for vip in vips:
        url = f"http://{vip}/{file_id}"
        sums = {reader.check_output(f"curl -s --max-time 5 {url} | sha256sum").split()[0] for _ in range(4)}
        assert sums == {sha256}
        seen = reader.check_output(
            f"for i in 1 2 3 4; do curl -s -o /dev/null -D - --max-time 5 {url}; done | tr -d '\\r' | grep -i x-image-server | sort -u"
        )
        assert len(seen.splitlines()) == len(nodes("image_servers")), seen


def test_writers_can_write_again(after, nodes):
    client = nodes("fastdfs_clients")[0]
    upload = f"fdfs_upload_file {CLIENT} /var/tmp/power.jpg >/tmp/power.id"
    # A storage that has just booted takes uploads after its next heart-beat.
    wait(lambda: client.run(upload).rc == 0, "upload")
    client.check_output(f"fdfs_delete_file {CLIENT} $(cat /tmp/power.id); rm /tmp/power.id")
