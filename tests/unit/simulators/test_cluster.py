"""The simulator with itself: what its commands and daemons do, as a user of a cluster sees it."""

from __future__ import annotations

import os
import re

from fdfs_cluster import wait_for


def test_upload_reaches_both_storages_and_comes_back(cluster, simulated):
    cluster.tracker(simulated)
    storages = [cluster.storage(simulated, 21), cluster.storage(simulated, 22)]
    cluster.wait_active(simulated, *storages)
    content = os.urandom(100_000)
    file_id = cluster.upload(simulated, content)
    assert re.fullmatch(r"group1/M00/00/00/[\w-]{27}\d{3}\.jpg", file_id)
    for storage in storages:
        wait_for(storage.file(file_id).exists, what=f"{file_id} on {storage.address}")
        assert storage.file(file_id).read_bytes() == content
    assert cluster.download(simulated, file_id) == content
