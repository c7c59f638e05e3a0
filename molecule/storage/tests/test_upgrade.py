"""Another release of FastDFS, and the way back, while clients upload."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.real_fastdfs

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
ROOT = "/opt/fastdfs"


@pytest.fixture(scope="module")
def daemons(nodes):
    return [*nodes("fastdfs_trackers"), *nodes("fastdfs_storages")]


def current(hosts) -> set[str]:
    return {host.check_output(f"readlink {ROOT}/current").split("/")[-1] for host in hosts}


@pytest.fixture(scope="module")
def releases(node, daemons):
    """The name of the release that the hosts run, and that of another one which only tracker1 has: the same programs."""
    [old] = current(daemons)
    new = old[:-8] + "0123abcd"
    node("tracker1").check_output(
        f"cd {ROOT}/releases && cp -a {old} {new} && sed -i s/{old}/{new}/ {new}/RELEASE && ! cmp -s {old}/RELEASE {new}/RELEASE"
    )
    yield old, new
    for host in daemons:
        host.check_output(f"rm -rf {ROOT}/releases/{new}")


@pytest.mark.long
def test_every_daemon_runs_another_release_and_the_former_again(begin, releases, daemons, writing, tmp_path):
    old, new = releases
    with writing() as ledger:
        time.sleep(2)
        for release, former in ((new, old), (old, new)):
            words = ["-e", f"release={release}", "-e", f"fastdfs_release_cache={tmp_path}"]
            played = begin(PLAYBOOKS / "upgrade_fastdfs.yml", *words)()
            assert played.status == 0, played.said
            said = " ".join(played.said.split())
            assert (
                f"The cluster runs {release}. The way back: upgrade_fastdfs.yml -e release={former}" in said
            )
            assert current(daemons) == {release}
            for host in daemons:
                unit = "fdfs-storaged" if host.name.startswith("image") else "fdfs-trackerd"
                pid = host.check_output(f"systemctl show --property=MainPID --value {unit}")
                assert f"/releases/{release}/" in host.check_output(f"readlink /proc/{pid}/exe")
    print(f"{ledger.acknowledged} uploads acknowledged, {ledger.failed} refused")
    assert ledger.acknowledged > 50
    assert ledger.missing() == {}


@pytest.mark.long
def test_a_release_that_does_not_run_stops_at_the_first_storage_and_the_former_comes_back(
    begin, releases, node, nodes, daemons, writing, tmp_path
):
    old = releases[0]
    broken = old[:-8] + "0badbad0"
    storages = nodes("fastdfs_storages")
    node("tracker1").check_output(
        f"cd {ROOT}/releases && cp -a {old} {broken} && sed -i s/{old}/{broken}/ {broken}/RELEASE"
        f" && cp --remove-destination /bin/false {broken}/usr/bin/fdfs_storaged"
    )
    words = ["-e", f"fastdfs_release_cache={tmp_path}"]
    try:
        played = begin(PLAYBOOKS / "upgrade_fastdfs.yml", *words, "-e", f"release={broken}")()
        said = " ".join(played.said.split())
        assert played.status != 0
        assert f"The upgrade stopped at {storages[0].name}; no later host was touched." in said
        back = ["-e", "force=true", "-e", f"release={old}"]
        assert f"upgrade_fastdfs.yml {' '.join(back)}" in said
        assert current(storages[:1]) == {broken} and current(storages[1:]) == {old}
        with writing() as ledger:
            played = begin(PLAYBOOKS / "upgrade_fastdfs.yml", *words, *back)()
        assert played.status == 0, played.said
        assert current(daemons) == {old}
        assert ledger.acknowledged > 50
        assert ledger.missing() == {}
    finally:
        for host in daemons:
            host.check_output(f"rm -rf {ROOT}/releases/{broken}")


@pytest.mark.parametrize(
    ("release", "sentence"),
    [
        ("fastdfs-5.05-debian99-x86_64-00000000", "was not built for"),
        ("{}ffffffff", "nor on a host of this run"),
    ],
)
def test_a_release_that_cannot_run_is_said_first(begin, releases, release, sentence, tmp_path):
    name = release.format(releases[0][:-8])
    played = begin(
        PLAYBOOKS / "upgrade_fastdfs.yml", "-e", f"release={name}", "-e", f"fastdfs_release_cache={tmp_path}"
    )()
    assert played.status != 0
    assert sentence in " ".join(played.said.split())
    assert set(played.changed.values()) == {0}


def test_a_cluster_with_a_storage_away_is_not_upgraded(begin, node, releases):
    node("image3").check_output("systemctl stop fdfs-storaged")
    try:
        played = begin(PLAYBOOKS / "upgrade_fastdfs.yml")()
        assert played.status != 0
        assert "repair what is missing first, or go on with -e force=true" in " ".join(played.said.split())
        assert set(played.changed.values()) == {0}
    finally:
        node("image3").check_output("systemctl start fdfs-storaged")
