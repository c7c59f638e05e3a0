# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake has the habits of the real program that it is there for, and makes the table that the real one was seen to make."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.parse import parse
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.run import READ
from fake_ipvsadm import Connection, FakeIpvsadm

RECORDED = Path(__file__).with_name("fixtures") / "ipvsadm-1.31"
WEB = "-A -t 192.0.2.1:80 -s wrr"
REAL = "-a -t 192.0.2.1:80 -r 10.0.0.1:80"


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_it_makes_the_table_that_was_recorded():
    fake = FakeIpvsadm()
    assert fake((RECORDED / "make-table.txt").read_text()) == (0, "", "")
    recorded = (RECORDED / "full.txt").read_text()
    made, real = parse(fake("\n".join(READ))[1]), parse(recorded)
    assert made.table() == real.table()
    assert list(made.services) == list(real.services)
    saved = fake("-S -n")[1]
    assert words(saved) == [line for line in words(recorded) if line and line[0] in ("-A", "-a")]


@pytest.mark.parametrize(
    ("lines", "status", "errors", "left"),
    [
        # a kernel error prints one line and goes on; the status is that of the last line
        ([WEB, WEB, REAL], 0, 1, {"10.0.0.1": "-g 1 0 0"}),
        ([WEB, REAL, WEB], 255, 1, {"10.0.0.1": "-g 1 0 0"}),
        ([WEB, "-A -t 192.0.2.1:81 -s bogus", REAL], 0, 1, {"10.0.0.1": "-g 1 0 0"}),
        # an unknown option skips the line
        ([WEB, REAL + " --colour red", "-a -t 192.0.2.1:80 -r 10.0.0.2:80"], 0, 1, {"10.0.0.2": "-g 1 0 0"}),
        # a semantic error and a comment end it
        ([WEB, "-A -t 192.0.2.1:81 -s rr -b mh-port", REAL], 2, 1, {}),
        ([WEB, "# a comment", REAL], 255, 1, {}),
        # an edit replaces every attribute
        (
            [WEB, REAL + " -m -w 7 -x 9 -y 3", "-e -t 192.0.2.1:80 -r 10.0.0.1:80"],
            0,
            0,
            {"10.0.0.1": "-g 1 0 0"},
        ),
        # lower above upper is an error of the kernel
        ([WEB, REAL + " -x 1 -y 2"], 255, 1, {}),
    ],
)
def test_habits(lines, status, errors, left):
    fake = FakeIpvsadm()
    result = fake("\n".join(lines))
    assert (result[0], result[1], len(result[2].splitlines())) == (status, "", errors)
    dests = fake.virtuals["TCP", "192.0.2.1", 80].dests
    assert {key[0]: f"{d.forward} {d.weight} {d.upper} {d.lower}" for key, d in dests.items()} == left


@pytest.mark.parametrize(("forward", "port"), [("-g", 80), ("-i", 80), ("-m", 8080)])
def test_ports_are_forced_but_for_nat(forward, port):
    fake = FakeIpvsadm()
    fake(f"{WEB}\n-a -t 192.0.2.1:80 -r 10.0.0.1:8080 {forward}")
    assert list(fake.virtuals["TCP", "192.0.2.1", 80].dests) == [("10.0.0.1", port)]


def test_an_edited_service_loses_what_is_not_said_again():
    fake = FakeIpvsadm()
    fake("-A -t 192.0.2.1:80 -s mh -p 60 -b mh-port\n-E -t 192.0.2.1:80")
    assert fake("-S -n")[1] == "-A -t 192.0.2.1:80 -s wlc\n"


def test_saving_leaves_thresholds_out_and_prints_large_marks_as_negative():
    fake = FakeIpvsadm()
    fake("-A -f 4294967295 -s rr\n-a -f 4294967295 -r 10.0.0.1 -x 9 -y 3")
    assert fake("-S -n")[1] == "-A -f -1 -s rr\n-a -f -1 -r 10.0.0.1:0 -g -w 1\n"


def test_connections_are_counted_by_their_state():
    fake = FakeIpvsadm()
    fake(f"{WEB}\n{REAL} -w 0")
    web = (("TCP", "192.0.2.1", 80), ("10.0.0.1", 80))
    fake.connections = [
        Connection(*web),
        Connection(*web, state="SYN_RECV"),
        Connection(*web, state="FIN_WAIT"),
        Connection(*web, state="NONE", client="203.0.113.9:0"),
    ]
    assert words(fake("-L -n --thresholds")[1])[-1] == ["->", "10.0.0.1:80", "0", "0", "2", "1"]
    listed = fake("-L -n -c")[1].splitlines()
    assert listed[:3] == [
        "IPVS connection entries",
        "pro expire state       source             virtual            destination",
        "TCP 01:59  ESTABLISHED 203.0.113.9:40000  192.0.2.1:80       10.0.0.1:80",
    ]
