"""The contract: what an inventory means, and what is said of one that cannot work."""

from __future__ import annotations

import copy

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils import backup, cluster, cluster_problems
from sound_cluster import SETTINGS

GROUPS = {
    "all": ["director1", "image1", "image2", "tracker1"],
    "lvs_directors": ["director1"],
    "fastdfs_storages": ["image1", "image2"],
    "fastdfs_trackers": ["tracker1"],
    "fastdfs_clients": ["tracker1"],
}
ETH0 = {
    "interfaces": ["eth0"],
    "default_ipv4": {"address": "10.0.0.9", "interface": "eth0"},
    "eth0": {"ipv4": {"address": "10.0.0.9", "network": "10.0.0.0", "netmask": "255.255.255.0"}},
}
HOSTVARS = {
    "director1": {"ansible_host": "10.0.0.1", "ansible_facts": ETH0},
    "image1": {"ansible_host": "10.0.0.2"},
    "image2": {"ansible_host": "10.0.0.3"},
    "tracker1": {"ansible_host": "10.0.0.4"},
}


def said(settings=None, hostvars=None, groups=None):
    groups = GROUPS | (groups or {})
    found = cluster.members(HOSTVARS | (hostvars or {}), groups)
    return cluster_problems.problems(cluster.normal(SETTINGS | (settings or {})), found, groups)


def test_a_sound_inventory_has_no_problem():
    assert said() == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"vips": []}, "image_cluster_vips is missing"),
        ({"vips": "10.0.0.100"}, "image_cluster_vips is '10.0.0.100', which is no list: write the list"),
        ({"vips": ["10.0.0.300"]}, "'10.0.0.300', which is no IP address"),
        ({"vips": ["10.0.0.100/24"]}, "without a prefix length"),
        ({"vips": ["10.0.0.2"]}, "The VIP 10.0.0.2 is the own address of image1"),
        ({"vips": ["10.0.0.100", "10.0.0.100"]}, "names 10.0.0.100 2 times"),
        ({"vips": ["10.9.0.1"]}, "lies in no subnet of director1 (10.0.0.0/24)"),
        ({"vips": ["fd00::1"]}, "image1 has no default IPv6 address"),
        ({"scheduler": "roundrobin"}, "image_cluster_scheduler is 'roundrobin'"),
        ({"forward": "gre"}, "write one of dr, tunnel, nat"),
        ({"forward": "nat"}, "needs image_cluster_nat_gateway, and it is not set"),
        (
            {"forward": "nat", "nat_gateway": "10.0.0.1", "vips": ["10.0.0.100", "fd00::1"]},
            "The VIP fd00::1 and image_cluster_nat_gateway 10.0.0.1 are of two address families",
        ),
        ({"director_mode": "active"}, "write one of keepalived, static"),
        ({"failover": "instant"}, "write one of standard, fast, faster"),
        ({"virtual_router_id": 0}, "image_cluster_virtual_router_id is 0: write a VRRP id from 1 to 255"),
        ({"virtual_router_id": "256"}, "image_cluster_virtual_router_id is 256"),
        ({"virtual_router_id": "one"}, "image_cluster_virtual_router_id is 'one'"),
        ({"ports": []}, "image_cluster_ports is empty"),
        ({"ports": [0]}, "image_cluster_ports has 0"),
        ({"ports": [70000]}, "write TCP ports from 1 to 65535"),
        ({"ports": [True]}, "image_cluster_ports has True"),
        ({"fwmark": -1}, "image_cluster_fwmark is -1"),
        ({"fwmark": 2**32}, "image_cluster_fwmark is 4294967296"),
        ({"persistence_timeout": "long"}, "image_cluster_persistence_timeout is 'long'"),
        ({"weights": {"image1": 65536, "image2": 1}}, "gives image1 65536"),
        (
            {"director_mode": "keepalived", "weights": {"image1": 254, "image2": 1}},
            "to 253, the most that a health check can carry",
        ),
        ({"weights": {"image1": 1}}, "no weight for image2"),
        ({"weights": {"image1": 0, "image2": 0}}, "drains every image server"),
        ({"weights": {"image1": 1, "image2": 1, "image9": 1}}, "names image9, which is not in image_servers"),
        ({"weights": "even"}, "image_cluster_weights is 'even'"),
        ({"client_networks": ["10.0.5.1/24"]}, "write 10.0.5.0/24"),
        ({"reader_networks": ["everybody"]}, "write one such as"),
        ({"client_networks": ["10.0.0.0/8"]}, "networks from /16 to /31 only"),
        (
            {"client_networks": ["10.5.0.0/255.255.0.0"]},
            "has '10.5.0.0/255.255.0.0': write 10.5.0.0/16, which daemons",
        ),
        ({"reader_networks": ["10.5.0.0/0.0.255.255"]}, "write 10.5.0.0/16"),
        ({"reader_networks": ["10.5.0.0/016"]}, "write 10.5.0.0/16"),
        ({"client_networks": ["fd00::/64"]}, "networks from /16 to /31 only"),
        ({"vips": ["0.0.0.0"]}, "The VIP 0.0.0.0 is an address that no reader can connect to"),
        ({"vips": ["224.0.0.1"]}, "no reader can connect to"),
        ({"vips": ["169.254.0.7"]}, "no reader can connect to"),
        ({"vips": ["fe80::7"]}, "no reader can connect to"),
        ({"vips": ["127.0.0.2"]}, "no reader can connect to"),
        ({"vips": ["10.0.0.0"]}, "The VIP 10.0.0.0 is the first or the last address of 10.0.0.0/24"),
        ({"vips": ["10.0.0.255"]}, "The VIP 10.0.0.255 is the first or the last address of 10.0.0.0/24"),
        ({"ports": ["²"]}, "image_cluster_ports has '²'"),
        ({"ports": [80, "80"]}, "image_cluster_ports names 80 2 times"),
        ({"ports": [80, 22]}, "has 22, the port of ssh"),
        ({"ports": [22122]}, "has 22122, the port of the trackers"),
        ({"ports": ["23000"]}, "has 23000, the port of the storages"),
        ({"vip_routed": "maybe"}, "write true or false"),
        ({"vip_routed": "false", "vips": ["10.9.0.1"]}, "lies in no subnet of director1"),
        ({"scheduler_flags": 3}, "image_cluster_scheduler_flags is 3: write a list"),
        ({"client_networks": 3}, "image_cluster_client_networks is 3: write a list"),
        ({"scheduler_flags": ["mh-port"]}, "mh-port needs scheduler mh, not wrr"),
        ({"scheduler_flags": ["port"]}, "correct image_cluster_scheduler_flags"),
    ],
)
def test_a_wrong_setting_is_answered_by_one_sentence(settings, words):
    sentences = said(settings)
    assert len([each for each in sentences if words in each]) == 1, sentences
    assert all(each.endswith(".") and "\n" not in each for each in sentences)


TWO = {"lvs_directors": ["director1", "director2"]}
DIRECTOR2 = {"ansible_host": "10.0.0.7"}


def test_two_directors_with_keepalived_have_no_problem():
    assert said({"director_mode": "keepalived"}, {"director2": DIRECTOR2}, TWO) == []


def test_two_directors_need_a_vip_of_the_family_in_which_they_speak():
    hostvars = {"director2": DIRECTOR2}
    for number, name in enumerate(("image1", "image2"), 2):
        facts = {"default_ipv6": {"address": f"fd00::{number}"}}
        hostvars[name] = {**HOSTVARS[name], "ansible_facts": facts}
    settings = {"director_mode": "keepalived", "vips": ["fd00::64"], "reader_networks": ["::/0"]}
    assert [each for each in said(settings, hostvars, TWO) if "no VIP is an IPv4 address" in each]
    settings["vips"].append("10.0.0.100")
    assert not [each for each in said(settings, hostvars, TWO) if "no VIP is an" in each]


@pytest.mark.parametrize(
    ("priority", "words"),
    [
        (250, "director1 and director2 have the same VRRP priority 250"),
        ("250", "director1 and director2 have the same VRRP priority 250"),
        (0, "The VRRP priority of director2 is 0: write image_cluster_director_priority from 1 to 254"),
        (255, "The VRRP priority of director2 is 255"),
        ("high", "The VRRP priority of director2 is 'high'"),
    ],
)
def test_a_wrong_priority_is_answered_by_one_sentence(priority, words):
    director2 = {**DIRECTOR2, "image_cluster_director_priority": priority}
    sentences = said({"director_mode": "keepalived"}, {"director2": director2}, TWO)
    assert len(sentences) == 1
    assert words in sentences[0]


def test_directors_have_distinct_priorities_in_the_inventory_s_order_and_know_each_other():
    groups = GROUPS | TWO
    found = cluster.members(HOSTVARS | {"director2": DIRECTOR2}, groups)
    assert cluster.directors(cluster.roles_of(groups), found) == {
        "director1": {"priority": 250, "peers": ["10.0.0.7"]},
        "director2": {"priority": 230, "peers": ["10.0.0.1"]},
    }


@pytest.mark.parametrize(
    ("hostvars", "words"),
    [
        ({"image2": {"ansible_host": "10.0.0.2"}}, "image1 and image2 have one address, 10.0.0.2"),
        ({"image2": {"ansible_host": "files.example"}}, "The address of image2 is not known"),
        ({"image2": {"image_cluster_address": "files.example"}}, "The address of image2 is 'files.example'"),
        (
            {"image2": {"ansible_host": "10.0.0.3", "fastdfs_storage_paths": ["data"]}},
            "has 'data', which is not absolute",
        ),
        (
            {"image2": {"ansible_host": "10.0.0.3", "fastdfs_storage_paths": []}},
            "write a list of absolute paths",
        ),
        (
            {"image2": {"ansible_host": "10.0.0.3", "fastdfs_storage_paths": "/data"}},
            "write a list of absolute paths",
        ),
    ],
)
def test_a_wrong_host_is_answered_by_one_sentence(hostvars, words):
    sentences = said(hostvars=hostvars)
    assert len(sentences) == 1
    assert words in sentences[0]


def image2(facts=None, **host):
    return {"image2": {"ansible_host": "10.0.0.3", **host, "ansible_facts": facts or {}}}


@pytest.mark.parametrize(
    ("hostvars", "words"),
    [
        (image2({"default_ipv6": {"address": "fd00::3"}}), "The VIP fd00::3 is the own address of image2"),
        (image2({"default_ipv4": {"gateway": "10.0.0.100"}}), "the default gateway of image2"),
        (image2(image_cluster_address="fd00::3"), "needs an IPv4 address that other hosts reach"),
        (image2(image_cluster_address="127.0.0.1"), "needs an IPv4 address that other hosts reach"),
        (
            image2({"all_ipv4_addresses": ["10.1.0.3"]}),
            "The address of image2 is 10.0.0.3, and the host has 10.1.0.3: set image_cluster_address",
        ),
        (
            image2({"effective_user_id": 1000, "user_id": "debian"}),
            "image2 is reached as user debian, which may not change it: set ansible_become: true",
        ),
        (image2(fastdfs_storage_group="group-1"), "is 'group-1': write 1 to 16 letters and digits"),
        (image2(fastdfs_storage_paths=["/data/my images"]), "write an absolute path of letters, digits"),
        (image2(fastdfs_storage_paths=["/data/"]), "without a slash at its end"),
        (image2(fastdfs_storage_paths=["/"]), "without a slash at its end"),
        (image2(fastdfs_storage_paths=["/data", "/data"]), "names /data twice"),
        (image2(fastdfs_storage_paths=["/data", "/data/more"]), "has /data/more inside /data"),
        (image2(fastdfs_storage_paths=["/a", "/b"]), "image1 has 1 and image2 has 2 fastdfs_storage_paths"),
    ],
)
def test_a_host_that_cannot_work_is_answered_by_one_sentence(hostvars, words):
    vips = ["fd00::3"] if "fd00::3 is the own" in words else ["10.0.0.100"]
    (sentence,) = said({"vips": vips}, hostvars)
    assert words in sentence


def test_a_director_without_the_interface_of_the_vips_names_those_it_has():
    facts = ETH0 | {"interfaces": ["lo", "eth0"]}
    hostvars = {
        "director1": {
            "ansible_host": "10.0.0.1",
            "image_cluster_vip_interface": "eth9",
            "ansible_facts": facts,
        }
    }
    (sentence,) = said(hostvars=hostvars)
    assert "director1 has no such interface: write one of eth0, lo" in sentence


def test_a_second_run_finds_the_vips_where_the_first_put_them():
    facts = ETH0 | {"all_ipv4_addresses": ["10.0.0.1", "10.0.0.100"]}
    assert said(hostvars={"director1": {"ansible_host": "10.0.0.1", "ansible_facts": facts}}) == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("image_cluster_vip", "image_cluster_vips"),
        ("image_cluster_weigths", "image_cluster_weights"),
        ("image_cluster_director_prio", "image_cluster_director_priority"),
        ("image_cluster_backend_team", None),
    ],
)
def test_a_name_that_is_nearly_one_of_the_contract_is_refused(written, meant):
    found = said(hostvars={"image1": {**HOSTVARS["image1"], written: 1}})
    assert [each for each in found if written in each and (meant or "") in each] == found
    assert len(found) == (1 if meant else 0)


def test_an_image_server_keeps_images():
    groups = {"image_servers": ["image1", "image2", "web1"]}
    hostvars = {"web1": {"ansible_host": "10.0.0.8"}}
    (sentence,) = said({"weights": {"image1": 1, "image2": 1, "web1": 1}}, hostvars, groups)
    assert "web1 is in image_servers and not in fastdfs_storages" in sentence


def test_a_group_is_no_larger_than_a_trackers_answer():
    names = [f"image{number}" for number in range(1, 15)]
    hostvars = {name: {"ansible_host": f"10.0.0.{50 + number}"} for number, name in enumerate(names)}
    (sentence,) = said({"weights": dict.fromkeys(names, 1)}, hostvars, {"fastdfs_storages": names})
    assert "group1 has 14 storages" in sentence


@pytest.mark.parametrize("group", ["lvs_directors", "fastdfs_trackers", "fastdfs_storages"])
def test_an_empty_group_is_named(group):
    weights = {} if group == "fastdfs_storages" else SETTINGS["weights"]
    assert any(
        f"The group {group} is empty" in each for each in said({"weights": weights}, groups={group: []})
    )


def test_a_second_director_has_no_place_in_static_mode():
    hostvars = {"director2": {"ansible_host": "10.0.0.5"}}
    assert (
        "keep one of them" in said(hostvars=hostvars, groups={"lvs_directors": ["director1", "director2"]})[0]
    )


def test_a_director_is_no_image_server():
    sentences = said({"weights": {"director1": 1}}, groups={"image_servers": ["director1"]})
    assert any("cannot forward a VIP and answer it" in each for each in sentences)


def test_routed_vips_need_no_subnet():
    assert said({"vips": ["10.9.0.1"], "vip_routed": True}) == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"fwmark": "0"}, {"fwmark": 0}),
        ({"persistence_timeout": "0"}, {"persistence_timeout": 0}),
        ({"persistence_timeout": None}, {"persistence_timeout": 0}),
        ({"ports": ["80", 443]}, {"ports": [80, 443]}),
        ({"weights": {"image1": "2", "image2": 1}}, {"weights": {"image1": 2, "image2": 1}}),
        ({"vip_routed": "no"}, {"vip_routed": False}),
        ({"vip_routed": "True"}, {"vip_routed": True}),
        ({"client_networks": None}, {"client_networks": []}),
        ({"scheduler_flags": "mh-port, mh-fallback"}, {"scheduler_flags": ["mh-port", "mh-fallback"]}),
    ],
)
def test_a_setting_is_read_as_it_was_meant(written, meant):
    settings = cluster.normal(SETTINGS | written)
    assert {key: settings[key] for key in meant} == meant
    assert [type(settings[key]) for key in meant] == [type(value) for value in meant.values()]


def test_the_port_of_ssh_is_no_port_of_the_read_path():
    hostvars = {"image1": {"ansible_host": "10.0.0.2", "ansible_port": 2222}}
    (sentence,) = said({"ports": [2222]}, hostvars)
    assert "the port of ssh on image1" in sentence


def test_an_address_is_the_explicit_one_then_ansible_host_then_the_fact():
    hostvars = copy.deepcopy(HOSTVARS)
    hostvars["image1"] = {"image_cluster_address": "10.1.0.2", "ansible_host": "10.0.0.2"}
    hostvars["image2"] = {
        "ansible_host": "image2.example",
        "ansible_facts": {"default_ipv4": {"address": "10.1.0.3"}},
    }
    found = cluster.members(hostvars, GROUPS)
    assert [found[name]["address"] for name in ("image1", "image2", "tracker1")] == [
        "10.1.0.2",
        "10.1.0.3",
        "10.0.0.4",
    ]


def test_a_value_that_a_playbook_hands_over_is_refused_in_an_inventory():
    hostvars = HOSTVARS | {"image1": {"nginx_image_ports": [81]}, "image2": {"nginx_image_ports": [81]}}
    (sentence,) = cluster_problems.overruled(
        hostvars, list(hostvars), ["nginx_image_ports", "lvs_director_vips"]
    )
    assert sentence.startswith("nginx_image_ports is set for image1, image2")


def test_a_setting_of_the_whole_cluster_is_one():
    hostvars = {
        "director1": {"image_cluster_ports": [80], "image_cluster_fwmark": 1},
        "image1": {"image_cluster_ports": [80]},
        "image2": {"image_cluster_ports": [81]},
    }
    ports, mark = cluster_problems.disagreements({"ports": [], "fwmark": 1}, hostvars, list(hostvars))
    assert ports.startswith("image_cluster_ports is [80] for director1 and [81] for image2: ")
    assert mark.startswith("image_cluster_fwmark is 1 for director1 and not set for image1: ")


def test_a_backup_host_is_nothing_else():
    (sentence,) = said(groups={"fastdfs_backups": ["tracker1"]})
    assert "tracker1 is in fastdfs_backups and in fastdfs_trackers, fastdfs_clients: " in sentence


def with_second(netmask: str, prefix: str) -> dict:
    """The facts of a host that has 10.0.0.100 and fd00::100 beside its own addresses."""
    second = {"address": "10.0.0.100", "network": "10.0.0.0", "netmask": netmask}
    eth0 = ETH0["eth0"] | {
        "ipv4_secondaries": [second],
        "ipv6": [{"address": "fd00::100", "prefix": prefix}],
    }
    addresses = ["10.0.0.9", "10.0.0.2", "10.0.0.100"]
    return ETH0 | {"interfaces": ["eth0"], "eth0": eth0, "all_ipv4_addresses": addresses}


@pytest.mark.parametrize("vip", ["10.0.0.100", "fd00::100"])
def test_a_vip_is_none_of_a_server_s_further_addresses(vip):
    image1 = {"image1": {"ansible_host": "10.0.0.2", "ansible_facts": with_second("255.255.255.0", "64")}}
    assert f"The VIP {vip} is the own address of image1" in said({"vips": [vip]}, image1)[0]


def test_a_vip_that_stands_already_is_no_own_address():
    alone = {"image1": {"ansible_host": "10.0.0.2", "ansible_facts": with_second("255.255.255.255", "128")}}
    assert said(hostvars=alone) == []
    director = with_second("255.255.255.0", "64") | {"all_ipv4_addresses": ["10.0.0.1"]}
    assert said(hostvars={"director1": {"ansible_host": "10.0.0.1", "ansible_facts": director}}) == []


def test_what_cannot_be_shipped_is_not_promised():
    groups = {"fastdfs_backups": ["backup1"]}
    switched = {
        "ansible_host": "10.0.0.4",
        "fastdfs_tracker_extra_settings": {"use_trunk_file": "true", "slot_min_size": 1},
    }
    backup1 = {"backup1": {"ansible_host": "10.0.0.5"}}
    assert said(hostvars=backup1, groups=groups) == []
    (sentence,) = said(hostvars=backup1 | {"tracker1": switched}, groups=groups)
    assert "fastdfs_tracker_extra_settings of tracker1 has use_trunk_file, and " in sentence
    assert said(hostvars={"tracker1": switched}) == []


def test_storage_ids_are_a_matter_of_the_contract():
    switched = {
        "tracker1": {
            "ansible_host": "10.0.0.4",
            "fastdfs_tracker_extra_settings": {"use_storage_id": True},
        }
    }
    (sentence,) = said(hostvars=switched)
    assert "tracker1 has use_storage_id" in sentence
    assert "write fastdfs_storage_id for every storage" in sentence


def with_ids(*ids):
    return {
        name: {**HOSTVARS[name], "fastdfs_storage_id": number}
        for name, number in zip(GROUPS["fastdfs_storages"], ids, strict=False)
    }


def test_storages_are_known_by_their_ids_or_by_their_addresses():
    found = cluster.members(HOSTVARS | with_ids("", None), GROUPS)
    assert [found[name]["id"] for name in GROUPS["fastdfs_storages"]] == ["10.0.0.2", "10.0.0.3"]
    assert cluster.plan(SETTINGS, found, GROUPS)["storage_ids"] == []
    assert said(hostvars=with_ids("1", 16777215)) == []
    found = cluster.members(HOSTVARS | with_ids("1", 16777215), GROUPS)
    assert [found[name]["id"] for name in GROUPS["fastdfs_storages"]] == ["1", "16777215"]
    assert cluster.plan(SETTINGS, found, GROUPS)["storage_ids"] == [
        {"id": 1, "group": "group1", "address": "10.0.0.2"},
        {"id": 16777215, "group": "group1", "address": "10.0.0.3"},
    ]


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ((1,), "image2 has no fastdfs_storage_id, and image1 has: write one for every storage, or for none."),
        (
            (7, "7"),
            "image1 and image2 have one fastdfs_storage_id, 7: write for each storage one that no other",
        ),
        *(
            (
                (1, wrong),
                f"fastdfs_storage_id of image2 is {wrong!r}: write a whole number from 1 to 16777215",
            )
            for wrong in (0, -1, 16777216, "0", "image2", 1.5, True, [])
        ),
    ],
)
def test_ids_that_cannot_be_are_answered_by_one_sentence(ids, words):
    (sentence,) = said(hostvars=with_ids(*ids))
    assert words.replace("'0'", "0") in sentence


@pytest.mark.parametrize("settings", [None, "", "use_trunk_file=true", ["use_trunk_file"]])
def test_a_role_s_argument_of_another_type_is_left_to_the_role(settings):
    hostvars = {"tracker1": {"ansible_host": "10.0.0.4", "fastdfs_tracker_extra_settings": settings}}
    assert said(hostvars=hostvars) == []


def test_storages_and_backups_know_each_other_s_keys():
    groups = GROUPS | {"fastdfs_backups": ["backup1"]}
    hosts = HOSTVARS | {"backup1": {"ansible_host": "10.0.0.5", "ansible_port": 2222}}
    made = cluster.plan(SETTINGS, cluster.members(hosts, groups), groups)
    keys = {name: {"fastdfs_backup_public_key": f"ssh-ed25519 {name}"} for name in hosts}
    keys["backup1"] = {"fastdfs_backup_host_key": "ssh-ed25519 AAAA"}
    assert backup.backup_archives(made, keys) == {
        "backup1": {"address": "10.0.0.5", "port": 2222, "host_key": "ssh-ed25519 AAAA"}
    }
    assert backup.backup_storages(made, keys)["image2"] == {
        "group": "group1",
        "address": "10.0.0.3",
        "sources": ["10.0.0.3"],
        "public_key": "ssh-ed25519 image2",
    }
    # An image of a storage with an id names that.
    found = cluster.members(hosts | with_ids(1, 2), groups)
    assert backup.backup_storages(cluster.plan(SETTINGS, found, groups), keys)["image2"]["sources"] == ["2"]
    with pytest.raises(AnsibleFilterError, match="The ssh key of image2 was not read in this run"):
        backup.backup_storages(made, keys | {"image2": {}})


def test_the_gateway_of_nat_lies_where_image_servers_are():
    facts = {"interfaces": ["eth0"], "eth0": ETH0["eth0"]}
    (sentence,) = said({"forward": "nat", "nat_gateway": "10.9.0.1"}, image2(facts))
    assert "image_cluster_nat_gateway 10.9.0.1 lies in no subnet of image2 (10.0.0.0/24)" in sentence


@pytest.mark.parametrize("fact", ["eth0.7", "eth0_7"])
def test_networks_are_those_of_every_interface_however_its_fact_is_spelt(fact):
    facts = {"interfaces": ["lo", "eth0.7"], fact: ETH0["eth0"]}
    assert cluster.members(HOSTVARS | image2(facts), GROUPS)["image2"]["networks"] == ["10.0.0.0/24"]


def test_image_servers_answer_each_other_directly_unless_they_read_through_the_vip():
    assert plan(forward="nat")["nat_direct"] == {"image1": ["10.0.0.3"], "image2": ["10.0.0.2"]}
    groups = GROUPS | {"fastdfs_clients": ["image2"]}
    made = cluster.plan(SETTINGS, cluster.members(HOSTVARS, groups), groups)
    assert made["nat_direct"] == {"image1": [], "image2": ["10.0.0.2"]}


def plan(**settings):
    return cluster.plan(SETTINGS | settings, cluster.members(HOSTVARS, GROUPS), GROUPS)


def test_a_mark_makes_one_service_whose_servers_have_no_port():
    (service,) = plan(ports=[80, 443])["services"]
    assert service["fwmark"] == 1
    assert [(each["address"], each["port"], each["weight"]) for each in service["servers"]] == [
        ("10.0.0.2", 0, 2),
        ("10.0.0.3", 0, 1),
    ]


def test_without_a_mark_each_vip_and_port_is_a_service():
    made = plan(fwmark=0, vips=["10.0.0.100", "10.0.0.101"], ports=[80, 443])["services"]
    assert [(each["address"], each["port"]) for each in made] == [
        ("10.0.0.100", 80),
        ("10.0.0.100", 443),
        ("10.0.0.101", 80),
        ("10.0.0.101", 443),
    ]
    assert {server["port"] for server in made[1]["servers"]} == {443}


TWO_GROUPS = {
    "hostvars": HOSTVARS | {"image3": {"ansible_host": "10.0.0.7", "fastdfs_storage_group": "group2"}},
    "groups": GROUPS | {"fastdfs_storages": ["image1", "image2", "image3"]},
    "settings": {"weights": {"image1": 1, "image2": 1, "image3": 1}},
}


def test_peers_are_the_others_of_the_group_and_other_groups_have_their_own_servers():
    assert said(**TWO_GROUPS) == []
    groups, settings = TWO_GROUPS["groups"], SETTINGS | TWO_GROUPS["settings"]
    made = cluster.plan(settings, cluster.members(TWO_GROUPS["hostvars"], groups), groups)
    assert made["peers"] == {"image1": ["10.0.0.3"], "image2": ["10.0.0.2"], "image3": []}
    group2 = [{"group": "group2", "servers": ["10.0.0.7"]}]
    assert made["other_groups"] == {
        "image1": group2,
        "image2": group2,
        "image3": [{"group": "group1", "servers": ["10.0.0.2", "10.0.0.3"]}],
    }


def test_every_group_has_an_image_server():
    groups = TWO_GROUPS["groups"] | {"image_servers": ["image1", "image2"]}
    (sentence,) = said({"weights": {"image1": 1, "image2": 1}}, TWO_GROUPS["hostvars"], groups)
    assert (
        "No storage of group2 is in image_servers (image3), so readers of the VIPs would miss its images"
        in sentence
    )


def test_a_storage_that_is_no_image_server_is_nobodys_server():
    groups = TWO_GROUPS["groups"] | {"image_servers": ["image1", "image3"]}
    settings = SETTINGS | {"weights": {"image1": 1, "image3": 1}}
    made = cluster.plan(settings, cluster.members(TWO_GROUPS["hostvars"], groups), groups)
    assert made["other_groups"]["image3"] == [{"group": "group1", "servers": ["10.0.0.2"]}]
