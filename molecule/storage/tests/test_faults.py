"""A storage or a tracker fails while clients upload: what was acknowledged is on every replica and in the backup afterwards."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.real_fastdfs

START = "fdfs-storaged.service"


def active(nodes, server: str) -> bool:
    """Whether the trackers say that this storage takes uploads."""
    said = nodes("fastdfs_clients")[0].run("fdfs_monitor /etc/fdfs/client.conf").stdout
    return any(
        line.split()[-1] == "ACTIVE" for line in said.splitlines() if f"ip_addr = {server} " in f"{line} "
    )


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


def test_one_of_two_trackers_may_die(node, writing, wait):
    tracker = node("tracker2")
    with writing() as ledger:
        time.sleep(2)
        tracker.check_output("systemctl stop fdfs-trackerd")
        time.sleep(5)
        tracker.check_output("systemctl start fdfs-trackerd")
        time.sleep(2)
    assert ledger.acknowledged > 50
    assert ledger.missing() == {}


def test_a_wiped_storage_gets_everything_back(node, nodes, hostvars, writing, wait):
    server, address = node("image3"), hostvars("image3")["ansible_host"]
    with writing() as ledger:
        time.sleep(3)
        server.check_output(
            f"systemctl stop {START} && rm -rf /data/fastdfs/data /var/lib/fastdfs/storage/data && systemctl start {START}"
        )
        wait(lambda: active(nodes, address), "the storage is ACTIVE", 120)
        time.sleep(2)
    assert ledger.acknowledged > 50
    assert ledger.missing() == {}


@contextmanager
def small_disk(host, path: str, service: str, spare: int):
    """What lies below ``path`` is on a disk with so many MiB to spare meanwhile; resize(MiB) makes that more or less."""
    disk = f"/run/small-{service}"
    used = int(host.check_output(f"systemctl stop {service} && du -sm {path}").split()[0])
    host.check_output(
        f"mkdir {disk} && mount -t tmpfs -o size={used + spare}M tmpfs {disk} && cp -a {path}/. {disk}/ && chown --reference={path} {disk}"
        f" && chmod --reference={path} {disk} && mount --bind {disk} {path} && systemctl start {service}"
    )
    try:
        yield lambda more: host.check_output(f"mount -o remount,size={used + more}M {disk}")
    finally:
        host.check_output(
            f"systemctl stop {service} && umount {path} && rsync -a --delete {disk}/ {path}/ && umount {disk} && systemctl start {service}"
        )


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


def test_a_storage_whose_disk_is_full_lacks_nothing_later(node, nodes, hostvars, writing, wait):
    server, address = node("image3"), hostvars("image3")["ansible_host"]
    with small_disk(server, "/data/fastdfs", "fdfs-storaged", spare=200):
        wait(lambda: active(nodes, address), "the storage is ACTIVE", 60)
        with writing() as ledger:
            time.sleep(2)
            # It was full before trackers knew it: what the others have acknowledged cannot be replicated.
            server.run("dd if=/dev/zero of=/data/fastdfs/filler bs=1M")
            time.sleep(8)
            assert "image3" in ledger_now(nodes, ledger)
            server.check_output("rm /data/fastdfs/filler")
            time.sleep(2)
        assert ledger.acknowledged > 50
        assert ledger.missing(120) == {}
    wait(lambda: active(nodes, address), "the storage is ACTIVE", 60)


def ledger_now(nodes, ledger) -> dict[str, list]:
    """Who lacks something of what was acknowledged up to now."""
    ledger.lines = nodes("fastdfs_clients")[0].check_output("cat /var/tmp/ledger.jsonl").splitlines()
    return ledger.missing(0)
