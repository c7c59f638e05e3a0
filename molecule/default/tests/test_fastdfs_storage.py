"""What the storage servers owe: they are in the trackers' lists, and their files are for the group only."""

from __future__ import annotations

import re
import time

import pytest

CONFIGURATION = "/etc/fdfs/storage.conf"


def settings(host) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"(?m)^(\w+) = (.*)$", host.file(CONFIGURATION).content_string):
        found.setdefault(key, []).append(value)
    return found


def store_paths(host) -> list[str]:
    own = settings(host)
    return [own[f"store_path{number}"][0] for number in range(int(own["store_path_count"][0]))]


@pytest.fixture(scope="module")
def storages(nodes):
    return nodes("fastdfs_storages")


def listed(host, tracker: str) -> dict[str, str]:
    """Address to status, as that tracker lists the host's group."""
    own = settings(host)
    question = f"connect_timeout = 3\\ntracker_server = {tracker}\\n"
    answer = host.check_output(
        f"file=$(mktemp) && printf '{question}' >$file && RES_OPTIONS='timeout:1 attempts:1' "
        f"fdfs_monitor $file list {own['group_name'][0]} 2>/dev/null; rm -f $file"
    )
    return {line.split()[2]: line.split()[-1] for line in answer.splitlines() if "ip_addr = " in line}


def test_every_tracker_lists_every_storage_as_active(storages):
    for host in storages:
        own = settings(host)
        for tracker in own["tracker_server"]:
            # A test before this one may have killed a daemon: it is ACTIVE again with the next heart-beats.
            deadline = time.monotonic() + 60
            status = None
            while status != "ACTIVE" and time.monotonic() < deadline:
                status = listed(host, tracker).get(own["bind_addr"][0])
                time.sleep(0 if status == "ACTIVE" else 1)
            assert status == "ACTIVE", f"{host.name} stands as {status} at {tracker}"


def test_store_paths_are_for_fastdfs_and_its_group_only(storages):
    for host in storages:
        for path in store_paths(host):
            directory = host.file(path)
            assert (directory.user, directory.group, directory.mode) == ("fastdfs", "fastdfs", 0o750), path
            assert host.run(f"runuser -u nobody -- ls {path}").rc != 0, path
            reader = "setpriv --reuid nobody --regid nogroup --groups fastdfs"
            assert host.run(f"{reader} ls {path}/data/00/00").rc == 0, path


def test_the_daemon_can_write_its_store_paths(storages):
    for host in storages:
        pid = host.check_output("systemctl show --property=MainPID --value fdfs-storaged")
        for path in store_paths(host):
            inside = f"nsenter --mount --target {pid}"
            assert host.run(f"{inside} sh -c 'touch {path}/probe && rm {path}/probe'").rc == 0, path


def test_the_service_waits_for_the_disk_of_its_images(storages):
    for host in storages:
        needed = host.check_output(
            "systemctl show --property=RequiresMountsFor --value fdfs-storaged"
        ).split()
        assert set(store_paths(host)) <= set(needed), host.name


def test_the_binlog_is_flushed_every_second(storages):
    for host in storages:
        assert settings(host)["sync_binlog_buff_interval"] == ["1"], host.name


def test_what_was_acknowledged_is_on_the_disk_within_seconds(storages, nodes):
    """A file system gives a file its blocks when it writes it: as long as it is in memory only, it has none."""
    host, client = storages[0], nodes("fastdfs_clients")[0]
    own = settings(host)
    to = f"{own['bind_addr'][0]}:{own['port'][0]}"

    def in_memory(path: str) -> bool:
        return "delalloc" in host.check_output(f"filefrag -v {path}")

    made = []
    for _ in range(5):
        made.append(client.check_output(f"fdfs_upload_file /etc/fdfs/client.conf /usr/bin/env {to}"))
        path = f"{store_paths(host)[0]}/data/{made[-1].split('/', 2)[2]}"
        if in_memory(path):
            break
    else:
        raise AssertionError("every image was on the disk at once: this cannot be looked at here")
    time.sleep(8)
    assert not in_memory(path)
    for file_id in made:
        client.check_output(f"fdfs_delete_file /etc/fdfs/client.conf {file_id}")


def test_the_store_has_the_directories_that_the_group_agreed_on(storages):
    for host in storages:
        count = int(settings(host)["subdir_count_per_path"][0])
        for path in store_paths(host):
            for level in (f"{path}/data", f"{path}/data/00"):
                directories = host.check_output(f"find {level} -mindepth 1 -maxdepth 1 -type d | wc -l")
                assert int(directories) == count, level
