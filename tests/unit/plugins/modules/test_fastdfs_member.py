# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ``fastdfs_member`` as Ansible calls it, with trackers that obey, refuse, lie or are away."""

from __future__ import annotations

import errno

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs import wire
from ansible_collections.imageops.lvs_fastdfs.plugins.modules import fastdfs_member
from fake_fastdfs import answer, closed_address

OFFLINE, DELETED, ACTIVE = 5, 4, 7
HOST = "192.0.2.11"
BODY = b"group1".ljust(16, b"\0") + HOST.encode()


def tracker(status, after=DELETED, refuses=0):
    """What a tracker answers whose one storage in group1 has this status, and another once it was deleted."""
    state = {"status": status}

    def respond(command, body):
        if command == wire.LIST_GROUPS:
            return [answer(wire.GROUP.pack(b"group1", *range(11)))]
        if command == wire.LIST_STORAGES:
            names = [] if state["status"] is None else [HOST.encode()] * 2
            return [
                answer(
                    wire.STORAGE.pack(state["status"], *names, b"", b"", b"5.05", *range(10), bytes(348), 0)
                    if names
                    else b""
                )
            ]
        if command == wire.DELETE_STORAGE:
            state["status"] = after
            return [answer(status=refuses)]
        return [answer(b"\1" + bytes(16))]

    return respond


def ports(*servers):
    return [f"127.0.0.1:{server.address[1]}" for server in servers]


def orders(server):
    return [body for command, body in server.seen if command == wire.DELETE_STORAGE]


def test_every_tracker_that_knows_the_storage_is_told(run, serve):
    servers = [serve(tracker(status)) for status in (OFFLINE, DELETED, None)]
    asked = {"trackers": ports(*servers), "group": "group1", "storage": HOST}
    foretold = run(fastdfs_member, check=True, **asked)
    assert foretold["changed"] and [orders(server) for server in servers] == [[], [], []]
    result = run(fastdfs_member, **asked)
    assert result["changed"] and list(result["before"].values()) == ["OFFLINE", "DELETED", "unknown"]
    assert [orders(server) for server in servers] == [[BODY], [], []]
    again = run(fastdfs_member, **asked)
    assert not again["changed"] and orders(servers[0]) == [BODY]


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ((ACTIVE,), r"is ACTIVE to 127.0.0.1:{port}: stop its fdfs-storaged.service first"),
        (
            (OFFLINE, OFFLINE, errno.EBUSY),
            "asked to forget storage 192.0.2.11 of group1, refused: that is in use",
        ),
        ((OFFLINE, ACTIVE), "192.0.2.11 of group1 is ACTIVE still"),
    ],
)
def test_a_tracker_that_keeps_the_storage_is_named(run, serve, second, sentence):
    server = serve(tracker(*second))
    result = run(fastdfs_member, trackers=ports(server), group="group1", storage=HOST)
    assert result["failed"] and sentence.format(port=server.address[1]) in result["msg"]


def test_nobody_is_told_when_a_tracker_is_away(run, serve):
    server = serve(tracker(OFFLINE))
    away = "{}:{}".format(*closed_address())
    result = run(fastdfs_member, trackers=[*ports(server), away], group="group1", storage=HOST)
    assert result["failed"] and result["msg"].startswith(
        "every tracker has to be told, and not all answer: tracker " + away
    )
    assert orders(server) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"storage": "image4"}, "'image4' is neither an IPv4 address nor an id"),
        ({"group": "no group"}, "'no group' is no name of a group"),
        ({"group": "group9"}, "no tracker knows the group 'group9'; known: group1"),
        ({"trackers": []}, "trackers: is empty"),
    ],
)
def test_what_cannot_be_asked_is_said(run, serve, words, sentence):
    server = serve(tracker(OFFLINE))
    result = run(fastdfs_member, **{"trackers": ports(server), "group": "group1", "storage": HOST, **words})
    assert result["failed"] and sentence in result["msg"]
    assert orders(server) == []
