# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights keep their promises, for every set of capacities."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils.weights import (
    host_capacities,
    scheduler_weights,
)
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st


def error(capacities: dict, weights: dict) -> Fraction:
    """The largest relative deviation of a share from the ideal, in exact numbers."""
    whole, total = sum(weights.values()), sum(Fraction(str(value)) for value in capacities.values())
    return max(
        abs(Fraction(weights[host], whole) / (Fraction(str(value)) / total) - 1)
        for host, value in capacities.items()
    )


def alike(capacities: dict, weights: dict) -> bool:
    """Whether equal capacities have equal weights."""
    return len({(value, weights[host]) for host, value in capacities.items()}) == len(
        set(capacities.values())
    )


@pytest.mark.parametrize(
    ("capacities", "options", "weights"),
    [
        ({}, {}, {}),
        ({"a": 7}, {}, {"a": 1}),
        ({"a": 8, "b": 8, "c": 8}, {}, {"a": 1, "b": 1, "c": 1}),
        ({"a": 4, "b": 8, "c": 16}, {}, {"a": 1, "b": 2, "c": 4}),
        ({"a": 0.5, "b": 1.5}, {}, {"a": 1, "b": 3}),
        ({"a": "4", "b": "6.0"}, {}, {"a": 2, "b": 3}),
        ({"a": 100, "b": 101}, {}, {"a": 1, "b": 1}),
        ({"a": 100, "b": 101}, {"tolerance": 0}, {"a": 99, "b": 100}),
        ({"a": 100, "b": 101}, {"tolerance": 0, "maximum": 101}, {"a": 100, "b": 101}),
        ({"a": 1, "b": 1000}, {}, {"a": 1, "b": 100}),
        ({"a": 1, "b": 1000}, {"maximum": 65535}, {"a": 1, "b": 991}),
        ({"a": 0, "b": 3}, {}, {"a": 0, "b": 1}),
        ({"a": 1e-20, "b": 3}, {}, {"a": 1, "b": 100}),
        ({"a": 0, "b": 0}, {}, {"a": 0, "b": 0}),
        ({"a": 1, "b": 2, "c": 3}, {"drained": ["c"]}, {"a": 1, "b": 2, "c": 0}),
        ({"a": 1, "b": 2}, {"drained": ["a", "b"]}, {"a": 0, "b": 0}),
        ({"a": 3, "b": 7}, {"maximum": 1}, {"a": 1, "b": 1}),
        ({"a": 3, "b": 3, "c": 0.5}, {"tolerance": 0.1}, {"a": 6, "b": 6, "c": 1}),
        ({"a": {"vcpus": 0}, "b": {"vcpus": 0}}, {}, {"a": 0, "b": 0}),
        ({"a": {"vcpus": 4, "link_mbps": 0}, "b": {"vcpus": 2, "link_mbps": 0}}, {}, {"a": 2, "b": 1}),
        # One that is too small for the maximum has no say in the others' weights.
        ({"tiny": 1, "a": 100, "b": 200, "c": 400}, {}, {"tiny": 1, "a": 25, "b": 50, "c": 100}),
        ({"tiny": 1, "less": 2, "a": 500}, {"maximum": 10}, {"tiny": 1, "less": 1, "a": 10}),
        ({"tiny": 3, "a": 10, "b": 20}, {"maximum": 4}, {"tiny": 1, "a": 2, "b": 4}),
        (
            {"tiny": 1, "a": 20, "b": 18, "c": 16},
            {"maximum": 2, "tolerance": 0},
            {"tiny": 1, "a": 2, "b": 2, "c": 2},
        ),
        # What comes closest is looked for among all sums, and within the maximum.
        ({"a": 289, "b": 68}, {"maximum": 10, "tolerance": 0}, {"a": 9, "b": 2}),
        ({"a": 27, "b": 39, "c": 21, "d": 12}, {"maximum": 5}, {"a": 3, "b": 4, "c": 2, "d": 1}),
        (
            {"a": 1, "b": 3, "c": 5, "d": 3},
            {"maximum": 3, "tolerance": 0.2},
            {"a": 1, "b": 2, "c": 3, "d": 2},
        ),
        ({"a": 10, "b": 4, "c": 3, "d": 32}, {"maximum": 5}, {"a": 1, "b": 1, "c": 1, "d": 3}),
    ],
)
def test_weights(capacities, options, weights):
    assert scheduler_weights(capacities, **options) == weights


def test_hosts_may_come_from_a_generator():
    assert scheduler_weights({"a": 1, "b": 2}, drained=(host for host in "b")) == {"a": 1, "b": 0}
    assert host_capacities((host for host in "a"), {"a": {"image_cluster_capacity": 3}}) == {"a": 3}


def test_the_scarcest_resource_decides():
    hosts = {"a": {"vcpus": 4, "link_mbps": 1000}, "b": {"vcpus": 16, "link_mbps": 1000}}
    assert scheduler_weights(hosts, demand={"vcpus": 0.01, "link_mbps": 1.25}) == {"a": 1, "b": 2}
    assert scheduler_weights(hosts, demand={"vcpus": 1}) == {"a": 1, "b": 4}
    assert scheduler_weights(hosts, demand={"vcpus": 0, "link_mbps": 5}) == {"a": 1, "b": 1}
    assert scheduler_weights({"a": {"vcpus": 2}, "b": {"vcpus": 6}}) == {"a": 1, "b": 3}


def test_without_a_demand_load_takes_what_the_hosts_have_together():
    hosts = {"a": {"vcpus": 4, "link_mbps": 1000}, "b": {"vcpus": 12, "link_mbps": 1000}}
    # a has a quarter of the processors and half of the bandwidth, b three quarters and half
    assert scheduler_weights(hosts) == {"a": 1, "b": 2}
    assert scheduler_weights({**hosts, "c": {"vcpus": 64}}, drained=["c"]) == {"a": 1, "b": 2, "c": 0}
    assert scheduler_weights(hosts, drained=["a", "b"]) == {"a": 0, "b": 0}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([1, 2],), r"capacities must be a mapping .*\[1, 2\]"),
        (({"web1": -1},), "web1: capacity must be a number and at least 0, not -1"),
        (({"web1": "fast"},), "web1: capacity must be a number and at least 0, not 'fast'"),
        (({"web1": True},), "web1: capacity must be a number .*not True"),
        (({"web1": None},), "web1: capacity must be a number .*not None"),
        (({"web1": float("nan")},), "web1: capacity must be a number .*not nan"),
        (({"web1": float("inf")},), "web1: capacity must be a number .*not inf"),
        (({"web1": "1/0"},), "web1: capacity must be a number"),
        (
            (
                {"a": {"vcpus": 4, "disk": 0}, "b": {"vcpus": 2, "disk": 0}},
                100,
                0.01,
                (),
                {"vcpus": 1, "disk": 1},
            ),
            "no host can take any load: a has no disk, b has no disk; leave out of the demand what no load needs",
        ),
        (
            ({"a": {"x": 4, "y": 0}, "b": {"x": 0, "y": 5}},),
            "no host can take any load: a has no y, b has no x",
        ),
        (({"web1": 1}, 0), "maximum must be an integer from 1 to 65535, not 0"),
        (({"web1": 1}, 65536), "maximum must be an integer from 1 to 65535, not 65536"),
        (({"web1": 1}, 1.5), "maximum must be an integer from 1 to 65535, not 1.5"),
        (({"web1": 1}, 100, -1), "tolerance must be a number and at least 0, not -1"),
        (({"web1": 1}, 100, 0.01, ["web9"]), "drained names web9, which has no capacity"),
        (
            ({"web1": {"vcpus": 1, "link_mbps": 1}, "web2": {"vcpus": 1}},),
            "web2: capacity .* has no link_mbps, which is in demand",
        ),
        (({"web1": {"vcpus": 1}, "web2": 4},), "web2: capacity must be a mapping of resources, not 4"),
        (({"web1": {"vcpus": "x"}},), "web1: vcpus must be a number and at least 0, not 'x'"),
        (({"web1": {"vcpus": 1}}, 100, 0.01, [], 3), "web1: .* demand must be a mapping of them, not 3"),
        (({"web1": {}},), "web1: capacity {} has resources, so demand must be"),
        (
            ({"web1": {"vcpus": 1}}, 100, 0.01, [], {"disk": 1}),
            "web1: capacity {'vcpus': 1} has no disk, which is in demand",
        ),
        (
            ({"web1": {"vcpus": "x"}}, 100, 0.01, [], {"vcpus": 1}),
            "web1: vcpus must be a number and at least 0, not 'x'",
        ),
        (
            ({"web1": {"vcpus": 1}}, 100, 0.01, [], {"vcpus": "x"}),
            "demand of vcpus must be a number and at least 0, not 'x'",
        ),
        (
            ({"web1": {"vcpus": 1}}, 100, 0.01, [], {"vcpus": 0}),
            "demand {'vcpus': 0} takes nothing of any resource",
        ),
        (
            ({"web1": 4}, 100, 0.01, [], {"vcpus": 1}),
            "web1: capacity must be a mapping of resources, not 4",
        ),
    ],
)
def test_wrong_input_is_named(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        scheduler_weights(*arguments)


capacity = st.one_of(st.integers(1, 10**6), st.floats(0.001, 10**6), st.sampled_from([1, 2, 3, 4, 8, 16]))
fleets = st.dictionaries(st.sampled_from("abcdefgh"), capacity, min_size=1, max_size=8)


@given(fleets, st.sampled_from([1, 3, 10, 100]), st.sampled_from([0, 0.001, 0.01, 0.1, 1, 3]))
@settings(deadline=None)
def test_order_limits_and_tolerance(capacities, maximum, tolerance):
    weights = scheduler_weights(capacities, maximum, tolerance)
    assert list(weights) == list(capacities)
    assert all(isinstance(weight, int) and 1 <= weight <= maximum for weight in weights.values())
    for one, other in itertools.permutations(capacities, 2):
        if capacities[one] > capacities[other]:
            assert weights[one] >= weights[other]
    assert weights == scheduler_weights(dict(reversed(capacities.items())), maximum, tolerance)


small = st.lists(st.integers(1, 40), min_size=2, max_size=3)


@given(small, st.integers(2, 12), st.sampled_from([0.0, 0.01, 0.05, 0.3]))
@example([3, 4, 36], 12, 0.0)  # a twelfth is no whole number of units
@settings(deadline=None)
def test_no_smaller_and_no_better_weights_exist(amounts, maximum, tolerance):
    capacities = dict(zip("abc", amounts))
    found = scheduler_weights(capacities, maximum, tolerance)
    allowed = Fraction(str(tolerance)) + Fraction(1, 10**8)
    rest = itertools.product(range(1, maximum + 1), repeat=len(amounts))
    others = [dict(zip("abc", weights)) for weights in rest]
    within = [other for other in others if error(capacities, other) <= allowed and alike(capacities, other)]
    if within:
        assert alike(capacities, found)
        assert error(capacities, found) <= allowed
        assert sum(found.values()) == min(sum(other.values()) for other in within)
        return
    # The tiny ones get 1, and the others are as large as can be.
    large = {host: value for host, value in capacities.items() if value * maximum >= max(amounts)}
    tiny = {host: found[host] for host in capacities if host not in large}
    assert set(tiny.values()) <= {1}
    fits = [other for other in others if all(other[host] == 1 for host in tiny)]
    errors = {tuple(other.values()): error(large, {host: other[host] for host in large}) for other in fits}
    mine = errors[tuple(found.values())]
    least = min(errors.values())
    assert mine <= max(least, allowed if tiny else least) + Fraction(1, 10**8)
    if tiny:
        same = [
            other
            for other in fits
            if errors[tuple(other.values())] <= max(least, allowed)
            and alike(large, {host: other[host] for host in large})
        ]
        assert sum(found.values()) >= max((sum(other.values()) for other in same), default=0)


@pytest.mark.parametrize(
    ("count", "spread", "maximum"),
    [(300, 400, 100), (300, 10**6, 100), (1000, 10**5, 1000), (1000, 10**6, 65535)],
)
def test_many_different_hosts_have_weights_near_their_capacities(count, spread, maximum):
    # a step that is no divisor of the spread: no two are alike, and all sizes are there
    capacities = {f"host{number}": 1 + number * 7919 % spread for number in range(count)}
    weights = scheduler_weights(capacities, maximum)
    assert max(weights.values()) <= maximum
    large = {host: value for host, value in capacities.items() if value * maximum >= max(capacities.values())}
    assert {weights[host] for host in capacities if host not in large} == {1}
    # The worst is a host that should have one and a half.
    assert error(large, {host: weights[host] for host in large}) < Fraction(2, 5)


@given(fleets, st.sampled_from([0.1, 3, 7.7, 1e-3, 1e6, Fraction(1, 3)]))
@settings(deadline=None)
def test_only_proportions_count(capacities, factor):
    assert scheduler_weights(capacities) == scheduler_weights(
        {host: value * factor for host, value in capacities.items()}
    )


@given(fleets, st.data())
@settings(deadline=None)
def test_drained_hosts_get_nothing_and_the_others_share_as_without_them(capacities, data):
    drained = data.draw(st.lists(st.sampled_from(sorted(capacities)), unique=True))
    weights = scheduler_weights(capacities, drained=drained)
    assert all(weights[host] == 0 for host in drained)
    active = {host: value for host, value in capacities.items() if host not in drained}
    assume(active)
    assert {host: weights[host] for host in active} == scheduler_weights(active)


def facts(vcpus: int | None, speed: int | str | None = None, interface: str = "eth0") -> dict:
    return {
        "ansible_facts": {
            "processor_vcpus": vcpus,
            "default_ipv4": {"interface": interface},
            interface.replace("-", "_"): {} if speed is None else {"speed": speed},
        }
    }


@pytest.mark.parametrize(
    ("hostvars", "capacities"),
    [
        ({}, {}),
        (
            {"a": facts(4, 1000), "b": facts(8, 10000, "br-lan")},
            {"a": {"vcpus": 4, "link_mbps": 1000}, "b": {"vcpus": 8, "link_mbps": 10000}},
        ),
        ({"a": facts(4, 1000), "b": facts(8, -1)}, {"a": {"vcpus": 4}, "b": {"vcpus": 8}}),
        ({"a": facts(4, 1000), "b": facts(8, "unknown")}, {"a": {"vcpus": 4}, "b": {"vcpus": 8}}),
        ({"a": facts(4, 1000), "b": facts(8)}, {"a": {"vcpus": 4}, "b": {"vcpus": 8}}),
        ({"a": {"image_cluster_capacity": 3}, "b": {"image_cluster_capacity": "5"}}, {"a": 3, "b": "5"}),
        (
            {"a": {**facts(4, 1000), "image_cluster_capacity": {"vcpus": 2}}, "b": facts(8, 1000)},
            {"a": {"vcpus": 2}, "b": {"vcpus": 8}},
        ),
        ({"a": {"image_cluster_capacity": 0}}, {"a": 0}),
    ],
)
def test_capacities_come_from_host_variables_and_facts(hostvars, capacities):
    assert host_capacities(list(hostvars), hostvars) == capacities


def test_another_variable():
    assert host_capacities(["a"], {"a": {"size": 3}}, "size") == {"a": 3}


@pytest.mark.parametrize("hosts", [None, "web1", {"web1": {}}])
def test_hosts_must_be_a_list(hosts):
    with pytest.raises(ValueError, match=r"hosts must be a list of names, not "):
        host_capacities(hosts, {"web1": {"image_cluster_capacity": 1}})


@pytest.mark.parametrize(
    ("hostvars", "sentence"),
    [
        ({"a": None}, "a: is not in the inventory"),
        ({"a": {}}, "a: has neither image_cluster_capacity nor the fact processor_vcpus"),
        (
            {"a": {"image_cluster_capacity": 3}, "b": facts(4)},
            "image_cluster_capacity is a number for some hosts: give b a number too",
        ),
        (
            {"a": {"image_cluster_capacity": {"iops": 3}}, "b": facts(4)},
            "no resource is known of all of a, b",
        ),
    ],
)
def test_capacities_that_cannot_be_compared(hostvars, sentence):
    with pytest.raises(ValueError, match=sentence):
        host_capacities(
            list(hostvars), {host: known for host, known in hostvars.items() if known is not None}
        )


@pytest.mark.parametrize("capacity", ["abc", -3, {"vcpus": "many"}])
def test_a_drained_host_s_capacity_is_looked_at_too(capacity):
    with pytest.raises(ValueError, match=r"^b: (capacity|vcpus) must be a number"):
        scheduler_weights({"a": 1, "b": capacity}, drained=["b"])


def test_hosts_that_differ_by_next_to_nothing_are_in_the_order_of_their_capacities():
    capacities = {"y": 40.0000000000028, "v": 40.0, "z": 9.00000000000027, "x": 20.0000000000012, "w": 14}
    weights = scheduler_weights(capacities, maximum=10, tolerance=0.05)
    assert weights["y"] >= weights["v"]
