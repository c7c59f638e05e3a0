"""A host gets another address, leaves its group, and comes back, while clients upload: every image is on every storage and in the backup."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.real_fastdfs

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
MOVED = "10.206.0.25"


@pytest.fixture(scope="class")
def moved(node, hostvars, tmp_path_factory):
    """The words that let a playbook meet image4 under another address."""
    server, former = node("image4"), hostvars("image4")["ansible_host"]
    device = server.check_output("ip -oneline route show default").split()[4]
    # What the host begins comes from its new address, too; it is reached at the former one.
    route = f"ip route replace {MOVED.rpartition('.')[0]}.0/24 dev {device} scope link src"
    server.check_output(f"ip address add {MOVED}/24 dev {device} && {route} {MOVED}")
    inventory = tmp_path_factory.mktemp("moved") / "hosts.yml"
    inventory.write_text(f"all: {{hosts: {{image4: {{image_cluster_address: {MOVED}}}}}}}\n")
    yield [f"--inventory={inventory}"]
    server.check_output(f"{route} {former} && ip address del {MOVED}/24 dev {device}")


@pytest.fixture
def status(nodes):
    """status("10.206.0.24"): what the trackers say of the storage with this address."""

    def told(address: str) -> str | None:
        said = nodes("fastdfs_clients")[0].check_output("fdfs_monitor /etc/fdfs/client.conf").splitlines()
        found = [line.split()[-1] for line in said if f"ip_addr = {address} " in f"{line} "]
        return found[0] if found else None

    return told


def sentence(played) -> str:
    return " ".join(played.said.split())


def aside(server) -> list[str]:
    return server.check_output(
        "find /data/fastdfs /var/lib/fastdfs/storage -maxdepth 1 -name 'aside-*'"
    ).splitlines()


@pytest.mark.parametrize(
    ("playbook", "words", "expected"),
    [
        ("decommission_storage.yml", ["server=tracker1"], "-e server=tracker1 names no storage"),
        pytest.param(
            "replace_storage.yml",
            ["server=image4", "former=10.206.0.21"],
            "is the address of a host of the inventory",
            marks=pytest.mark.storage_ids(False),
        ),
        pytest.param(
            "replace_storage.yml",
            ["server=image4", "former=10.206.0.99"],
            "is for a cluster without storage ids: leave it out, image4 stays 104 to the trackers",
            marks=pytest.mark.storage_ids(True),
        ),
    ],
)
def test_what_cannot_be_is_said_first(begin, playbook, words, expected):
    played = begin(PLAYBOOKS / playbook, *(each for word in words for each in ("-e", word)))()
    assert played.status != 0
    assert expected in sentence(played)
    assert set(played.changed.values()) == {0}


def test_a_group_s_only_storage_does_not_leave(begin, tmp_path):
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("all: {hosts: {image4: {fastdfs_storage_group: group3}}}\n")
    played = begin(
        PLAYBOOKS / "decommission_storage.yml", f"--inventory={inventory}", "-e", "server=image2"
    )()
    assert played.status != 0
    assert "image2 is the last storage of group2, so its images would be away" in sentence(played)
    assert set(played.changed.values()) == {0}


def test_a_storage_is_not_the_last_one_that_leaves(node, begin, wait, status, hostvars):
    address = hostvars("image4")["ansible_host"]
    node("image4").check_output("systemctl stop fdfs-storaged")
    wait(lambda: status(address) == "OFFLINE", "trackers know that it stopped")
    played = begin(PLAYBOOKS / "decommission_storage.yml", "-e", "server=image2")()
    assert played.status != 0
    assert "image4 of group2 is not ACTIVE and cannot get what only image2 may have" in sentence(played)
    assert set(played.changed.values()) == {0}
    node("image4").check_output("systemctl start fdfs-storaged")
    wait(lambda: status(address) == "ACTIVE", "it is back")


@pytest.mark.long
class TestAnotherAddress:
    @pytest.mark.storage_ids(True)
    def test_a_storage_stays_who_it_is_under_it(self, node, begin, writing, status, moved, hostvars):
        former = hostvars("image4")["ansible_host"]
        with writing() as ledger:
            time.sleep(2)
            played = begin(PLAYBOOKS / "site.yml", *moved)()
            time.sleep(2)
        assert played.status == 0, played.said
        assert (status(former), status(MOVED)) == (None, "ACTIVE")
        assert aside(node("image4")) == []
        assert ledger.acknowledged > 50
        # Images from before the move and after it, on every storage and in the backup.
        assert ledger.missing() == {}

    @pytest.mark.storage_ids(False)
    def test_the_address_that_is_meant_is_said(self, begin, moved):
        played = begin(
            PLAYBOOKS / "replace_storage.yml", *moved, "-e", "server=image4", "-e", "former=10.206.0.99"
        )()
        assert played.status != 0
        assert "is no storage of group2: write 10.206.0.24, which trackers know" in sentence(played)
        assert set(played.changed.values()) == {0}

    def test_a_host_whose_disk_burnt_comes_under_it(self, node, begin, writing, status, moved, hostvars):
        server, address = node("image4"), hostvars("image4")["ansible_host"]
        # Ids stay, and there is no former address to forget.
        words = [*moved, "-e", "server=image4"]
        words += [] if "fastdfs_storage_id" in hostvars("image4") else ["-e", f"former={address}"]
        # It has sent everything: what a disk had alone burns with it.
        with writing() as before:
            time.sleep(3)
        assert before.missing() == {}
        server.check_output("systemctl stop fdfs-storaged && rm -rf /data/fastdfs/data")
        with writing() as ledger:
            time.sleep(2)
            played = begin(PLAYBOOKS / "replace_storage.yml", *words)()
            time.sleep(2)
        assert played.status == 0, played.said
        # A tracker that was restarted since does not list it any more.
        assert status(address) in (None, "DELETED")
        assert status(MOVED) == "ACTIVE"
        assert before.acknowledged > 50 and ledger.acknowledged > 50
        assert before.missing() == {} and ledger.missing() == {}
        # The store was empty; what stood in the base path is kept.
        assert [path.rsplit("/", 1)[0] for path in aside(server)] == ["/var/lib/fastdfs/storage"]
        again = begin(PLAYBOOKS / "replace_storage.yml", *words)()
        assert again.status == 0, again.said
        assert "image4 is ACTIVE, so nothing was set aside" in sentence(again)
        assert set(again.changed.values()) == {0}

    def test_a_storage_leaves_when_the_others_have_everything(self, node, begin, writing, status, moved):
        server = node("image4")
        with writing() as ledger:
            time.sleep(2)
            played = begin(PLAYBOOKS / "decommission_storage.yml", *moved, "-e", "server=image4")()
            time.sleep(2)
        assert played.status == 0, played.said
        assert status(MOVED) == "DELETED"
        assert not server.service("fdfs-storaged").is_running
        assert len(aside(server)) == 3
        del ledger.keepers["image4"]
        assert ledger.acknowledged > 50
        assert ledger.missing() == {}
        print(f"{ledger.acknowledged} uploads acknowledged, {ledger.failed} refused")
        again = begin(PLAYBOOKS / "decommission_storage.yml", *moved, "-e", "server=image4")()
        assert again.status == 0, again.said
        assert len(aside(server)) == 3


def running(nodes, hostvars) -> dict[str, str]:
    """The processes of everybody but image4, which may stay as they are when a storage comes."""
    units = {
        "fastdfs_storages": "fdfs-storaged nginx fdfs-backup-ship@backup1",
        # They read the storages' ids when they start.
        "fastdfs_trackers": "" if "fastdfs_storage_id" in hostvars("image1") else "fdfs-trackerd",
        "lvs_directors": "keepalived",
    }
    return {
        f"{host.name} {unit}": host.check_output(f"systemctl show --property=MainPID --value {unit}")
        for group, names in units.items()
        for host in nodes(group)
        for unit in names.split()
        if host.name != "image4"
    }


@pytest.mark.long
def test_a_storage_that_left_comes_as_a_new_one_and_touches_no_other(
    node, nodes, begin, writing, status, hostvars, inventory_without
):
    address = hostvars("image4")["ansible_host"]
    smaller = inventory_without("image4")
    for _ in range(5):
        played = begin(PLAYBOOKS / "site.yml", inventories=[smaller])()
        # With ids, a tracker must not forget one of which a storage may still tell it.
        if "run this again in" not in sentence(played):
            break
        time.sleep(20)
    assert played.status == 0, played.said
    before = running(nodes, hostvars)
    assert "0" not in before.values()
    with writing() as ledger:
        played = begin(PLAYBOOKS / "site.yml")()
    assert played.status == 0, played.said
    assert status(address) == "ACTIVE"
    assert running(nodes, hostvars) == before
    assert ledger.missing() == {}
    returned = begin(PLAYBOOKS / "undrain.yml", "-e", "server=image4")()
    assert returned.status == 0, returned.said
    node("image4").check_output("rm -rf /data/fastdfs/aside-* /var/lib/fastdfs/storage/aside-*")
