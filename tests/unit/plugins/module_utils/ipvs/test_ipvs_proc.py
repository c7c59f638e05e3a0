# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's short listing, and when it is enough."""

from __future__ import annotations

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs import proc
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.desired import desired
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.model import Table
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.parse import parse
from fake_ipvsadm import FakeIpvsadm
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import apply, requests

HEAD = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
"""
# The same table as a kernel 6.1 shows it and as ipvsadm 1.31 saves it.
SHOWN = (
    HEAD
    + """\
TCP  C0000201:0050 wlc
  -> 0A000001:0050      Masq    2      0          0
UDP  C0000201:0035 rr ops
TCP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0050 wrr
  -> [fd00:0000:0000:0000:0000:0000:0000:0002]:0050      Route   1      0          0
FWM  00000001 wrr
  -> 0ACD0017:0000      Route   1      0          1
  -> 0ACD0016:0000      Tunnel  0      3          12
"""
)
SAVED = """\
-A -t 192.0.2.1:80 -s wlc
-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 2
-A -u 192.0.2.1:53 -s rr -o
-A -t [2001:db8::1]:80 -s wrr
-a -t [2001:db8::1]:80 -r [fd00::2]:80 -g -w 1
-A -f 1 -s wrr
-a -f 1 -r 10.205.0.22:0 -i -w 0 --tun-type ipip
-a -f 1 -r 10.205.0.23:0 -g -w 1
"""


def test_a_table_is_shown_as_the_kernel_shows_it():
    table = parse(SAVED).table()
    assert proc.tells_all(table)
    assert proc.read(SHOWN) == proc.shown(table)


@pytest.mark.parametrize(
    "change",
    [
        ("Masq ", "Route"),
        ("wlc", "wrr"),
        ("  2 ", "  3 "),
        ("0ACD0017", "0ACD0018"),
        ("wlc", "wlc persistent 90000 FFFFFFFF"),
    ],
)
def test_what_is_shown_otherwise_differs(change):
    assert proc.read(SHOWN.replace(*change)) != proc.shown(parse(SAVED).table())


def test_an_empty_table_shows_nothing():
    assert proc.read(HEAD) == proc.shown(Table()) == {}


@pytest.mark.parametrize(
    ("service", "server"),
    [
        ({"scheduler": "mh", "scheduler_flags": ["mh-port"]}, {}),
        ({"persistence_timeout": 60}, {}),
        ({}, {"upper_threshold": 9}),
        ({}, {"forward": "tunnel", "tunnel_type": "gre"}),
        ({}, {"forward": "tunnel", "tunnel_type": "gue", "tunnel_port": 6080}),
        ({"address": "2001:db8::1", "protocol": "udp", "one_packet": True}, {"address": "fd00::2"}),
        ({"address": None, "port": None, "fwmark": 1, "family": "ipv6"}, {"address": "fd00::2"}),
    ],
)
def test_what_the_file_leaves_out_is_known(service, server):
    service = {
        key: value
        for key, value in ({"address": "192.0.2.1", "port": 80} | service).items()
        if value is not None
    }
    wanted = desired([{**service, "servers": [{"address": "10.0.0.1", **server}]}])
    assert not proc.tells_all(Table(wanted.services))


@given(requests(absent=False))
def test_whatever_is_told_is_told_alike(request):
    fake = FakeIpvsadm()
    table = apply(fake, desired(**request)).after
    if proc.tells_all(table):
        assert proc.read(fake.proc()) == proc.shown(table)


@settings(deadline=None)
@given(st.permutations(range(5)), st.permutations(range(5)))
def test_two_directors_get_one_order(mine, others):
    def made(order, scheduler="mh"):
        fake = FakeIpvsadm()
        fake(
            f"-A -f 1 -s {scheduler}\n"
            + "".join(f"-a -f 1 -r 10.0.0.{last} -g -w {last + 1}\n" for last in order)
        )
        return fake

    def table(fake):
        return parse(fake("-S -n\n-L -n --thresholds\n")[1]).table()

    own, other = made(mine), made(others)
    before = table(own)
    lines = proc.reorder(before, own.proc(), other.proc())
    assert bool(lines) == (list(mine) != list(others))
    own("".join(f"{line}\n" for line in lines))
    assert own.proc() == other.proc()
    assert table(own) == before
    assert proc.reorder(before, own.proc(), made(mine[:4]).proc()) == []
    round_robin = made(mine, "wrr")
    assert proc.reorder(table(round_robin), round_robin.proc(), made(others, "wrr").proc()) == []
