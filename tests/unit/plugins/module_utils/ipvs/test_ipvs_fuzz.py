# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a playbook hands over is taken or refused in sentences; no other exception shows itself."""

from __future__ import annotations

import contextlib

from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.desired import (
    DAEMON_FIELDS,
    SERVER_FIELDS,
    SERVICE_FIELDS,
    InputError,
    desired,
)
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.drain import PLACE_FIELDS, request
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.plan import policy
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils.weights import scheduler_weights
from hypothesis import given, settings
from hypothesis import strategies as st

words = st.sampled_from(
    ["", "tcp", "udp", "mh", "mh-port", "tunnel", "gue", "absent", "10.0.0.1", "fd00::1", "80", "1e3", "x\n"]
)
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | words
anything = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3), max_leaves=6
)


def mappings(fields, **known):
    """Mappings of these fields to anything, or to what is mostly right for some of them."""
    values = {name: known.get(name, st.nothing()) | anything for name in fields}
    return st.fixed_dictionaries({}, optional=values)


servers = st.lists(mappings(SERVER_FIELDS, address=words) | anything, max_size=2)
services = st.lists(
    mappings(SERVICE_FIELDS, address=words, port=st.just(80), fwmark=st.just(1), servers=servers) | anything,
    max_size=2,
)
daemons = st.lists(mappings(DAEMON_FIELDS, role=st.just("master")) | anything, max_size=2)
timeouts = mappings(("tcp", "tcp_fin", "udp"))


@contextlib.contextmanager
def sentences():
    try:
        yield
    except InputError as error:
        assert error.problems
        assert all(": " in problem for problem in error.problems)


@given(services | anything, timeouts | anything, daemons | anything)
@settings(deadline=None)
def test_a_request(services, timeouts, daemons):
    with sentences():
        desired(services, timeouts, daemons)


@given(
    mappings(("address", "port"), address=words) | anything,
    st.lists(
        mappings(PLACE_FIELDS, address=words, port=st.just(80), fwmark=st.just(1)) | anything, max_size=2
    )
    | anything,
    anything,
    anything,
    st.sampled_from(["drained", "active"]),
)
@settings(deadline=None)
def test_a_drain(server, places, weight, seconds, state):
    times = {"wait": "all", "timeout": seconds, "poll_interval": seconds}
    with sentences():
        request({"server": server, "services": places, "weight": weight, "state": state, **times})


@given(anything, st.lists(anything, max_size=3), anything)
@settings(deadline=None)
def test_rules(purge, scope, keep_weights):
    with sentences():
        policy(purge, scope, keep_weights)


@given(
    st.dictionaries(
        words, st.integers(1, 9) | st.dictionaries(words, st.integers(1, 9) | anything) | anything, max_size=4
    )
    | anything,
    st.just(100) | anything,
    st.just(0.01) | anything,
    st.just(()) | anything,
    st.none() | st.dictionaries(words, st.integers(1, 9)) | anything,
)
@settings(deadline=None)
def test_capacities(capacities, maximum, tolerance, drained, demand):
    try:
        scheduler_weights(capacities, maximum, tolerance, drained, demand)
    except ValueError as error:
        assert str(error)
