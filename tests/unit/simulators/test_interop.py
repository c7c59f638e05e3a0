"""The simulator against real FastDFS 5.05, both ways round. Runs where there is a real one (fdfs_fixtures.py)."""

from __future__ import annotations

import os
import re
import time

import pytest
from fdfs_cluster import wait_for
from fdfs_fixtures import needs_real
from fdfs_simulator import wire

pytestmark = needs_real


def round_trip(cluster, client, storages, content):
    """Upload; every storage gets it; download, info, delete; every storage loses it. Returns the file id."""
    file_id = cluster.upload(client, content)
    for storage in storages:
        wait_for(storage.file(file_id).exists, 40, f"{file_id} on {storage.address}")
        assert storage.file(file_id).read_bytes() == content
    assert cluster.download(client, file_id) == content
    info = dict(line.split(": ", 1) for line in cluster.client(client, "file_info", file_id).splitlines())
    assert info["file size"] == str(len(content))
    assert info["file crc32"].startswith(f"{wire.crc32(content)} ")
    assert info["source ip address"] in [storage.address for storage in storages]
    cluster.client(client, "delete_file", file_id)
    for storage in storages:
        wait_for(lambda storage=storage: not storage.file(file_id).exists(), 40, f"{file_id} to go")
    return file_id


def test_real_clients_on_a_simulated_cluster(cluster, simulated, real):
    cluster.tracker(simulated)
    storages = [cluster.storage(simulated, 21), cluster.storage(simulated, 22)]
    cluster.wait_active(real, *storages)
    for size in (0, 1, 100, 1_000_000):
        round_trip(cluster, real, storages, os.urandom(size))
    monitor = cluster.client(real, "monitor")
    for said in ("group count: 1", "storage server count = 2", "active server count = 2", "version = 5.05"):
        assert said in monitor

    def uploads():
        return sum(map(int, re.findall(r"success_upload_count = (\d+)", cluster.client(real, "monitor"))))

    wait_for(lambda: uploads() == 4, what="the uploads to be reported")
    missing = cluster.client(real, "delete_file", f"group1/M00/00/00/{'A' * 27}1234567", check=False)
    assert missing.returncode == 2


def test_simulated_clients_on_a_real_cluster(cluster, simulated, real):
    cluster.tracker(real)
    storages = [cluster.storage(real, 21), cluster.storage(real, 22)]
    cluster.wait_active(simulated, *storages, seconds=60)
    for size in (1, 100, 1_000_000):
        round_trip(cluster, simulated, storages, os.urandom(size))
    missing = cluster.client(simulated, "delete_file", f"group1/M00/00/00/{'A' * 27}1234567", check=False)
    assert missing.returncode == 2


@pytest.mark.parametrize("first", ["simulated", "real"])
def test_a_real_and_a_simulated_storage_in_one_group(cluster, simulated, real, first):
    prefixes = {"simulated": simulated, "real": real}
    second = {"simulated": "real", "real": "simulated"}[first]
    cluster.tracker(simulated)
    old = cluster.storage(prefixes[first], 21)
    cluster.wait_active(real, old, seconds=60)
    before = {cluster.upload(real, content): content for content in (os.urandom(1000) for _ in range(5))}
    time.sleep(2)
    new = cluster.storage(prefixes[second], 22)
    cluster.wait_active(real, old, new, seconds=60)
    for file_id, content in before.items():
        wait_for(new.file(file_id).exists, what=f"the old file {file_id} on the new storage")
        assert new.file(file_id).read_bytes() == content
    sources = set()
    for client in (real, simulated, real, simulated):
        file_id = round_trip(cluster, client, [old, new], os.urandom(5000))
        sources.add(wire.FileName.decode(file_id).source)
    assert sources == {old.address, new.address}


def test_file_ids_are_read_alike(cluster, simulated, real):
    cluster.tracker(simulated)
    cluster.wait_active(simulated, cluster.storage(simulated, 21))
    for size in (0, 77, 70_000):
        file_id = cluster.upload(simulated, os.urandom(size), "photo.jpeg")
        assert cluster.client(real, "file_info", file_id) == cluster.client(simulated, "file_info", file_id)


def test_real_storage_survives_a_restart_of_the_simulated_tracker(cluster, simulated, real):
    tracker = cluster.tracker(simulated)
    storage = cluster.storage(real, 21)
    cluster.wait_active(simulated, storage, seconds=60)
    tracker.stop()
    tracker.start()
    cluster.wait_active(simulated, storage, seconds=60)
