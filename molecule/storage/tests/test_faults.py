"""A storage or a tracker fails while clients upload: what was acknowledged is on every replica and in the backup afterwards."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from traffic import active, small_disk

pytestmark = pytest.mark.real_fastdfs

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
START = "fdfs-storaged.service"


def named_after_unclean_stops(host) -> int:
    """How many files the journal says got their lines in the binlog."""
    said = host.run(f"journalctl --quiet --output=cat --unit={START}").stdout.splitlines()
    return sum(int(line.split()[2]) for line in said if line.startswith("Unclean stop: "))


def test_a_killed_storage_s_images_reach_the_replicas_and_the_backup(node, nodes, hostvars, writing, wait):
    server, address = node("image1"), hostvars("image1")["ansible_host"]
    before = named_after_unclean_stops(server)
    # The moment decides how many lines were in memory; that none were, three times, is not believed.
    for _ in range(3):
        with writing() as ledger:
            time.sleep(5)
            server.check_output(f"systemctl kill --signal=KILL {START}")
            # It is started again by itself.
            wait(lambda: server.service("fdfs-storaged").is_running, "the storage is back", 60)
            time.sleep(3)
        wait(lambda: active(nodes, address), "the storage is ACTIVE", 60)
        assert ledger.acknowledged > 50
        assert ledger.missing() == {}
        if named_after_unclean_stops(server) > before:
            return
    raise AssertionError("no image was named after an unclean stop")


def test_a_clean_stop_leaves_nothing_to_mend(node, nodes, hostvars, wait):
    server, address = node("image1"), hostvars("image1")["ansible_host"]
    since = server.check_output("date +%s")
    server.check_output(f"systemctl restart {START}")
    assert (
        "Unclean" not in server.run(f"journalctl --quiet --output=cat --unit={START} --since=@{since}").stdout
    )
    wait(lambda: active(nodes, address), "the storage is ACTIVE", 60)


@pytest.mark.parametrize("name", ["tracker1", "tracker2"])
def test_one_of_two_trackers_may_die(node, writing, wait, name):
    """Writers ask the first one first."""
    tracker = node(name)
    with writing() as ledger:
        time.sleep(2)
        tracker.check_output("systemctl stop fdfs-trackerd")
        time.sleep(5)
        tracker.check_output("systemctl start fdfs-trackerd")
        time.sleep(2)
        tracker.check_output("systemctl kill --signal=KILL fdfs-trackerd")
        wait(lambda: tracker.service("fdfs-trackerd").is_running, "it is started again by itself", 30)
        time.sleep(2)
    assert ledger.acknowledged > 50
    assert ledger.missing() == {}


def test_a_tracker_that_dies_after_a_storage_has_left_starts_again(node, wait):
    """It takes the storage out of one of its files at once, and out of the other when it is written next."""
    tracker, known = node("tracker2"), "/var/lib/fastdfs/tracker/data/storage_sync_timestamp.dat"
    tracker.check_output("systemctl restart fdfs-trackerd")
    wait(lambda: tracker.file(known).exists and tracker.file(known).size > 0, "the file is written", 60)
    # As if there had been one more.
    tracker.check_output(f"sed -i 's/$/,0/' {known} && systemctl kill --signal=KILL fdfs-trackerd")
    wait(
        lambda: tracker.run("systemctl is-active fdfs-trackerd").stdout.strip() == "active",
        "it runs again",
        30,
    )
    time.sleep(3)
    assert tracker.service("fdfs-trackerd").is_running


def test_an_emptied_storage_does_not_start_before_it_has_left_and_then_gets_everything_back(
    node, nodes, hostvars, begin, writing, wait, stores
):
    """FastDFS would make it ACTIVE with what is uploaded from then on, and nothing of before."""
    server, address = node("image3"), hostvars("image3")["ansible_host"]
    with writing() as before:
        time.sleep(3)
    # They are old to everybody when it is emptied.
    assert before.missing() == {}
    time.sleep(10)
    folders = " ".join(f"{path}/data" for path in [*stores("image3"), "/var/lib/fastdfs/storage"])
    server.check_output(f"systemctl stop {START} && rm -rf {folders}")
    wait(lambda: not active(nodes, address), "trackers know that it stopped", 30)
    assert server.run(f"timeout 20 systemctl start {START}").rc != 0
    said = server.check_output(f"journalctl --quiet --output=cat --unit={START} --lines=40")
    assert "knows this storage as OFFLINE, and it has nothing in /var/lib/fastdfs/storage" in said
    refused = begin(PLAYBOOKS / "site.yml", "--limit", "fastdfs_storages,fastdfs_trackers")()
    assert refused.status != 0
    assert "Run replace_storage.yml -e server=image3" in " ".join(refused.said.split())
    assert not active(nodes, address)
    with writing() as ledger:
        time.sleep(3)
        replaced = begin(PLAYBOOKS / "replace_storage.yml", "-e", "server=image3")()
        time.sleep(2)
    assert replaced.status == 0, replaced.said
    assert before.acknowledged > 50 and ledger.acknowledged > 50
    assert before.missing() == {} and ledger.missing() == {}


def test_a_full_archive_is_said_and_loses_nothing(node, nodes, writing, wait):
    backup, state = node("backup1"), "/var/lib/fastdfs/backup/backup1/state.json"
    with small_disk(backup, "/srv/fastdfs-backup", "fdfs-backup-keep", spare=4) as resize:
        with writing() as ledger:
            wait(
                lambda: any(
                    json.loads(host.file(state).content_string)["trouble"]
                    for host in nodes("fastdfs_storages")
                ),
                "a storage says that it cannot ship",
                120,
            )
        assert "backup1" in ledger.missing(0)
        resize(500)
        assert ledger.missing(120) == {}


def test_a_storage_whose_disk_is_full_lacks_nothing_later(node, nodes, hostvars, wait, stored):
    server, address = node("image3"), hostvars("image3")["ansible_host"]
    client = nodes("fastdfs_clients")[0]
    # Trackers would choose the other group.
    upload = f"fdfs_upload_file /etc/fdfs/client.conf /usr/bin/env {hostvars('image1')['ansible_host']}:23000"
    with small_disk(server, "/data/fastdfs", "fdfs-storaged", spare=50):
        wait(lambda: active(nodes, address), "the storage is ACTIVE", 60)
        # Full before trackers know it: what another storage acknowledges cannot be replicated.
        assert server.run("dd if=/dev/zero of=/data/fastdfs/filler bs=4k").rc != 0
        ids = [client.check_output(upload) for _ in range(10)]
        # A second store path has a disk of its own.
        files = [server.file(stored("image3", each)) for each in ids if "/M00/" in each]
        assert len(files) >= 5
        time.sleep(8)
        assert not any(file.exists and file.size == node("image1").file(file.path).size for file in files)
        server.check_output("rm /data/fastdfs/filler")
        wait(
            lambda: all(file.exists and file.size == node("image1").file(file.path).size for file in files),
            "replicated",
            120,
        )
        expected = client.file("/usr/bin/env").sha256sum
        assert {file.sha256sum for file in files} == {expected}
    wait(lambda: active(nodes, address), "the storage is ACTIVE", 60)
    for each in ids:
        client.check_output(f"fdfs_delete_file /etc/fdfs/client.conf {each}")
