"""The simulator with itself: what its commands and daemons do, as a user of a cluster sees it."""

from __future__ import annotations

import os
import re
import shutil
import signal

import pytest
from fdfs_cluster import Daemon, wait_for
from fdfs_simulator import wire


def wait_for_files(storage, files):
    """Until the storage server has exactly these contents by file id."""
    for file_id, content in files.items():
        wait_for(storage.file(file_id).exists, what=f"{file_id} on {storage.address}")
        assert storage.file(file_id).read_bytes() == content


def test_a_file_reaches_both_storages_comes_back_and_goes(cluster, simulated):
    cluster.tracker(simulated)
    storages = [cluster.storage(simulated, 21), cluster.storage(simulated, 22)]
    cluster.wait_active(simulated, *storages)
    content = os.urandom(100_000)
    file_id = cluster.upload(simulated, content)
    assert re.fullmatch(r"group1/M00/00/00/[\w-]{27}\d{3}\.jpg", file_id)
    name = file_id.partition("/")[2]
    for storage in storages:
        wait_for_files(storage, {file_id: content})
    assert cluster.download(simulated, file_id) == content
    assert cluster.client(simulated, "download_file", file_id, "part", "10", "5") == ""
    assert (cluster.directory / "part").read_bytes() == content[10:15]
    info = cluster.client(simulated, "file_info", file_id)
    assert f"file size: 100000\nfile crc32: {wire.crc32(content)} " in info
    cluster.client(simulated, "delete_file", file_id)
    for storage in storages:
        wait_for(lambda storage=storage: not storage.file(file_id).exists(), what="the file to go")
    by_source = wire.FileName.decode(file_id).source
    for storage in storages:
        expected = [("C", name), ("D", name)] if storage.address == by_source else [("c", name), ("d", name)]
        wait_for(
            lambda storage=storage, expected=expected: storage.binlog() == expected, what=f"binlog {expected}"
        )
    assert cluster.client(simulated, "delete_file", file_id, check=False).returncode == 2


def test_uploads_go_to_each_storage_in_turn_and_to_the_next_directory(cluster, simulated):
    cluster.tracker(simulated)
    storages = [cluster.storage(simulated, host, file_distribute_rotate_count=2) for host in (21, 22)]
    cluster.wait_active(simulated, *storages)
    files = {cluster.upload(simulated, content): content for content in (os.urandom(50) for _ in range(8))}
    sources = [wire.FileName.decode(file_id).source for file_id in files]
    assert sorted(sources) == sorted([storages[0].address, storages[1].address] * 4)
    directories = {file_id.split("/")[3] for file_id in files}
    assert len(directories) > 1
    for storage in storages:
        wait_for_files(storage, files)


@pytest.mark.parametrize(("store_server", "chosen"), [(1, 0), (2, 1)])
def test_one_storage_takes_all_uploads(cluster, prefix, store_server, chosen):
    cluster.tracker(prefix, store_server=store_server)
    storages = []
    for number, priority in enumerate([5, 0]):
        storages.append(cluster.storage(prefix, 21 + number, upload_priority=priority))
        cluster.wait_active(prefix, *storages)
    sources = {wire.FileName.decode(cluster.upload(prefix, b"x")).source for _ in range(4)}
    assert sources == {storages[chosen].address}


@pytest.mark.parametrize(("store_lookup", "groups"), [(0, {"group1", "group2"}), (1, {"group2"})])
def test_uploads_go_to_the_groups_that_the_tracker_is_told(cluster, prefix, store_lookup, groups):
    cluster.tracker(prefix, store_lookup=store_lookup, store_group="group2")
    storages = [cluster.storage(prefix, 20 + number, group_name=f"group{number}") for number in (1, 2)]
    cluster.wait_active(prefix, *storages)
    assert {cluster.upload(prefix, b"x").partition("/")[0] for _ in range(4)} == groups


def test_a_new_storage_and_a_wiped_one_get_the_old_files(cluster, simulated):
    cluster.tracker(simulated)
    first = cluster.storage(simulated, 21)
    cluster.wait_active(simulated, first)
    files = {cluster.upload(simulated, content): content for content in (b"1", b"22", b"333")}
    second = cluster.storage(simulated, 22)
    cluster.wait_active(simulated, first, second)
    wait_for_files(second, files)
    for _ in range(4):
        content = os.urandom(10)
        files[cluster.upload(simulated, content)] = content
    wait_for_files(first, files)
    second.stop(signal.SIGKILL)
    wait_for(lambda: cluster.states(simulated)[second.address] == "OFFLINE", what="OFFLINE")
    shutil.rmtree(second.base / "data")
    second.start()
    cluster.wait_active(simulated, first, second)
    wait_for_files(second, files)


def test_a_storage_that_was_away_gets_what_it_missed(cluster, simulated):
    cluster.tracker(simulated)
    first, second = cluster.storage(simulated, 21), cluster.storage(simulated, 22)
    cluster.wait_active(simulated, first, second)
    second.stop()
    wait_for(lambda: cluster.states(simulated)[second.address] == "OFFLINE", what="OFFLINE")
    files = {cluster.upload(simulated, b"while away"): b"while away"}
    second.start()
    wait_for_files(second, files)


def test_what_is_acknowledged_stands_in_the_binlog(cluster, simulated):
    cluster.tracker(simulated)
    storage = cluster.storage(simulated, 21)
    cluster.wait_active(simulated, storage)
    name = cluster.upload(simulated, b"x").partition("/")[2]
    assert storage.binlog() == [("C", name)]
    storage.stop(signal.SIGKILL)
    assert storage.binlog() == [("C", name)]


def test_one_of_two_trackers_is_enough(cluster, simulated):
    trackers = [cluster.tracker(simulated, 10), cluster.tracker(simulated, 11)]
    storage = cluster.storage(simulated, 21)
    cluster.wait_active(simulated, storage)
    trackers[0].stop()
    wait_for(lambda: cluster.client(simulated, "upload_file", storage.conf, check=False).returncode == 0)


def test_without_an_active_storage_an_upload_is_status_2(cluster, simulated):
    cluster.tracker(simulated)
    assert cluster.client(simulated, "upload_file", __file__, check=False).returncode == 2


def test_without_a_tracker_the_client_says_which(cluster, simulated):
    cluster.tracker(simulated).stop()
    result = cluster.client(simulated, "upload_file", __file__, check=False)
    assert result.returncode == 111
    assert f"connect to {cluster.network}.10:22122 fail" in result.stderr


def test_a_daemon_says_what_it_is_and_starts_once(cluster, simulated):
    tracker = cluster.tracker(simulated)
    assert tracker.log().splitlines()[0].endswith("not for data that matters")
    assert "SIMULATOR" in tracker.log().splitlines()[0]
    assert tracker.run("start").returncode == 98
    assert int(tracker.pid_file.read_text()) == tracker.pid
    assert tracker.run("stop").returncode == 1


@pytest.mark.parametrize(
    ("kind", "settings", "status"),
    [
        ("tracker", {"base_path": "/nowhere/at/all"}, 2),
        ("tracker", {"bind_addr": "192.0.2.1"}, 99),
        ("storage", {"tracker_server": "127.0.0.1:22122", "group_name": "group1"}, 22),
        ("storage", {"tracker_server": "127.0.0.2:22122", "group_name": "no good"}, 22),
        (
            "storage",
            {"tracker_server": "127.0.0.2:22122", "group_name": "g", "subdir_count_per_path": 300},
            22,
        ),
        ("storage", {"tracker_server": "127.0.0.2", "group_name": "g"}, 22),
        ("storage", {"group_name": "g"}, 22),
    ],
)
def test_wrong_settings_end_with_a_status(cluster, simulated, kind, settings, status):
    daemon = Daemon(cluster, simulated, kind, f"{cluster.network}.30", port=22122, **settings)
    result = daemon.run("start", timeout=10)
    assert (result.returncode, bool(result.stderr)) == (status, True)


@pytest.mark.parametrize(
    "name", ["M00/00/00/../../../../etc/passwd", "M00/../../../../../etc/passwd", "M07/00/00/a", "x"]
)
def test_storages_give_and_delete_nothing_outside_their_store(cluster, simulated, name):
    cluster.tracker(simulated)
    storage = cluster.storage(simulated, 21)
    body = wire.pad("group1") + name.encode()
    for command, head in ((wire.Cmd.DELETE, b""), (wire.Cmd.DOWNLOAD, bytes(16)), (wire.Cmd.FILE_INFO, b"")):
        with wire.connect((storage.address, 23000)) as sock, pytest.raises(OSError, match="Invalid argument"):
            wire.call(sock, command, head + body)


def test_after_a_malformed_request_the_server_closes(cluster, simulated):
    tracker = cluster.tracker(simulated)
    for command, body in ((wire.Cmd.JOIN, b"short"), (200, b""), (wire.Cmd.BEAT, b"")):
        with wire.connect((tracker.address, 22122)) as sock:
            with pytest.raises(OSError, match="Invalid argument"):
                wire.call(sock, command, body)
            assert sock.recv(1) == b""


def test_members_of_a_group_are_alike(cluster, simulated):
    cluster.tracker(simulated)
    first = cluster.storage(simulated, 21)
    cluster.wait_active(simulated, first)
    other = cluster.storage(simulated, 22, subdir_count_per_path=5)
    wait_for(lambda: "Invalid argument" in other.log(), what="the refusal")
    assert other.address not in cluster.states(simulated)


def test_a_tracker_remembers_who_is_offline(cluster, simulated):
    tracker = cluster.tracker(simulated)
    storage = cluster.storage(simulated, 21)
    cluster.wait_active(simulated, storage)
    storage.stop()
    tracker.stop()
    tracker.start()
    assert cluster.states(simulated) == {storage.address: "OFFLINE"}


def test_a_tracker_that_was_away_learns_of_its_storages_again(cluster, simulated):
    tracker = cluster.tracker(simulated)
    first, second = cluster.storage(simulated, 21), cluster.storage(simulated, 22)
    cluster.wait_active(simulated, first, second)
    tracker.stop()
    tracker.start()
    cluster.wait_active(simulated, first, second)
    wait_for_files(second, {cluster.upload(simulated, content): content for content in (b"1", b"22")})
    wait_for_files(first, {cluster.upload(simulated, content): content for content in (b"3", b"44")})
