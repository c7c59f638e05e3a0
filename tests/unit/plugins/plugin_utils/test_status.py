"""The cluster on one screen, and what is wrong with it."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils.status import status_lines

HOST_STATE = Path(__file__).parents[4] / "playbooks" / "files" / "host_state.py"
PLAN = {
    "director_mode": "keepalived",
    "members": {
        "director1": {"address": "10.0.0.11", "id": "10.0.0.11"},
        "tracker1": {"address": "10.0.0.31", "id": "10.0.0.31"},
        "image1": {"address": "10.0.0.21", "id": "10.0.0.21"},
        "backup1": {"address": "10.0.0.51", "id": "10.0.0.51"},
    },
    "roles": {
        "lvs_directors": ["director1"],
        "fastdfs_trackers": ["tracker1"],
        "fastdfs_storages": ["image1"],
        "image_servers": ["image1"],
        "fastdfs_backups": ["backup1"],
    },
}
FACTS = {"ansible_facts": {"effective_user_id": 0}}
SERVER = {"address": "10.0.0.21", "weight": 1, "active_connections": 7, "inactive_connections": 2}
STORAGE = {
    "disks": [{"path": "/data", "total": 100 << 30, "free": 60 << 30}],
    "marks": [{"peer": "10.0.0.22", "bytes": 0, "seconds": 0}],
    "ships": {"backup1": {"lag_seconds": 0, "trouble": "", "age": 9}},
    "keeps": [],
}
BACKUP = {
    "disks": [{"path": "/srv", "total": 10 << 40, "free": 5 << 40}],
    "marks": [],
    "ships": {},
    "keeps": [
        {"trouble": "", "age": 9, "storages": {"image1": {"archived": 3, "rejected": 0, "asked_again": 0}}}
    ],
}
HEALTHY = {
    "director1": {
        **FACTS,
        "directors_state": {"stdout": "carries 10.0.0.100\nready"},
        "directors_table": {
            "services": [{"fwmark": 1, "family": "ipv4", "scheduler": "mh", "servers": [SERVER]}]
        },
    },
    "tracker1": {
        **FACTS,
        "status_trackers": {
            "trackers": [
                {
                    "address": "10.0.0.31:22122",
                    "reachable": True,
                    "error": None,
                    "leader": True,
                    "running_time": 7200,
                }
            ],
            "disagreements": [],
            "groups": [
                {
                    "name": "group1",
                    "active_count": 1,
                    "storage_count": 1,
                    "free_mb": 2048,
                    "storages": [
                        {"id": "10.0.0.21", "address": "10.0.0.21", "status": "ACTIVE", "version": "5.05"}
                    ],
                }
            ],
        },
    },
    "image1": {**FACTS, "status_host": {"stdout": json.dumps(STORAGE)}},
    "backup1": {**FACTS, "status_host": {"stdout": json.dumps(BACKUP)}},
}


def test_a_healthy_cluster():
    assert status_lines(PLAN, HEALTHY) == [
        "Directors",
        "  director1: carries 10.0.0.100",
        "    mark 1 mh",
        "      image1 weight 1, 7 active and 2 inactive connections",
        "Trackers",
        "  tracker1: runs for 2 h, leads",
        "group1: 1 of 1 storages ACTIVE, 2 GiB free",
        "  image1: ACTIVE, version 5.05",
        "    /data: 40% full, 60 GiB free",
        "    to 10.0.0.22: all sent",
        "    to backup1: all archived",
        "Backup",
        "  backup1:",
        "    /srv: 50% full, 5.0 TiB free",
        "    from image1: 3 archived and 0 rejected since the service started",
        "Nothing is wrong",
    ]


def test_a_storage_that_left_is_not_on_the_screen():
    seen = copy.deepcopy(HEALTHY)
    storages = seen["tracker1"]["status_trackers"]["groups"][0]["storages"]
    storages.append({"id": "10.0.0.29", "address": "10.0.0.29", "status": "DELETED", "version": "5.05"})
    assert status_lines(PLAN, seen) == status_lines(PLAN, HEALTHY)
    storages[1]["status"] = "OFFLINE"
    assert "  10.0.0.29 of group1 is OFFLINE." in status_lines(PLAN, seen)


def test_a_storage_is_known_by_its_id_whatever_its_address_is_to_the_trackers():
    plan, seen = copy.deepcopy(PLAN), copy.deepcopy(HEALTHY)
    plan["members"]["image1"]["id"] = "7"
    seen["tracker1"]["status_trackers"]["groups"][0]["storages"][0] |= {"id": "7", "address": "10.0.0.99"}
    assert status_lines(plan, seen) == status_lines(PLAN, HEALTHY)
    marks = [{"peer": "7", "bytes": 0, "seconds": 0}]
    seen["image1"]["status_host"] = {"stdout": json.dumps({**STORAGE, "marks": marks})}
    assert "    to image1: all sent" in status_lines(plan, seen)


@pytest.mark.parametrize(
    ("names", "peer"),
    [
        (["10.0.0.22_23000.mark"], "10.0.0.22"),
        (["16777215.mark"], "16777215"),
        (["10.0.0.22_23000.mark", "7.mark"], "7"),
    ],
)
def test_a_mark_file_is_named_after_the_peer(tmp_path, names, peer):
    for name in names:
        (tmp_path / name).write_text("binlog_index=0\nbinlog_offset=12\n")
    (tmp_path / "binlog.000").write_text("1700000000 C M00/00/00/a\n1700000000 C M00/00/00/b\n")
    program = HOST_STATE.read_text().replace("/var/lib/fastdfs/storage/data/sync", str(tmp_path))
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    (mark,) = json.loads(told)["marks"]
    assert (mark["peer"], mark["bytes"]) == (peer, 38)


def changed(host: str, name: str, value: object) -> dict:
    found = copy.deepcopy(HEALTHY)
    found[host][name] = value
    return found


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (changed("backup1", "ansible_facts", {}), "backup1 cannot be reached."),
        (changed("backup1", "status_host", {"failed": True}), "backup1 does not say what it has."),
        (changed("image1", "status_host", {"stdout": ""}), "image1 does not say what it has."),
        (
            changed("tracker1", "status_trackers", {"trackers": [], "groups": []}),
            "image1 is no storage that trackers know.",
        ),
        (
            changed("image1", "status_host", {"stdout": json.dumps({**STORAGE, "ships": {}})}),
            "image1 has never shipped anything to backup1.",
        ),
        *(
            (
                changed(
                    "image1",
                    "status_host",
                    {
                        "stdout": json.dumps(
                            {**STORAGE, "marks": [{"peer": "10.0.0.22", "bytes": size, "seconds": 0}]}
                        )
                    },
                ),
                "image1 does not know any more how far it is with what it sends to 10.0.0.22.",
            )
            for size in (-500, None)
        ),
        (
            changed("director1", "directors_state", {"stdout": "ready"}),
            "The VIPs are on no director that answers.",
        ),
        (
            changed("director1", "directors_state", {"stdout": "carries 10.0.0.100"}),
            "director1: keepalived does not run there, or was told to keep off the VIPs.",
        ),
        (
            changed(
                "director1",
                "directors_table",
                {"services": [{"fwmark": 1, "scheduler": "mh", "servers": []}]},
            ),
            "image1 is not in the table of director1.",
        ),
        (
            changed("tracker1", "status_trackers", {"failed": True}),
            "No tracker tells anything of groups and storages.",
        ),
        (
            changed(
                "image1", "status_host", {"stdout": json.dumps({**STORAGE, "disks": [{"path": "/data"}]})}
            ),
            "/data of image1 is not there.",
        ),
        (
            changed(
                "image1",
                "status_host",
                {"stdout": json.dumps({**STORAGE, "disks": [{"path": "/data", "total": 100, "free": 9}]})},
            ),
            "/data of image1 is 91% full.",
        ),
        (
            changed(
                "image1",
                "status_host",
                {
                    "stdout": json.dumps(
                        {**STORAGE, "marks": [{"peer": "10.0.0.22", "bytes": 90, "seconds": 7300}]}
                    )
                },
            ),
            "image1 is 2 h behind with what it sends to 10.0.0.22.",
        ),
        (
            changed(
                "image1",
                "status_host",
                {
                    "stdout": json.dumps(
                        {**STORAGE, "ships": {"backup1": {"lag_seconds": 0, "trouble": "no route", "age": 9}}}
                    )
                },
            ),
            "image1 ships to backup1: no route.",
        ),
        (
            changed(
                "image1",
                "status_host",
                {
                    "stdout": json.dumps(
                        {**STORAGE, "ships": {"backup1": {"lag_seconds": 0, "trouble": "", "age": 901}}}
                    )
                },
            ),
            "fdfs-backup-ship@backup1 of image1 has said nothing for 15 min: see systemctl status fdfs-backup-ship@backup1 there.",
        ),
        (
            changed(
                "backup1",
                "status_host",
                {"stdout": json.dumps({**BACKUP, "keeps": [{**BACKUP["keeps"][0], "age": 7300}]})},
            ),
            "fdfs-backup-keep of backup1 has said nothing for 2 h: see systemctl status fdfs-backup-keep there.",
        ),
    ],
)
def test_what_is_wrong_stands_at_the_end(seen, sentence):
    lines = status_lines(PLAN, seen)
    assert f"  {sentence}" in lines[lines.index("What is wrong") + 1 :]


def test_hosts_of_which_nothing_is_known_are_named():
    nothing = {"directors_state": {"unreachable": True}, "status_host": {"unreachable": True}}
    lines = status_lines(PLAN, dict.fromkeys(HEALTHY, nothing))
    assert [line for line in lines if line.endswith("cannot be reached.")] == [
        f"  {host} cannot be reached." for host in PLAN["members"]
    ]
