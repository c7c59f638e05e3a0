"""What is said of a cluster by who answered how often."""

from __future__ import annotations

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils import verify
from hypothesis import given
from hypothesis import strategies as st

EVEN = {"image1": 1, "image2": 1}


@pytest.mark.parametrize(
    ("served", "weights", "scheduler", "kind", "words"),
    [
        ({"image1": 20, "image2": 20}, EVEN, "rr", {}, None),
        (
            {"image1": 30, "image2": 10},
            EVEN,
            "rr",
            {},
            "image1 answered 30 of 40 requests (75%), and rr promises it 50%.",
        ),
        ({"image1": 40}, EVEN, "wrr", {}, "image2 answered 0 of 40 requests (0%)"),
        ({"image1": 30, "image2": 10}, {"image1": 3, "image2": 1}, "wrr", {}, None),
        ({"image1": 20, "image2": 20}, {"image1": 3, "image2": 1}, "rr", {}, None),
        ({"image1": 20, "image2": 20}, {"image1": 3, "image2": 1}, "wrr", {}, "wrr promises it 75%"),
        ({"image1": 40}, {"image1": 1, "image2": 0}, "wrr", {}, None),
        ({"image1": 39, "image2": 1}, {"image1": 1, "image2": 0}, "wrr", {}, "its weight is 0"),
        (
            {"image1": 20, "stranger": 20},
            EVEN,
            "wlc",
            {},
            "stranger answered 20 of 40 requests, and it is no image server",
        ),
        ({"image1": 40}, EVEN, "mh", {}, None),
        (
            {"image1": 39, "image2": 1},
            EVEN,
            "mh",
            {},
            "One reader met 2 servers (image1, image2), and mh promises one.",
        ),
        ({"image1": 20, "image2": 20}, EVEN, "mh", {"flags": ["mh-port"]}, None),
        ({"image1": 20, "image2": 20}, EVEN, "rr", {"persistent": True}, "rr with persistence promises one"),
        ({"image1": 31, "image2": 9}, EVEN, "wlc", {}, None),
    ],
)
def test_spread(served, weights, scheduler, kind, words):
    said = verify.spread_problems(served, weights, scheduler, **kind)
    if words is None:
        assert said == []
    else:
        assert any(words in sentence for sentence in said), said


@given(
    st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 65535), min_size=1),
    st.sampled_from(["rr", "wrr"]),
)
def test_the_requests_asked_for_can_show_the_promise(weights, scheduler):
    count = verify.requests_needed(weights, scheduler)
    shares = verify.effective(weights, scheduler)
    assert (count == 0) == (not shares)
    assert count <= 400
    if shares and count < 400:
        assert count >= 40
        assert all(count * share % sum(shares.values()) == 0 for share in shares.values())


def test_the_table_reads_like_one():
    lines = verify.table_lines(
        [
            {
                "fwmark": 1,
                "scheduler": "wrr",
                "servers": [{"address": "10.0.0.2", "forward": "dr", "weight": 2, "connections": 7}],
            },
            {"address": "10.0.0.100", "port": 80, "protocol": "tcp", "scheduler": "rr", "servers": []},
        ]
    )
    assert lines == ["firewall mark 1 wrr", "  10.0.0.2 dr weight 2: 7 connections", "tcp 10.0.0.100:80 rr"]


def test_a_server_that_is_silent_or_somebody_else_is_named():
    asked = {"url": "http://10.0.0.2/", "error": "", "status": 200}
    said = verify.direct_problems(
        ["image1", "image2", "image3"],
        [
            asked | {"server": "image1"},
            asked | {"server": "", "status": 404},
            asked | {"server": "", "status": 0, "error": "timed out"},
        ],
    )
    assert [sentence.split(",")[0] for sentence in said] == ["image2", "image3"]
    assert "404 from somebody without a name" in said[0]
    assert "it did not answer: timed out" in said[1]


def plan(**group_of):
    members = {
        host: {"group": group, "address": f"10.0.0.{number}"}
        for number, (host, group) in enumerate(group_of.items(), 1)
    }
    return {"roles": {"image_servers": list(group_of)}, "members": members}


def test_an_upload_goes_where_a_tracker_says_and_with_several_groups_to_each_of_them():
    assert verify.upload_targets(plan(image1="group1", image2="group1")) == [""]
    assert verify.upload_targets(plan(image1="group1", image2="group1", image3="group2")) == [
        "",
        "10.0.0.1:23000",
        "10.0.0.3:23000",
    ]


def test_an_answer_is_held_against_the_image_that_its_url_names():
    images = {"group1/M00/00/00/a.jpg": "1a", "group2/M01/00/00/b.jpg": "2b"}

    def answer(url, sha256):
        return {"url": url, "sha256": sha256}

    good = [
        answer("http://10.0.0.100/group1/M00/00/00/a.jpg", "1a"),
        answer("http://10.0.0.100:8080/a.jpg", "1a"),
        answer("http://[fd00::1]/group2/M01/00/00/b.jpg", "2b"),
    ]
    wrong = [
        answer("http://10.0.0.100/group1/M00/00/00/a.jpg", "2b"),
        answer("http://10.0.0.100/group2/M01/00/00/b.jpg", ""),
        answer("http://10.0.0.100/c.jpg", "1a"),
    ]
    assert verify.wrong_answers([*good, *wrong], images) == wrong


def test_a_link_has_the_token_of_fastdfs():
    # printf %s 'M00/00/0A/x.jpgsecret1' | md5sum, and of the bare name's id
    assert verify.links(["group1/M00/00/0A/x.jpg", "y.jpg"], "secret", 1) == [
        "group1/M00/00/0A/x.jpg?token=6484a45899b9f17cc0ea43ba3a095171&ts=1",
        "y.jpg?token=62a677d96bfbde20a806b1356ee4e327&ts=1",
    ]
    assert verify.links(["y.jpg"], "", 1) == ["y.jpg"]


def test_an_answer_is_compared_whatever_token_it_was_asked_with():
    answer = {"url": "http://192.0.2.1/group1/M00/00/0A/x.jpg?token=a/b&ts=1", "sha256": "right"}
    assert verify.wrong_answers([answer], {"group1/M00/00/0A/x.jpg": "right"}) == []
    assert verify.wrong_answers([answer], {"group1/M00/00/0A/x.jpg": "other"}) == [answer]
