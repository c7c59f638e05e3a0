"""What a tracker keeps of its storages decides about ids that it can be given. The texts are those that FastDFS 5.05 writes."""

from __future__ import annotations

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils.tracker_data import tracker_data_problems

SECTION = """\
# storage {address}:23000
[Storage{number:03}]
{id}\tgroup_name=group1
\tip_addr={address}
\tstatus=7
\tversion=5.05
\tjoin_time=1795784267
\tstorage_port=23000
\tstorage_http_port=80
\tdomain_name=
\tsync_src_server={source}
\tsync_until_timestamp=1795784267
\tlast_heart_beat_time=1795784272
\tchangelog_offset=0

"""
END = "\n# global section\n[Global]\n\tstorage_count=2\n"
BY_ADDRESS = (
    "".join(
        SECTION.format(number=number, id="", address=f"10.0.0.2{number}", source="10.0.0.21")
        for number in (1, 2)
    )
    + END
)
BY_ID = (
    "".join(
        SECTION.format(number=number, id=f"\tid=10{number}\n", address=f"10.0.0.2{number}", source="101")
        for number in (1, 2)
    )
    + END
)
IDS = [{"id": 100 + number, "group": "group1", "address": f"10.0.0.3{number}"} for number in (1, 2)]
LEFT = "1795784300 group1 102 4 \n"


def said(storages: str, ids: list, changelog: str = "", after: int = 90) -> list[str]:
    """``after`` so many seconds since 1795784300."""
    return tracker_data_problems(storages, changelog, ids, "tracker1", 1795784300 + after)


@pytest.mark.parametrize(
    ("storages", "ids", "changelog"),
    [
        ("", IDS, ""),
        ("", [], ""),
        ("\n# global section\n[Global]\n\tstorage_count=0\n", IDS, ""),
        (BY_ADDRESS, [], ""),
        # Whatever their addresses are.
        (BY_ID, IDS, ""),
        (BY_ID, IDS[:1], LEFT),
        (BY_ADDRESS, [], "1795784300 group1 10.0.0.22 4 \n"),
    ],
)
def test_a_tracker_can_go_on(storages, ids, changelog):
    assert said(storages, ids, changelog) == []


@pytest.mark.parametrize(
    ("storages", "ids", "changelog", "words"),
    [
        (
            BY_ADDRESS,
            IDS,
            "",
            "tracker1 knows storages by their addresses (10.0.0.21, 10.0.0.22), and file ids tell these",
        ),
        (BY_ID, [], "", "tracker1 knows storages by ids (101, 102), and images are named after them: write"),
        (
            BY_ID,
            IDS[:1],
            "",
            "tracker1 knows the storage 102 of group1 (10.0.0.22), and would not start without it",
        ),
        # It left, and has joined again since.
        (BY_ID, IDS[:1], "1795784200 group1 102 4 \n", "the storage 102 of group1"),
        (BY_ID, IDS[:1], "1795784300 group2 102 4 \n", "the storage 102 of group1"),
        (BY_ID, [IDS[0], {**IDS[1], "group": "group2"}], "", "the storage 102 of group1"),
    ],
)
def test_what_a_tracker_cannot_go_on_with_is_said_in_one_sentence(storages, ids, changelog, words):
    (sentence,) = said(storages, ids, changelog)
    assert words in sentence


@pytest.mark.parametrize(
    ("ids", "after", "count"), [(IDS[:1], 0, 1), (IDS[:1], 89, 1), (IDS[:1], 90, 0), (IDS, 0, 0), ([], 0, 1)]
)
def test_a_storage_that_has_just_left_is_waited_for(ids, after, count):
    sentences = said(BY_ID, ids, LEFT, after)
    assert len(sentences) == count
    if ids and count:
        assert sentences[0].startswith(f"The storage 102 of group1 left tracker1 {after} s ago")
        assert sentences[0].endswith(f"run this again in {90 - after} s.")


def test_where_addresses_are_ids_nobody_is_waited_for():
    assert said(BY_ADDRESS, [], "1795784300 group1 10.0.0.22 4 \n", after=0) == []
