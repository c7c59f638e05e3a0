"""With which sentences the role keepalived refuses its arguments."""

from __future__ import annotations

import pytest
from role_templates import problems

SERVERS = [{"address": "192.0.2.21", "weight": 2}, {"address": "192.0.2.22"}]
GIVEN = {
    "keepalived_lvs_vips": ["192.0.2.10"],
    "keepalived_lvs_services": [{"fwmark": 1, "servers": SERVERS}],
}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"keepalived_lvs_quorum": 3},
        {"keepalived_lvs_sorry_server": {"address": "192.0.2.30", "port": 0}},
        # Nobody stands there yet.
        {"keepalived_lvs_services": [{"fwmark": 1}], "keepalived_lvs_quorum": 5},
        {
            "keepalived_lvs_services": [{"address": "192.0.2.10", "port": 80, "servers": SERVERS}],
            "keepalived_lvs_sorry_server": {"address": "192.0.2.30", "port": 8080},
        },
    ],
)
def test_sound_arguments_have_no_problem(asked):
    assert problems("keepalived", **GIVEN | asked) == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"keepalived_lvs_quorum": 0}, "keepalived_lvs_quorum 0: write a sum"),
        ({"keepalived_lvs_quorum": 4}, "of firewall mark 1 weigh 3 together, write no more than that."),
        (
            {
                "keepalived_lvs_services": [{"address": "192.0.2.10", "port": 80, "servers": SERVERS}],
                "keepalived_lvs_quorum": 4,
            },
            "of 192.0.2.10 port 80 weigh 3 together",
        ),
        (
            {"keepalived_lvs_sorry_server": {"address": "192.0.2.30", "port": 8080}},
            "keepalived_lvs_sorry_server.port 8080: a virtual service of a firewall mark keeps",
        ),
        (
            {
                "keepalived_lvs_services": [
                    {"fwmark": 1, "servers": [{"address": "192.0.2.21", "weight": 254}]}
                ]
            },
            "a check can carry weights from 0 to 253",
        ),
    ],
)
def test_a_wrong_argument_is_answered_by_one_sentence(asked, words):
    (sentence,) = problems("keepalived", **GIVEN | asked)
    assert words in sentence
