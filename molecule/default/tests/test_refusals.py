"""What goes wrong on a host while a role works: it stops, says so, and what runs and what is on the disk stay as they were."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
MAKE = """#!/bin/sh
# upstream's scripts go on when the compiler fails, and succeed
gcc -o fdfs_trackerd broken.c
true
"""


def archive(path: Path, version: str, files: dict[str, str]) -> dict[str, str]:
    """A source archive like upstream's, and how a release's ingredients name it."""
    with tarfile.open(path, "w:gz") as target:
        for file, content in files.items():
            entry = tarfile.TarInfo(f"{path.name.split('.tar')[0]}/{file}")
            entry.size, entry.mode = len(content), 0o755
            target.addfile(entry, io.BytesIO(content.encode()))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"version": version, "file": path.name, "sha256": digest, "url": ""}


@contextmanager
def hung(storage, tracker) -> Iterator[None]:
    """The storage hangs, and the tracker has forgotten that it was ACTIVE."""
    pid = storage.check_output("systemctl show --property=MainPID --value fdfs-storaged")
    storage.check_output(f"kill -STOP {pid}")
    try:
        tracker.check_output("systemctl restart fdfs-trackerd")
        yield
    finally:
        storage.check_output(f"kill -CONT {pid}")


@pytest.fixture(scope="module")
def refused(begin_role, node, hostvars, tmp_path_factory):
    """How each refused run ended. They work on different hosts (or different daemons of one), so they run at once."""
    folder = tmp_path_factory.mktemp("refused")
    tracker = hostvars("tracker1")["ansible_host"]
    broken = archive(
        folder / "fastdfs-0.1.tar.gz", "0.1", {"make.sh": MAKE, "broken.c": "int main() { return nobody; }\n"}
    )
    runs = {
        "compiler": (
            "fastdfs_release",
            "reader1",
            {
                "fastdfs_release_archives": {"fastdfs": broken},
                "fastdfs_release_sources": str(folder),
                "fastdfs_release_cache": str(folder / "cache"),
                "fastdfs_release_build_packages": ["gcc", "libc6-dev"],
            },
        ),
        "tracker": (
            "fastdfs_storage",
            "image1",
            {"fastdfs_storage_trackers": [f"{tracker}:22123"], "fastdfs_storage_tracker_timeout": 4},
        ),
        "storage": (
            "fastdfs_storage",
            "image2",
            {"fastdfs_storage_active_timeout": 4},
        ),
        "nginx": ("nginx", "image2", {"nginx_image_server_raw": "no_such_directive on;"}),
        "store": (
            "nginx",
            "image1",
            {"nginx_image_store_paths": ["/data/fastdfs", "/var/tmp/closed"]},
        ),
        "nftables": (
            "firewall",
            "tracker1",
            {
                "firewall_image_rules": [
                    {"name": "x", "protocol": "tcp", "ports": [22122], "sources": ["10.0.0.999"]}
                ]
            },
        ),
    }
    node("image1").check_output("install -d -m 700 /var/tmp/closed /var/tmp/closed/data")
    with hung(node("image2"), node("tracker1")):
        ends = {name: begin_role(role, host, **variables) for name, (role, host, variables) in runs.items()}
        return {name: end() for name, end in ends.items()}


def test_a_compiler_that_fails_is_quoted(refused, node):
    run = refused["compiler"]
    assert run.status != 0
    assert "FastDFS could not be built on reader1." in run.said
    assert "error: " in run.said and "nobody" in run.said, run.said
    assert not node("reader1").file("/opt/fastdfs/current").exists


def test_a_tracker_that_does_not_answer_is_named_with_the_time_it_had(refused, node):
    run = refused["tracker"]
    assert run.status != 0
    assert ":22123 did not answer image1 within 4 s, so nothing was changed." in run.said, run.said
    assert run.changed["image1"] == 0
    assert node("image1").run("sha256sum --check --quiet /run/fdfs-storaged/started").rc == 0


def test_a_storage_that_does_not_become_active_is_named_with_what_the_tracker_says(refused):
    run = refused["storage"]
    assert run.status != 0
    assert "The storage image2 of group1 is not ACTIVE after 4 s: " in run.said, run.said
    assert ":22122 says OFFLINE." in run.said


def test_nginx_keeps_serving_when_it_refuses_its_configuration(refused, node):
    run = refused["nginx"]
    assert run.status != 0
    assert 'unknown directive \\"no_such_directive\\"' in run.said, run.said
    answer = node("image2").check_output("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1/")
    assert answer == "200"
    # It would also start with what is on the disk.
    assert node("image2").run("nginx -t").rc == 0


def test_a_store_that_nginx_cannot_read_is_named_and_the_site_stays(refused, node):
    run = refused["store"]
    assert run.status != 0
    assert "www-data cannot read the store /var/tmp/closed/data (name a group that may" in run.said, run.said
    assert "/var/tmp/closed" not in node("image1").file("/etc/nginx/conf.d/nginx_image.conf").content_string


def test_a_port_that_somebody_else_has_is_named_and_the_site_stays(refused, begin_role, node):
    host = node("image1")
    host.check_output("systemd-run --quiet --collect --unit=other python3 -m http.server 81")
    try:
        run = begin_role("nginx", "image1", nginx_image_ports=[80, 81])()
    finally:
        host.check_output("systemctl stop other")
    assert run.status != 0
    assert "port 81 is taken by python3 (process " in run.said, run.said
    assert "listen 81" not in host.file("/etc/nginx/conf.d/nginx_image.conf").content_string


def test_the_firewall_keeps_its_rules_when_nftables_refuses_new_ones(refused, node):
    run = refused["nftables"]
    assert run.status != 0
    assert "10.0.0.999" in run.said, run.said
    rules = node("tracker1").check_output("nft list table inet firewall_image")
    assert "10.0.0.999" not in rules and "22122" in rules


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--check", "--diff"], id="check"),
        pytest.param([], id="run", marks=pytest.mark.long),
    ],
)
def test_everything_is_as_it_was(refused, begin, words):
    again = begin(PROJECT / "playbooks" / "site.yml", *words)()
    assert again.status == 0, again.said
    assert set(again.changed.values()) == {0}, again.said
