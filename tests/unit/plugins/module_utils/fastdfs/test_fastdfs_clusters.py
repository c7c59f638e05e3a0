"""The client with whole clusters on loopback: of the simulator, and of real FastDFS where there is one (fdfs_fixtures.py)."""

from __future__ import annotations

import os
import time

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs import client as fastdfs
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs import wire
from fdfs_cluster import wait_for

MISSING = wire.file_id(f"group1/M00/00/00/{'A' * 27}1234567")


@pytest.fixture
def started(cluster, prefix):
    """A tracker with two storages that are ACTIVE; gives the storages' addresses."""
    cluster.tracker(prefix)
    storages = [cluster.storage(prefix, 21), cluster.storage(prefix, 22)]
    cluster.wait_active(prefix, *storages, seconds=60)
    return [wire.Address(storage.address, 23000) for storage in storages]


@pytest.fixture
def client(cluster, started):
    with fastdfs.Client([wire.Address(cluster.daemons[0].address, 22122)]) as made:
        yield made


def refusal(call, *arguments, **more):
    with pytest.raises(fastdfs.FastdfsError) as caught:
        call(*arguments, **more)
    return caught.value


def test_a_file_from_its_upload_to_its_end(client, started):
    for size in (1, 1000, 3_000_000):
        content = os.urandom(size)
        # The storage's clock is read by a thread of its own, once a second.
        before = int(time.time()) - 1
        file = client.upload(content, "jpg")
        assert (file.group, file.size, file.crc32) == ("group1", size, wire.crc32(content))
        assert before <= file.timestamp <= time.time()
        assert file.source in [host for host, _port in started]
        assert file.name.endswith(".jpg")
        for storage in started:
            wait_for(
                lambda storage=storage, file=file: holds(client, file, storage),
                40,
                f"{file} on {storage}",
            )
            assert client.download(file, storage=storage) == content
            info = client.file_info(file, storage)
            assert (info.size, info.crc32, info.source) == (size, file.crc32, file.source)
        assert client.download(file) == content
        assert client.download(file, size // 2, size - size // 2) == content[size // 2 :]
        assert client.query_fetch(file).address in started
        assert client.query_update(file).address in started
        client.delete(file)
        assert refusal(client.delete, file).status == 2


def holds(client, file, storage):
    try:
        return client.file_info(file, storage)
    except fastdfs.FastdfsError as error:
        assert error.status == 2
        return None


def test_an_upload_to_each_storage_by_name(client, started):
    for storage in started:
        file = client.upload(b"content", target=wire.Target("group1", storage))
        assert file.source == storage.host
        assert client.download(file, storage=storage) == b"content"


def test_groups_and_storages_are_listed(client, started):
    for _ in range(4):
        client.upload(b"content")
    [group] = client.list_groups()
    assert (group.name, group.storage_count, group.active_count) == ("group1", 2, 2)
    assert group.storage_port == 23000
    assert 0 < group.free_mb < group.total_mb

    def uploads():
        return sum(s.counters["success_upload_count"] for s in client.list_storages("group1"))

    wait_for(lambda: uploads() == 4, 40, "the uploads to be reported")
    storages = client.list_storages("group1")
    assert sorted(storage.address for storage in storages) == sorted(host for host, _port in started)
    for storage in storages:
        assert (storage.status, storage.version, storage.port) == ("ACTIVE", "5.05", 23000)
        assert abs(storage.last_heart_beat - time.time()) < 60
        assert 0 < storage.free_mb < storage.total_mb
    assert isinstance(client.tracker_status().leader, bool)


def test_what_is_not_there_is_status_2_and_what_is_foreign_22(client, started):
    for call in (client.download, client.file_info, client.delete):
        assert refusal(call, MISSING).status == 2
        foreign = MISSING._replace(group="group2")
        assert refusal(call, foreign).status == 2
        assert refusal(call, foreign, storage=started[0]).status == 22
    assert refusal(client.query_store, "group2").status == 2
    assert refusal(client.list_storages, "group2").status == 2
    # After all of that, the client still works.
    assert client.upload(b"content", group="group1").size == 7


def test_a_storage_that_is_gone_is_named(cluster, client, started):
    cluster.daemons[-1].stop()
    error = refusal(client.upload, b"content", target=wire.Target("group1", started[1]))
    assert error.kind == "refused"
    assert (
        str(error)
        == f"storage {started[1]}, asked to take a file of 7 bytes, could not be reached: Connection refused"
    )


def takes_uploads(client):
    try:
        return client.query_store()
    except fastdfs.FastdfsError as error:
        assert error.status == 2
        return None


def test_one_tracker_of_two_is_enough(cluster, prefix):
    trackers = [cluster.tracker(prefix, 10), cluster.tracker(prefix, 11)]
    storage = cluster.storage(prefix, 21)
    cluster.wait_active(prefix, storage, seconds=60)
    addresses = [wire.Address(tracker.address, 22122) for tracker in trackers]
    with fastdfs.Client(addresses[1:]) as second:
        wait_for(lambda: takes_uploads(second), 60, "the second tracker to know the storage")
    trackers[0].stop()
    with fastdfs.Client(addresses) as both:
        assert both.upload(b"content").source == storage.address
