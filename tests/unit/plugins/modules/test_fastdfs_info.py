# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ``fastdfs_info`` as Ansible calls it, with trackers that behave or do not, and with whole clusters on loopback."""

from __future__ import annotations

import json
import os
import re
import time

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs import wire
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs.client import Client
from ansible_collections.imageops.lvs_fastdfs.plugins.modules import fastdfs_info
from fake_fastdfs import CLOSE, HANG, answer, closed_address
from fdfs_cluster import wait_for


def storage(host, status=7):
    return wire.STORAGE.pack(status, *[host.encode()] * 2, b"", b"", b"5.05", *range(10), bytes(348), 0)


def tracker_of(leads=b"\1", **groups):
    """What a tracker answers that knows these storages, packed, by the names of their groups."""

    def respond(command, body):
        if command == wire.LIST_GROUPS:
            return [answer(b"".join(wire.GROUP.pack(name.encode(), *range(11)) for name in groups))]
        if command == wire.LIST_STORAGES:
            return [answer(b"".join(groups[body.rstrip(b"\0").decode()]))]
        return [answer(leads + bytes(16))] if leads else [answer(status=2)]

    return respond


def port(server):
    return f"127.0.0.1:{server.address[1]}"


def test_a_cluster_as_its_tracker_tells_it(run, serve):
    server = serve(tracker_of(group1=[storage("192.0.2.11"), storage("192.0.2.12", 2)], group2=[]))
    for check in (False, True):
        result = run(fastdfs_info, trackers=[port(server)], check=check)
        assert (result["changed"], result["warned"], result["disagreements"]) == (False, [], [])
        assert result["told_by"] == port(server)
        assert result["trackers"][0] == {
            "address": port(server), "reachable": True, "error": None, "leader": True, "running_time": 0,
        }  # fmt: skip
        assert [group["name"] for group in result["groups"]] == ["group1", "group2"]
        first, second = result["groups"][0]["storages"]
        assert (first["address"], first["status"], first["version"]) == ("192.0.2.11", "ACTIVE", "5.05")
        assert (first["total_mb"], first["free_mb"], second["status"]) == (2, 3, "SYNCING")
        assert first["sync_lag"] == 0 and first["counters"]["success_upload_count"] == 0
    assert {command for command, _body in server.seen} == {91, 92, 64}


def test_only_the_groups_that_are_named_are_asked_for(run, serve):
    server = serve(tracker_of(group1=[storage("192.0.2.11")], group2=[storage("192.0.2.12")]))
    result = run(fastdfs_info, trackers=[port(server)], groups=["group2"])
    assert [group["name"] for group in result["groups"]] == ["group2"]
    assert [body for command, body in server.seen if command == 92] == [b"group2".ljust(16, b"\0")]
    unknown = run(fastdfs_info, trackers=[port(server)], groups=["group2", "group9"])
    assert unknown["msg"] == "no tracker knows the group 'group9'; known: group1, group2"
    assert unknown["failed"] and unknown["trackers"][0]["reachable"]


def test_a_tracker_that_no_storage_ever_joined_is_reachable(run, serve):
    result = run(fastdfs_info, trackers=[port(serve(tracker_of(leads=b"")))])
    assert result["trackers"][0]["reachable"] and result["trackers"][0]["leader"] is None


HOSTILE = {
    "hangs": ([HANG], r"asked for its groups, hung for \d\.\d s"),
    "closes": ([CLOSE], r"asked for its groups, closed the connection after 0 of 10 bytes"),
    "closes in the answer": (
        [answer(b"x" * 50, length=105), CLOSE],
        r"asked for its groups, closed the connection after 50 of 105 bytes",
    ),
    "speaks HTTP": ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], r"asked for its groups, answered garbage: .*"),
    "promises 2^62 bytes": ([answer(length=2**62)], r"asked for its groups, answered garbage: .*"),
    "names a group that cannot be": (
        [answer(wire.GROUP.pack(b"../etc", *range(11)))],
        r"answered garbage: '../etc' is no name of a group.*",
    ),
    "answers everything with groups": (
        [answer(wire.GROUP.pack(b"group1", *range(11)))],
        r"asked for the storages of group1, answered garbage: 105 bytes, which is no multiple of 612",
    ),
}


@pytest.mark.parametrize("parts, happened", HOSTILE.values(), ids=HOSTILE)
def test_a_tracker_that_does_not_behave_is_named_and_the_other_is_believed(run, serve, parts, happened):
    bad, good = serve(*parts), serve(tracker_of(group1=[storage("192.0.2.11")]))
    timeout = 0.3 if HANG in parts else 5
    result = run(fastdfs_info, trackers=[port(bad), port(good)], timeout=timeout)
    told = [tracker["error"] for tracker in result["trackers"]]
    assert re.fullmatch(rf"tracker {port(bad)},? {happened}", told[0]) and told[1] is None
    assert (result["told_by"], result["groups"][0]["name"]) == (port(good), "group1")
    alone = run(fastdfs_info, trackers=[port(bad)], timeout=timeout)
    assert alone["failed"] and re.fullmatch(
        rf"no tracker answered: tracker {port(bad)},? {happened}", alone["msg"]
    )


def test_a_tracker_that_only_hides_whether_it_leads_is_not_believed(run, serve):
    usual = tracker_of(group1=[storage("192.0.2.11")])
    server = serve(lambda command, body: usual(command, body) if command > 64 else [b"HTTP/1.1 400 Bad"])
    result = run(fastdfs_info, trackers=[port(server)])
    assert result["failed"] and "asked whether it leads, answered garbage" in result["msg"]


def test_disagreement_is_told_and_warned_of(run, serve):
    first = serve(tracker_of(group1=[storage("192.0.2.11")]))
    second = serve(tracker_of(leads=b"\0", group1=[storage("192.0.2.11", 5)]))
    result = run(fastdfs_info, trackers=[port(first), port(second)])
    sentence = f"storage 192.0.2.11 of group1 is ACTIVE to {port(first)}, OFFLINE to {port(second)}"
    assert result["disagreements"] == [sentence]
    assert result["warned"] == [f"trackers disagree: {sentence}"]


def test_a_wait_ends_with_the_state_and_else_names_who_is_missing(run, serve):
    states = iter([0, 1, 2, 6, 7])
    server = serve(tracker_of(group1=[storage("192.0.2.11"), storage("192.0.2.12", 1)]))
    gone = closed_address()
    trackers = [port(server), f"127.0.0.1:{gone[1]}"]
    wait = {"wait_for": {"storages": ["192.0.2.12", "192.0.2.13"]}, "wait_timeout": 0.2, "poll_interval": 0.1}
    result = run(fastdfs_info, trackers=trackers, groups=["group1"], **wait)
    assert re.fullmatch(
        r"waited \d\.\d s for ACTIVE: storage 192\.0\.2\.12 of group1 is WAIT_SYNC; "
        r"storage 192\.0\.2\.13 is not known in group1\. "
        rf"Not heard: tracker 127\.0\.0\.1:{gone[1]}, asked for its groups, could not be reached: Connection refused",
        result["msg"],
    )
    assert result["groups"] and result["elapsed"] >= 0.2

    def changing(command, body):
        return tracker_of(group1=[storage("192.0.2.12", next(states, 7))])(command, body)

    server.respond = changing
    result = run(fastdfs_info, trackers=trackers, wait_for={}, poll_interval=0.1)
    assert not result.get("failed") and result["groups"][0]["storages"][0]["status"] == "ACTIVE"


def test_a_wait_for_a_tracker_that_hangs_names_the_timeout(run, serve):
    result = run(fastdfs_info, trackers=[port(serve(HANG))], timeout=0.3, wait_for={}, wait_timeout=0)
    assert re.fullmatch(
        r"waited \d\.\d s for ACTIVE: no tracker answers\. Not heard: .* hung for \d\.\d s", result["msg"]
    )


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"trackers": []}, "trackers: is empty; name one tracker at least"),
        ({"trackers": ["a:b"]}, "trackers: 'a:b' is no address: write host or host:port, IPv4 only"),
        ({"timeout": 0}, "timeout: must be seconds from 0.1 to 86400, not 0.0"),
        ({"timeout": "nan"}, "timeout: must be seconds from 0.1 to 86400, not nan"),
        ({"poll_interval": 0}, "poll_interval: must be seconds from 0.1 to 86400, not 0.0"),
        ({"wait_timeout": -1}, "wait_timeout: must be seconds from 0 to 86400, not -1.0"),
        (
            {"wait_for": {"storages": []}},
            "wait_for.storages: is empty; leave it out to wait for every storage that trackers know",
        ),
        (
            {"wait_for": {"storages": ["image1"]}},
            "wait_for.storages: 'image1' is neither an IPv4 address nor an id; trackers know no other names",
        ),
    ],
)
def test_options_that_cannot_be(run, wrong, message):
    assert run(fastdfs_info, **{"trackers": ["127.0.0.1"], **wrong})["msg"] == message


def test_a_real_or_simulated_cluster_from_empty_to_one_that_lost_a_tracker_and_a_storage(
    run, cluster, prefix
):
    first, second = cluster.tracker(prefix, 10), cluster.tracker(prefix, 11)
    trackers = [first.address, second.address]
    empty = run(fastdfs_info, trackers=trackers)
    assert empty["groups"] == [] and [tracker["reachable"] for tracker in empty["trackers"]] == [True, True]

    hosts: list[str] = []
    for number in (21, 22):
        # One after the other: of two that join a fresh pair of trackers in one second, FastDFS 5.05 may leave one at WAIT_SYNC.
        hosts.append(cluster.storage(prefix, number).address)
        active = {"groups": ["group1"], "wait_for": {"storages": hosts}, "poll_interval": 0.2}
        waited = run(fastdfs_info, trackers=trackers, **active)
        assert "msg" not in waited, waited["msg"]
    assert sorted(storage["address"] for storage in waited["groups"][0]["storages"]) == hosts
    absent = f"{cluster.network}.23"
    vain = run(fastdfs_info, trackers=trackers, wait_for={"storages": [*hosts, absent]}, wait_timeout=0)
    assert vain["msg"].endswith(f"for ACTIVE: storage {absent} is not known")

    with Client([wire.Address(first.address, 22122)]) as client:
        source = client.upload(os.urandom(1000), "jpg").source

    def settled():
        """The storages by address, once what was uploaded is known everywhere."""
        [group] = run(fastdfs_info, trackers=trackers)["groups"]
        storages = {storage["address"]: storage for storage in group["storages"]}
        other = next(storage for host, storage in storages.items() if host != source)
        done = storages[source]["counters"]["success_upload_count"] and other["last_synced_timestamp"]
        return storages if done else None

    storages = wait_for(settled, 60, "the upload to be replicated and reported")
    for host, each in storages.items():
        assert (each["status"], each["version"], each["port"]) == ("ACTIVE", "5.05", 23000)
        assert 0 < each["free_mb"] < each["total_mb"]
        assert abs(each["last_heart_beat"] - time.time()) < 60
        assert each["counters"]["success_upload_count"] == (host == source)
        assert each["sync_lag"] == 0
    assert abs(storages[source]["last_source_update"] - time.time()) < 60

    cluster.daemons[-1].stop()
    first.stop()
    gone = {"wait_for": {"storages": [hosts[1]], "status": "OFFLINE"}, "poll_interval": 0.2}
    result = run(fastdfs_info, trackers=trackers, **gone)
    assert "msg" not in result, result["msg"]
    assert [tracker["reachable"] for tracker in result["trackers"]] == [False, True]
    assert result["trackers"][0]["error"].startswith(f"tracker {first.address}:22122, asked for its groups, ")
    assert result["told_by"] == f"{second.address}:22122"
    json.dumps(result)
