"""What was deleted comes back from the backup under its name; and the cluster's state on one screen."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from pathlib import Path

import pytest
from traffic import active, small_disk

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
KEYS = "/var/lib/fastdfs-backup/.ssh/authorized_keys"


def screen(begin) -> str:
    played = begin(PLAYBOOKS / "status.yml")()
    assert played.status == 0, played.said
    assert set(played.changed.values()) == {0}
    return played.said


def kept(ledger) -> dict[str, list]:
    """What storages and the backup host lack. (nginx may serve an image a while longer that it holds open.)"""
    return {name: checks for name, checks in ledger.missing(0).items() if name != "VIP"}


@pytest.fixture(scope="module")
def members(nodes, hostvars):
    """members("group1"): its storages."""
    return lambda group: [
        host for host in nodes("fastdfs_storages") if hostvars(host.name)["fastdfs_storage_group"] == group
    ]


@pytest.fixture(scope="module")
def deleted(nodes, node, hostvars, writing, wait):
    """The ledger of images that a hostile client has deleted, and the time before it began."""
    client = nodes("fastdfs_clients")[0]
    with writing() as ledger:
        time.sleep(4)
    assert ledger.missing() == {}
    keys = node("backup1").check_output(f"cat {KEYS}")
    since = datetime.now().replace(microsecond=0).isoformat(" ")
    ids = [json.loads(line)["id"] for line in ledger.lines if '"id"' in line]
    client.check_output(
        f"printf '%s\\n' {' '.join(ids)} | xargs -n 1 -P 4 fdfs_delete_file /etc/fdfs/client.conf"
    )
    groups = {file_id.split("/")[0] for file_id in ids}
    holders = {
        host.name
        for host in nodes("fastdfs_storages")
        if hostvars(host.name)["fastdfs_storage_group"] in groups
    }

    def gone() -> bool:
        """A delete that has still to be replicated would come after the restore."""
        lack = {name: wrong.get("unreplicated", 0) for name, wrong in kept(ledger).items()}
        return set(lack) == holders and sum(lack.values()) == 2 * len(ids)

    wait(gone, "both replicas have deleted them, and the backup has not")
    return ledger, since, keys, holders


def test_a_check_says_what_would_come_and_brings_nothing(deleted, begin):
    ledger, since, _keys, holders = deleted
    played = begin(PLAYBOOKS / "restore.yml", "--check", "-e", f"deleted_since='{since}'")()
    assert played.status == 0, played.said
    assert set(played.changed.values()) == {0}
    assert "come from backup1 to image" in played.said
    assert set(kept(ledger)) == holders


def test_where_there_is_no_space_nothing_is_brought_and_what_is_missing_is_said(
    deleted, begin, node, nodes, hostvars, wait
):
    ledger, since, _keys, holders = deleted
    with small_disk(node("image1"), "/data/fastdfs", "fdfs-storaged", spare=20):
        node("image1").run("dd if=/dev/zero of=/data/fastdfs/filler bs=64k")
        played = begin(PLAYBOOKS / "restore.yml", "-e", f"deleted_since='{since}'")()
        node("image1").check_output("rm /data/fastdfs/filler")
    assert played.status != 0
    said = " ".join(played.said.split())
    assert re.search(
        r"What is to come to /data/fastdfs has \S+ [KM]B, and \S+ \w+ are free: \S+ [KM]B are missing. Nothing was brought.",
        said,
    ), said
    assert set(kept(ledger)) == holders
    wait(lambda: active(nodes, hostvars("image1")["ansible_host"]), "the storage is ACTIVE", 60)


def test_some_images_come_back_by_their_ids(deleted, begin, members, tmp_path, wait, stored):
    ledger, _since, _keys, _holders = deleted
    ids = [json.loads(line)["id"] for line in ledger.lines if '"id"' in line][:4]
    wanted = tmp_path / "ids"
    wanted.write_text("\n".join(ids[:3]) + "\n")
    played = begin(PLAYBOOKS / "restore.yml", "-e", f"ids={wanted}", "-e", "archive=backup1")()
    assert played.status == 0, played.said

    def there() -> list[bool]:
        return [
            any(host.file(stored(host.name, each)).exists for host in members(each.split("/")[0]))
            for each in ids
        ]

    wait(lambda: there() == [True, True, True, False], "these are there, and no other is", 30)


def test_every_deleted_image_comes_back_under_its_name_on_every_storage(
    deleted, begin, node, members, stored, wait
):
    ledger, since, keys, _holders = deleted
    played = begin(PLAYBOOKS / "restore.yml", "-e", f"deleted_since='{since}'")()
    assert played.status == 0, played.said
    assert ledger.missing(90) == {}
    ids = [json.loads(line)["id"] for line in ledger.lines if '"id"' in line]
    of_group = [each for each in ids if each.startswith("group1/")][:2]
    for each in of_group:
        node("tracker1").check_output(f"fdfs_delete_file /etc/fdfs/client.conf {each}")
    wait(
        lambda: (
            not any(
                host.file(stored(host.name, each)).exists for host in members("group1") for each in of_group
            )
        ),
        "both replicas have deleted them",
        30,
    )
    again = begin(PLAYBOOKS / "restore.yml", "-e", "what=all", "-e", "to=image3")()
    assert again.status == 0, again.said
    assert ledger.missing(90) == {}
    assert node("backup1").check_output(f"cat {KEYS}") == keys, "a key that may read is left behind"
    assert not node("image1").file("/run/fastdfs-restore").exists


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Nothing is asked for"),
        (["-e", "deleted_since=yesterday"], "is no time"),
        (["-e", "what=all", "-e", "to=tracker1"], "tracker1 is no storage"),
    ],
)
def test_what_cannot_be_brought_is_said_first(begin, words, sentence):
    played = begin(PLAYBOOKS / "restore.yml", *words)()
    assert played.status != 0
    assert sentence in " ".join(played.said.split())
    assert set(played.changed.values()) == {0}


def test_nothing_is_wrong_and_the_screen_says_so(begin):
    said = screen(begin)
    assert "Nothing is wrong" in said, said[said.find("What is wrong") :][:2000]
    assert "group2: 2 of 2 storages ACTIVE" in said


def test_hosts_that_are_away_are_said_and_the_others_can_be_worked_on(begin, node, power):
    unit, state = "fdfs-backup-ship@backup1", "/var/lib/fastdfs/backup/backup1/state.json"
    node("image1").check_output(f"systemctl stop {unit} && touch --date='1 hour ago' {state}")
    power.off("backup1")
    try:
        said = screen(begin)
        assert "backup1 cannot be reached." in said
        assert f"{unit} of image1 has said nothing for 60 min" in said
        for playbook in ("drain.yml", "undrain.yml"):
            played = begin(PLAYBOOKS / playbook, "-e", "server=image1")()
            assert played.status == 0, played.said
        update = begin(PLAYBOOKS / "rolling_update.yml")()
        assert update.status != 0
        assert "backup1 cannot be reached, and nothing was changed" in " ".join(update.said.split())
    finally:
        power.on("backup1")
        node("image1").check_output(f"systemctl start {unit}")
