"""What restore.yml brings, and where, from its words."""

from __future__ import annotations

from datetime import datetime

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils.backup import restore_wanted

GROUPS = {"image1": "group1", "image2": "group2", "image3": "group1", "image4": "group2"}
ADDRESSES = {name: f"192.0.2.{number}" for number, name in enumerate([*GROUPS, "backup1", "backup2"], 1)}
PLAN = {
    "members": {name: {"address": each, "group": GROUPS.get(name)} for name, each in ADDRESSES.items()},
    "roles": {"fastdfs_storages": list(GROUPS), "fastdfs_backups": ["backup1", "backup2"]},
}
NOTHING = {"what": "", "deleted_since": "", "ids_file": "", "ids": [], "archive": "", "to": ""}
NAMES = [f"M00/00/0{number}/{'A' * 27}000000{number}.jpg" for number in (1, 2)]


def wanted(away=(), plan=PLAN, **words):
    answered = {"ansible_facts": {"effective_user_id": 0}}
    return restore_wanted(
        plan, {name: {} if name in away else answered for name in ADDRESSES}, {**NOTHING, **words}
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            {"what": "all"},
            {"image1": {"archive": "backup1"}, "image2": {"archive": "backup1"}},
        ),
        ({"what": "all", "away": ["image1"], "to": ""}, {"image3": {}, "image2": {}}),
        ({"what": "all", "to": "image3", "archive": "backup2"}, {"image3": {"archive": "backup2"}}),
        (
            {"deleted_since": "2026-11-25 10:00"},
            {name: {"since": int(datetime(2026, 11, 25, 10).timestamp())} for name in ("image1", "image2")},
        ),
        (
            {"ids_file": "ids", "ids": [f"group2/{NAMES[0]}", "", f" group2/{NAMES[1]} "]},
            {"image2": {"names": NAMES}},
        ),
        (
            {"ids_file": "ids", "ids": [f"group2/{NAMES[0]}", f"group1/{NAMES[1]}"], "away": ["image2"]},
            {"image4": {"names": NAMES[:1]}, "image1": {"names": NAMES[1:]}},
        ),
    ],
)
def test_each_group_gets_its_images_through_one_storage(words, expected):
    found = wanted(**words)
    assert found == {
        host: {"archive": "backup1", "address": ADDRESSES[host], **more} for host, more in expected.items()
    }


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"what": "all", "deleted_since": "2026-11-25"}, "Too much is asked for: write one of"),
        ({"what": "group1"}, "-e what=group1 is not known: write -e what=all."),
        ({"what": "all", "archive": "image1"}, "image1 is no backup host: write -e archive= with one of backup1, backup2."),
        ({"what": "all", "plan": {**PLAN, "roles": {**PLAN["roles"], "fastdfs_backups": []}}}, "fastdfs_backups is empty"),
        ({"what": "all", "to": "image1,image3"}, "names image1 and image3 of group1: one is enough"),
        ({"what": "all", "to": "image1", "away": ["image1"]}, "image1 cannot be reached: name another storage of group1"),
        ({"what": "all", "away": ["image2", "image4"]}, "No storage of group2 can be reached"),
        ({"ids_file": "ids", "ids": ["", "  "]}, "ids has no file ids: write one a line"),
        ({"ids_file": "ids", "ids": ["", "group2/x"]}, "Line 2 of ids: "),
        ({"ids_file": "ids", "ids": [f"group9/{NAMES[0]}"]}, "Line 1 of ids: there is no group group9 here; there is group1, group2."),
    ],
)  # fmt: skip
def test_what_cannot_be_brought_is_a_sentence(words, sentence):
    with pytest.raises(AnsibleFilterError) as caught:
        wanted(**words)
    assert sentence in str(caught.value)
