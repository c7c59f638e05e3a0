"""Storages have ids: trackers know them by these, and the names of images tell them."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.storage_ids(True)

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
SERVERS = ("image1", "image2", "image3", "image4")


def test_trackers_list_storages_by_their_ids(nodes, hostvars):
    wanted = {str(hostvars(name)["fastdfs_storage_id"]): hostvars(name)["ansible_host"] for name in SERVERS}
    for tracker in nodes("fastdfs_trackers"):
        address = hostvars(tracker.name)["ansible_host"]
        conf = f"/var/tmp/{tracker.name}.conf"
        client = nodes("fastdfs_clients")[0]
        client.check_output(f"echo 'tracker_server = {address}:22122' >{conf}")
        said = client.check_output(f"fdfs_monitor {conf}; rm {conf}")
        assert dict(re.findall(r"(?m)^\s+id = (\S+)\s+ip_addr = (\S+) ", said)) == wanted


@pytest.mark.parametrize("server", SERVERS)
def test_a_file_id_tells_the_id_of_its_source(nodes, hostvars, server):
    client = nodes("fastdfs_clients")[0]
    storage = f"{hostvars(server)['ansible_host']}:23000"
    file_id = client.check_output(f"fdfs_upload_file /etc/fdfs/client.conf /etc/hostname {storage}")
    try:
        stem = base64.urlsafe_b64decode(file_id.rsplit("/", 1)[1][:27] + "=")
        assert int.from_bytes(stem[:4], "little") == hostvars(server)["fastdfs_storage_id"]
        told = client.check_output(f"fdfs_file_info /etc/fdfs/client.conf {file_id}")
        assert f"source storage id: {hostvars(server)['fastdfs_storage_id']}" in told
    finally:
        client.check_output(f"fdfs_delete_file /etc/fdfs/client.conf {file_id}")


@pytest.mark.real_fastdfs
@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ({name: {"fastdfs_storage_id": ""} for name in SERVERS}, "tracker1 knows storages by ids (10"),
        ({"image4": {"fastdfs_storage_id": 9}}, "tracker1 knows the storage 104 of group2 (10.206.0.24)"),
    ],
)
def test_a_running_cluster_keeps_its_ids(begin, tmp_path, hosts, expected):
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    played = begin(PLAYBOOKS / "preflight.yml", f"--inventory={inventory}")()
    assert played.status != 0
    assert expected in " ".join(played.said.split())
