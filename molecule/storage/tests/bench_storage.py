"""What is read in the moment of its acknowledgement, and when the backup has it.

Not collected by the scenario (its name does not begin with test_): `make bench-storage` runs it on the scenario's hosts and prints tables.
"""

from __future__ import annotations

import json
import os
import statistics
import time

import pytest
from traffic import ask, missed, serving

ROUNDS = int(os.environ.get("IMAGEOPS_ROUNDS", "10"))
# Of each round, and to all storages together.
UPLOADS = 500
# Prints when each image of the list was there, in seconds since the epoch: the archive gets it by a rename.
ARRIVED = "cd /srv/fastdfs-backup/archive && xargs stat --format=%.9Z"


@pytest.mark.parametrize("down", ["", "image4"])
def test_images_are_read_as_soon_as_they_are_acknowledged(nodes, node, hostvars, vips, wait, down):
    client, director = nodes("fastdfs_clients")[0], nodes("lvs_directors")[0]
    storages = [
        f"{hostvars(host.name)['ansible_host']}:23000"
        for host in nodes("fastdfs_storages")
        if host.name != down
    ]
    if down:
        node(down).check_output("systemctl stop nginx fdfs-storaged")
        gone = hostvars(down)["ansible_host"]
        wait(lambda: gone not in serving(director), f"{down} gets no reader", 30)
    try:
        times = -(-ROUNDS * UPLOADS // len(storages))
        lost = missed(client, f"http://{vips[0]}", storages, times)
    finally:
        if down:
            node(down).check_output("systemctl start nginx fdfs-storaged")
    state = f"{down} is down" if down else "all image servers run"
    print(f"\n| {state} | {times * len(storages):,} images written and read | {lost} missed |")
    assert lost == 0


def test_the_backup_has_images_after(writing):
    with writing() as ledger:
        time.sleep(6 * ROUNDS)
    assert ledger.missing() == {}
    entries = [entry for entry in map(json.loads, ledger.lines) if "id" in entry]
    told = ask("backup1", ARRIVED, "\n".join(entry["id"] for entry in entries))
    delays = sorted(
        float(there) - entry["time"] for there, entry in zip(told.stdout.split(), entries, strict=True)
    )
    p95 = delays[int(len(delays) * 0.95)]
    print(
        "\n| images | backup has them after, p50 | p95 | max |\n|---:|---:|---:|---:|\n"
        f"| {len(delays):,} | {statistics.median(delays):.2f} s | {p95:.2f} s | {delays[-1]:.2f} s |"
    )
