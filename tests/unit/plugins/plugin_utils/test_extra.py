"""What was said with -e, and who answered in this run."""

from __future__ import annotations

import pytest
from ansible.context import CLIARGS
from ansible.utils.context_objects import CLIArgs
from ansible.utils.vars import load_extra_vars
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils import cluster, extra


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), 600),
        (("timeout=30",), "30"),
        (('{"timeout": 30}',), 30),
        (("timeout=30", "timeout=40 force=true"), "40"),
        (("others=1",), 600),
    ],
)
def test_a_word_counts_when_it_was_given_with_e(monkeypatch, given, expected):
    # It is read once.
    monkeypatch.delattr(load_extra_vars, "extra_vars", raising=False)
    monkeypatch.setattr("ansible.context.CLIARGS", CLIArgs({**dict(CLIARGS), "extra_vars": given}))
    assert extra.extra_variable("timeout", 600) == expected
    monkeypatch.delattr(load_extra_vars, "extra_vars", raising=False)


FACTS = {"ansible_facts": {"effective_user_id": 0}}


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ({**FACTS, "__image_cluster_looked": {"changed": False}}, True),
        # Out of a cache.
        ({**FACTS, "__image_cluster_looked": {"unreachable": True}}, False),
        ({"__image_cluster_looked": {"unreachable": True}}, False),
        # Outside of this run, another host asked it.
        (FACTS, True),
        ({}, False),
    ],
)
def test_a_host_answered_when_it_did_in_this_run(host, answered):
    assert cluster.silent(["image1"], {"image1": host}) == ([] if answered else ["image1"])
