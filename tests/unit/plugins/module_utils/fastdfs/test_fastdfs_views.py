"""What is made of the answers of several trackers: lag, disagreements, who is missing. No sockets here."""

from __future__ import annotations

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs import cluster, wire

A, B = wire.Address("192.0.2.1", 22122), wire.Address("192.0.2.2", 22122)
BLANK = wire.storages(wire.STORAGE.pack(7, *[b""] * 5, *[0] * 10, bytes(348), 0))[0]
LEADS, FOLLOWS = wire.TrackerStatus(True, 60, 0), wire.TrackerStatus(False, 60, 0)


def storage(host, status="ACTIVE", own_id=None, **more):
    return BLANK._replace(address=host, id=own_id or host, status=status, **more)


def view(tracker, status=FOLLOWS, **groups):
    made = {
        name: cluster.Group(wire.GroupInfo(name, *[len(storages)] * 11), storages)
        for name, storages in groups.items()
    }
    return cluster.View(tracker, None, tuple(made), made, status)


def silent(tracker):
    return cluster.View(tracker, f"tracker {tracker} hung")


@pytest.mark.parametrize(
    "synced, others, seconds",
    [
        (0, [], 0),
        (0, [0, 0], 0),  # nobody has anything to give
        (0, [1000], None),  # never synced
        (990, [1000], 10),
        (990, [950, 1000], 10),
        (1000, [1000], 0),
        (1005, [1000], 0),  # the tracker may hear of it from the receiver first
    ],
)
def test_lag(synced, others, seconds):
    mine = storage("mine", last_synced_timestamp=synced, last_source_update=9999)
    members = [mine, *(storage(f"other{time}", last_source_update=time) for time in others)]
    assert cluster.lag(mine, members) == seconds


def test_who_left_neither_lags_nor_is_lagged_behind():
    left = storage("left", "DELETED", last_source_update=1000)
    mine = storage("mine", last_source_update=1000)
    assert cluster.lag(left, [left, mine]) is None
    assert cluster.lag(mine, [left, mine]) == 0


def test_groups_are_those_of_the_first_tracker_that_answered():
    views = [silent(A), view(B, LEADS, group1=[storage("192.0.2.11"), storage("192.0.2.12", "OFFLINE")])]
    shape = cluster.shape(views)
    assert shape["told_by"] == "192.0.2.2:22122"
    assert shape["trackers"] == [
        {
            "address": "192.0.2.1:22122",
            "reachable": False,
            "error": "tracker 192.0.2.1:22122 hung",
            "leader": None,
            "running_time": None,
        },
        {
            "address": "192.0.2.2:22122",
            "reachable": True,
            "error": None,
            "leader": True,
            "running_time": 60,
        },
    ]
    assert [s["status"] for s in shape["groups"][0]["storages"]] == ["ACTIVE", "OFFLINE"]
    assert cluster.shape([silent(A)])["groups"] == []


ONE, TWO = storage("192.0.2.11"), storage("192.0.2.12")
DISAGREEMENTS = {
    "the same": ([view(A, group1=[ONE]), view(B, group1=[ONE])], []),
    "who does not answer does not count": ([view(A, group1=[ONE]), silent(B)], []),
    "counters may differ": (
        [view(A, group1=[ONE]), view(B, group1=[ONE._replace(last_heart_beat=9, free_mb=3)])],
        [],
    ),
    "status": (
        [view(A, group1=[ONE]), view(B, group1=[ONE._replace(status="WAIT_SYNC")])],
        ["storage 192.0.2.11 of group1 is ACTIVE to 192.0.2.1:22122, WAIT_SYNC to 192.0.2.2:22122"],
    ),
    "one does not know it": (
        [view(A, group1=[ONE]), view(B, group1=[ONE, TWO])],
        ["storage 192.0.2.12 of group1 is not known to 192.0.2.1:22122, ACTIVE to 192.0.2.2:22122"],
    ),
    "address of an id": (
        [view(A, group1=[storage("192.0.2.11", own_id="7")]), view(B, group1=[storage("192.0.2.19", own_id="7")])],
        ["storage 7 of group1 is ACTIVE at 192.0.2.11 to 192.0.2.1:22122, ACTIVE at 192.0.2.19 to 192.0.2.2:22122"],
    ),
    "two leaders": (
        [view(A, LEADS), view(B, LEADS)],
        ["each of 192.0.2.1:22122, 192.0.2.2:22122 says that it leads"],
    ),
    "one leader": ([view(A, LEADS), view(B), view(wire.Address("192.0.2.3", 1), None)], []),
}  # fmt: skip


@pytest.mark.parametrize("views, sentences", DISAGREEMENTS.values(), ids=DISAGREEMENTS)
def test_disagreements(views, sentences):
    assert cluster.disagreements(views) == sentences


ALL = cluster.Wanted()
SYNCING = storage("192.0.2.12", "SYNCING", own_id="12")
MISSING = {
    "all there": ([view(A, group1=[ONE, TWO])], ALL, []),
    "one is not ready": (
        [view(A, group1=[ONE, SYNCING])],
        ALL,
        ["storage 192.0.2.12 (id 12) of group1 is SYNCING"],
    ),
    "one tracker says so": (
        [view(A, group1=[ONE]), view(B, group1=[storage("192.0.2.11", "OFFLINE")])],
        ALL,
        ["storage 192.0.2.11 of group1 is OFFLINE to 192.0.2.2:22122"],
    ),
    "a tracker that is away is not waited for": ([silent(A), view(B, group1=[ONE])], ALL, []),
    "no tracker": ([silent(A), silent(B)], ALL, ["no tracker answers"]),
    "an empty cluster": ([view(A)], ALL, ["no group is known"]),
    "a group that nobody joined": (
        [view(A, group1=[ONE])],
        cluster.Wanted(groups=("group1", "group2")),
        ["group group2 is not known"],
    ),
    "who left is not waited for": ([view(A, group1=[ONE, storage("192.0.2.13", "DELETED")])], ALL, []),
    "all left": ([view(A, group1=[storage("x", "DELETED")])], ALL, ["group group1 has no storage"]),
    "leaving is waited for": (
        [view(A, group1=[ONE, storage("192.0.2.13", "DELETED")])],
        cluster.Wanted("DELETED"),
        ["storage 192.0.2.11 of group1 is ACTIVE"],
    ),
    "named by address and by id": (
        [view(A, group1=[ONE], group2=[SYNCING])],
        cluster.Wanted(storages=("192.0.2.11", "12", "192.0.2.14")),
        ["storage 192.0.2.12 (id 12) of group2 is SYNCING", "storage 192.0.2.14 is not known"],
    ),
    "named, in a group": (
        [view(A, group1=[ONE])],
        cluster.Wanted(storages=("192.0.2.12",), groups=("group1",)),
        ["storage 192.0.2.12 is not known in group1"],
    ),
    "others than those named may be in any state": (
        [view(A, group1=[ONE, SYNCING])],
        cluster.Wanted(storages=("192.0.2.11",)),
        [],
    ),
    "an address that had another id before": (
        [view(A, group1=[storage("192.0.2.11", "DELETED", own_id="1"), storage("192.0.2.11", own_id="2")])],
        cluster.Wanted(storages=("192.0.2.11",)),
        [],
    ),
}


@pytest.mark.parametrize("views, wanted, phrases", MISSING.values(), ids=MISSING)
def test_missing(views, wanted, phrases):
    assert cluster.missing(views, wanted) == phrases


def test_a_wait_looks_once_more_at_its_end():
    looks, pauses = [], []

    def look():
        looks.append([view(A)])
        return looks[-1]

    def passing():
        return sum(pauses)

    result = cluster.wait(look, ALL, 5, 2, passing, pauses.append)
    assert (pauses, len(looks), result[1], result[2]) == ([2, 2, 1], 4, ["no group is known"], 5)
    sentence = cluster.still_missing(ALL, [view(A), silent(B)], *result[1:])
    assert sentence == "waited 5.0 s for ACTIVE: no group is known. Not heard: tracker 192.0.2.2:22122 hung"


def test_a_wait_ends_when_nothing_is_missing():
    looks = iter([[view(A)], [silent(A)], [view(A, group1=[SYNCING])], [view(A, group1=[ONE])]])
    pauses = []
    _views, left, _elapsed = cluster.wait(lambda: next(looks), ALL, 60, 2, lambda: 0, pauses.append)
    assert (left, pauses) == ([], [2, 2, 2])
