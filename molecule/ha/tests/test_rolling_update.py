"""The cluster is updated under load: readers and writers lose nothing, and what fails stops everything behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

UPDATE = Path(__file__).parents[3] / "playbooks" / "rolling_update.yml"
# A source that no package manager understands, so that the update fails on the host that has it.
BROKEN = "/etc/apt/sources.list.d/broken.list"
DRAIN = "/var/lib/nginx-image/drain"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("update=kernel", "write one or more of system,nginx,fastdfs"),
        ("batch=none", "is no number of image servers"),
        ("batch=2", "they are all the members"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_host_is_changed(begin, words, sentence):
    played = begin(UPDATE, "-e", words)()
    assert played.status != 0
    assert sentence in " ".join(played.said.split())
    assert set(played.changed.values()) == {0}


def test_a_failed_update_stops_before_the_next_server(directors, begin, node, nodes, hostvars):
    directors.settle()
    first, *others = nodes("image_servers")
    first.check_output(f"echo 'deb nonsense' >{BROKEN}")
    try:
        played = begin(UPDATE, "-e", "update=nginx")()
    finally:
        first.check_output(f"rm {BROKEN}")
    assert played.status != 0
    assert f"The update stopped at {first.name}" in played.said
    assert f"undrain.yml -e server={first.name}" in played.said
    assert first.file(DRAIN).exists
    assert not any(host.file(DRAIN).exists for host in others)
    assert {played.changed[host.name] for host in others} == {0}
    address = hostvars(first.name)["ansible_host"]
    assert [directors.weight(name, address) for name in directors.pair] == [0, 0]


def test_the_whole_cluster_is_updated_and_nobody_notices(directors, begin, nodes, reading, writing):
    """It begins where the failed one stopped: with a drained server."""
    holder = directors.settle()
    with writing() as ledger, reading(downloads=10) as seen:
        played = begin(UPDATE, "-e", "update=system,nginx,fastdfs", "-e", "batch=1")()
    assert played.status == 0, played.said
    assert directors.settle() != holder
    assert seen.losses(closing=True) == {}
    assert seen.report["new"]["requests"] > 1000
    assert ledger.acknowledged > 100
    assert ledger.failed == 0
    assert ledger.missing() == {}
    assert not any(host.file(DRAIN).exists for host in nodes("image_servers"))
