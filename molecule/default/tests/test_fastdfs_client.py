"""What a writer sees: the article's command, typed by an ordinary user, puts the file on every storage of the group."""

from __future__ import annotations

import re
import time

import pytest

CLIENT = "/etc/fdfs/client.conf"
AS_ANYBODY = "runuser -u nobody -- env --chdir={folder} sh -c"


@pytest.fixture(scope="module")
def client(nodes):
    return nodes("fastdfs_clients")[0]


@pytest.fixture(scope="module")
def upload(client):
    """An uploaded image: its file id, its sha256, and the folder that it was uploaded from."""
    folder = client.check_output("mktemp -d")
    client.check_output(
        f"chmod 755 {folder} && head -c 123457 /dev/urandom >{folder}/linux.jpg && chmod 644 {folder}/linux.jpg"
    )
    # A storage that was restarted a moment ago takes uploads again after its next heart-beat.
    deadline = time.monotonic() + 30
    while True:
        tried = client.run(f"{AS_ANYBODY.format(folder=folder)} 'fdfs_upload_file {CLIENT} ./linux.jpg'")
        if tried.rc == 0 or time.monotonic() > deadline:
            break
        time.sleep(1)
    assert tried.rc == 0, tried.stderr
    file_id = tried.stdout.strip()
    yield file_id, client.check_output(f"sha256sum {folder}/linux.jpg").split()[0], folder
    client.run(f"fdfs_delete_file {CLIENT} {file_id}; rm -rf {folder}")


def storage_settings(host) -> dict[str, str]:
    return dict(re.findall(r"(?m)^(\w+) = (.*)$", host.file("/etc/fdfs/storage.conf").content_string))


def place(file_id: str, own: dict[str, str]) -> str:
    """Where a storage keeps that file: M00 is store_path0, and so on."""
    _, path, name = file_id.split("/", 2)
    return f"{own[f'store_path{int(path[1:], 16)}']}/data/{name}"


def test_the_upload_answers_with_a_file_id(upload):
    assert re.fullmatch(
        r"[A-Za-z0-9]{1,16}/M[0-9A-F]{2}/[0-9A-F]{2}/[0-9A-F]{2}/[\w-]{27}\d+\.jpg", upload[0]
    )


def test_the_file_lands_on_every_storage_of_its_group(upload, nodes):
    file_id, sha256, _ = upload
    group = file_id.split("/")[0]
    hosts = [host for host in nodes("fastdfs_storages") if storage_settings(host)["group_name"] == group]
    assert hosts
    for host in hosts:
        path = place(file_id, storage_settings(host))
        deadline = time.monotonic() + 30
        while not host.file(path).exists:
            assert time.monotonic() < deadline, f"{file_id} has not reached {host.name} after 30 s"
            time.sleep(0.5)
        assert host.file(path).sha256sum == sha256, host.name
        assert host.file(path).user == "fastdfs", host.name


def test_the_download_is_the_same_file(upload, client):
    file_id, sha256, _ = upload
    back = client.check_output("mktemp -d")
    client.check_output(f"cd {back} && fdfs_download_file {CLIENT} {file_id} back.jpg")
    assert client.check_output(f"sha256sum {back}/back.jpg; rm -rf {back}").split()[0] == sha256


def test_the_tracker_knows_where_it_came_from(upload, client, nodes):
    told = client.check_output(f"fdfs_file_info {CLIENT} {upload[0]}")
    source = re.search(r"source ip address: (\S+)", told).group(1)
    assert source in {storage_settings(host)["bind_addr"] for host in nodes("fastdfs_storages")}
    assert "file size: 123457" in told


def test_a_deleted_file_is_gone_everywhere(client, nodes):
    folder = client.check_output("mktemp -d")
    client.check_output(f"head -c 999 /dev/urandom >{folder}/gone.jpg")
    file_id = client.check_output(f"fdfs_upload_file {CLIENT} {folder}/gone.jpg; rm -rf {folder}")
    time.sleep(3)
    client.check_output(f"fdfs_delete_file {CLIENT} {file_id}")
    for host in nodes("fastdfs_storages"):
        own = storage_settings(host)
        deadline = time.monotonic() + 30
        while own["group_name"] == file_id.split("/")[0] and host.file(place(file_id, own)).exists:
            assert time.monotonic() < deadline, f"{file_id} is still on {host.name}"
            time.sleep(0.5)
