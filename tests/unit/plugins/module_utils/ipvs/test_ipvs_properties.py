# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every table and every request."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs import render
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.desired import InputError, desired
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.model import Table
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.parse import parse
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.plan import (
    describe,
    in_parts,
    plan,
    policy,
    settle,
)
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.run import (
    READ,
    READ_COUNTERS,
    IpvsError,
)
from fake_ipvsadm import INVALID, FakeIpvsadm, KernelError
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import REALS, apply, requests

pytestmark = pytest.mark.filterwarnings("error")

policies = st.builds(
    policy,
    st.sampled_from(["none", "servers", "services"]),
    st.sampled_from(
        [["192.0.2.0/24", "fwmark:1-9"], ["2001:db8::/32"], ["0.0.0.0/0", "::/0", "fwmark:1-4294967295"]]
    ),
    st.sampled_from(["none", "drained", "all"]),
)


def holding(request: dict) -> FakeIpvsadm:
    """A kernel that holds what this request asks for."""
    fake = FakeIpvsadm()
    apply(fake, desired(**request))
    fake.calls.clear()
    return fake


def state(fake: FakeIpvsadm) -> tuple:
    return copy.deepcopy((fake.virtuals, fake.timeouts, fake.daemons))


def attempt(fake: FakeIpvsadm, request: dict, rules):
    """Apply, or None where the kernel could not hold the whole: sync daemons beside servers of another family."""
    try:
        return apply(fake, desired(**request), rules)
    except InputError as error:
        assert all("sync daemon" in problem for problem in error.problems)
        return None


@given(requests(absent=False), requests(), policies)
@settings(deadline=None)
def test_a_second_run_reads_once_and_finds_nothing_to_do(start, request_, rules):
    fake = holding(start)
    done = attempt(fake, request_, rules)
    if done is None:
        return
    # One to read, one to write, and one more where a pool loses real servers while it gets others.
    assert len(fake.calls) <= (3 if all(in_parts(done.steps)) else 2)
    before = state(fake)
    fake.calls.clear()
    again = apply(fake, desired(**request_), rules)
    assert again.steps == []
    assert len(fake.calls) == 1
    assert fake.writes == []
    assert state(fake) == before


@given(requests(absent=False), requests(), policies)
@settings(deadline=None)
def test_check_mode_has_the_plan_of_the_real_run_and_changes_nothing(start, request_, rules):
    fake = holding(start)
    before = state(fake)
    try:
        checked = apply(fake, desired(**request_), rules, check=True)
    except InputError:
        return
    assert state(fake) == before
    assert fake.writes == []
    done = apply(fake, desired(**request_), rules)
    assert done.steps == checked.steps
    assert render.listing(done.after) == render.listing(checked.after)


@given(requests(absent=False))
@settings(deadline=None)
def test_what_is_rendered_reads_back_as_the_same_table(request_):
    wanted = desired(**request_)
    table = Table(wanted.services)
    lines = "".join(f"{step.line}\n" for step in plan(Table(), table))
    assert parse(lines).table() == table
    fake = FakeIpvsadm()
    _status, _output, errors = fake(lines)
    assert errors == ""
    assert parse(fake("\n".join(READ))[1]).table() == table


@given(requests(absent=False))
@settings(deadline=None)
def test_what_is_returned_can_be_given_back(request_):
    wanted = desired(**request_)
    shape = render.table_shape(Table(wanted.services, sync_daemons=wanted.sync_daemons or {}))
    again = desired(**shape)
    assert again.services == wanted.services
    assert again.sync_daemons == (wanted.sync_daemons or {})


@given(requests(absent=False), policies)
@settings(deadline=None)
def test_what_ipvs_info_returns_is_what_stands(request_, rules):
    fake = holding(request_)
    listing = parse(fake("\n".join(READ_COUNTERS))[1])
    info = render.counted_shape(listing.table(), listing.numbers)
    assert apply(fake, desired(**info), rules).steps == []
    other = FakeIpvsadm()
    apply(other, desired(**info))
    assert state(other) == state(fake)


@given(requests(absent=False), requests(), policies)
@settings(deadline=None)
def test_no_pool_is_empty_for_a_moment(start, request_, rules):
    fake = holding(start)
    before = parse(fake("\n".join(READ))[1]).table()
    wanted = desired(**request_)
    after = settle(before, wanted, rules)
    full = {
        name
        for name, service in before.services.items()
        if name in after.services
        and any(server.weight for server in service.servers.values())
        and any(server.weight for server in after.services[name].servers.values())
    }
    for step in plan(before, after):
        assert not step.line.startswith("-C")
        fake(step.line)
        now = parse(fake("-S -n")[1]).services
        for name in full:
            assert any(server.weight for server in now[name].servers.values()), step.line


@given(requests(absent=False), requests(), policies)
@settings(deadline=None)
def test_nothing_that_is_not_named_is_touched_outside_the_scope(start, request_, rules):
    fake = holding(start)
    wanted = desired(**request_)
    before = parse(fake("\n".join(READ))[1]).services
    if attempt(fake, request_, rules) is None:
        return
    after = parse(fake("\n".join(READ))[1]).services
    for name, service in before.items():
        if name in wanted.absent:
            assert name not in after
        elif name not in wanted.services:
            if rules.purge == "services" and name in rules.scope:
                assert name not in after
            else:
                assert after[name] == service
        else:
            named = wanted.services[name].servers
            others = {key: value for key, value in service.servers.items() if key not in named}
            left = {key: value for key, value in after[name].servers.items() if key not in named}
            purged = rules.purge != "none" and name in rules.scope and name not in wanted.unmanaged
            assert left == ({} if purged else others)


@given(requests(absent=False), requests(), policies)
@settings(deadline=None)
def test_weights_keep_their_promises(start, request_, rules):
    fake = holding(start)
    before = parse(fake("-S -n")[1]).services
    outcome = attempt(fake, request_, rules)
    if outcome is None:
        return
    for name, service in desired(**request_).services.items():
        for key, server in service.servers.items():
            weight = outcome.after.services[name].servers[key].weight
            stood = (
                before[name].servers[key].weight if name in before and key in before[name].servers else None
            )
            kept = stood is not None and (
                rules.keep_weights == "all" or (rules.keep_weights == "drained" and stood == 0)
            )
            assert weight == (stood if kept else server.weight)


class Watched(FakeIpvsadm):
    """A kernel that refuses one line, and notes the pools of ``full`` that are empty after any other one."""

    def __init__(self, fake: FakeIpvsadm, full: set, refused: str) -> None:
        super().__init__()
        self.virtuals, self.timeouts, self.daemons = state(fake)
        self.full, self.empty, self.refused = full, [], refused

    def command(self, words: list[str]) -> list[str]:
        if " ".join(words) == self.refused:
            raise KernelError(INVALID)
        output = super().command(words)
        self.empty += [(" ".join(words), name) for name in self.full & self.pools(at_least=0) - self.pools()]
        return output

    def pools(self, at_least: int = 1) -> set:
        """The services that have so many real servers with a weight."""
        return {
            name
            for name, virtual in self.virtuals.items()
            if sum(bool(dest.weight) for dest in virtual.dests.values()) >= at_least
        }


@given(requests(absent=False), requests(), policies, st.data())
@settings(deadline=None)
def test_all_or_nothing_when_the_kernel_refuses_a_line(start, request_, rules, data):
    fake = holding(start)
    try:
        steps = apply(fake, desired(**request_), rules, check=True).steps
    except InputError:
        return
    if not steps:
        return
    refused = data.draw(st.sampled_from(steps))
    before = state(fake)
    done = Watched(fake, set(), "")
    apply(done, desired(**request_), rules)
    # Pools that have somebody before and have somebody afterwards.
    kernel = Watched(fake, Watched(fake, set(), "").pools() & done.pools(), refused.line)
    with pytest.raises(IpvsError) as caught:
        apply(kernel, desired(**request_), rules)
    message = str(caught.value)
    assert "does not hold what was asked" in message
    lines = " and ".join(step.line for step in steps if step.subject == refused.subject)
    assert f"{describe(refused.subject)} ({lines})" in caught.value.problems
    assert INVALID in message
    assert "The table before was put back" in message
    assert caught.value.plan == steps
    assert state(kernel) == before
    assert kernel.empty == []


pools = st.dictionaries(st.sampled_from(REALS["ipv4"]), st.integers(0, 1), max_size=3)


@given(st.lists(st.tuples(pools, pools), min_size=1, max_size=2), st.booleans())
@settings(deadline=None)
def test_no_refused_line_leaves_a_pool_empty_for_a_moment(changes, thresholds):
    def request(which: int) -> dict:
        upper = 7 * which if thresholds else 0  # those that stay are edited too
        return {
            "services": [
                {
                    "fwmark": mark,
                    "servers": [
                        {"address": address, "weight": weight, "upper_threshold": upper}
                        for address, weight in change[which].items()
                    ],
                }
                for mark, change in enumerate(changes, start=1)
            ]
        }

    fake = holding(request(0))
    before = state(fake)
    rules = policy("servers")
    for step in apply(fake, desired(**request(1)), rules, check=True).steps:
        full = {
            ("FWM", "", mark)
            for mark, change in enumerate(changes, start=1)
            if any(change[0].values()) and any(change[1].values())
        }
        kernel = Watched(fake, full, step.line)
        with pytest.raises(IpvsError, match="The table before was put back"):
            apply(kernel, desired(**request(1)), rules)
        assert state(kernel) == before
        assert kernel.empty == []
