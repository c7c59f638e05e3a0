"""The templates of the role nginx: what they refuse, and whom they name as servers of which group."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2
import pytest
import yaml
from ansible.plugins.filter import core as filters
from ansible.plugins.test import core as tests

ROLE = Path(__file__).parents[2] / "roles" / "nginx"
GROUP2 = {"group": "group2", "servers": ["10.0.0.4", "10.0.0.5:8080"]}


def rendered(template: str, **variables) -> str:
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(ROLE / "templates"), trim_blocks=True)
    environment.filters.update(filters.FilterModule().filters())
    environment.tests.update(tests.TestModule().tests())
    values = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    values |= {"nginx_image_server_name": "image1", "ansible_managed": "managed", **variables}
    return environment.get_template(template).render(values)


def asked(site: str, path: str) -> list[str]:
    """The servers that the site asks for ``path`` when it does not have it, as nginx would choose the location."""
    upstreams = {
        name: re.findall(r"(?m)^ +server (\S+) ", servers)
        for name, servers in re.findall(r"upstream (\w+) \{(.*?)\n\}", site, re.DOTALL)
    }
    for pattern, body in re.findall(r'location ~ "(.*?)" \{(.*?)\n    \}', site, re.DOTALL):
        if re.search(pattern.replace(r"\z", r"\Z"), path):
            (name,) = re.findall(r'set \$nginx_image_servers "(\w*)";', body)
            return upstreams.get(name, [])
    return []


NAME = "wKgKSlR8hGSAXQ8mAAAB" + "5Y2Q_0M123.jpg"
ORDINARY = NAME[:11] + "A" + NAME[12:]


@pytest.mark.parametrize("name", [ORDINARY, NAME, ORDINARY.replace("123.", "123_150x150.")])
@pytest.mark.parametrize(
    ("folder", "servers"),
    [
        ("/group1/M00/00/0A/", ["10.0.0.3:80"]),
        ("/group2/M00/00/0A/", ["10.0.0.4:80", "10.0.0.5:8080"]),
        # More store paths than this server has.
        ("/group2/M1F/00/0A/", ["10.0.0.4:80", "10.0.0.5:8080"]),
        ("/group3/M00/00/0A/", ["[fd00::6]:80"]),
        ("/group4/M00/00/0A/", []),
        ("/group2/M0/00/0A/", []),
        ("/group2/M00/00/", []),
        ("/group2/M00/00/0A/../", []),
        ("/", ["10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:8080", "[fd00::6]:80"]),
    ],
)
def test_a_file_is_asked_from_the_servers_of_its_group(name, folder, servers):
    others = [GROUP2, {"group": "group3", "servers": ["fd00::6"]}]
    site = rendered(
        "nginx_image.conf.j2",
        nginx_image_peers=["10.0.0.3"],
        nginx_image_other_groups=others,
        nginx_image_root_files=True,
    )
    assert asked(site, folder + name) == servers


@pytest.mark.parametrize("name", [f"{ORDINARY}-m", "fdfs_storaged.pid", ".hidden", ""])
def test_nothing_but_images_is_asked_from_another_group(name):
    site = rendered("nginx_image.conf.j2", nginx_image_other_groups=[GROUP2], nginx_image_root_files=True)
    assert asked(site, f"/group2/M00/00/00/{ORDINARY}") == ["10.0.0.4:80", "10.0.0.5:8080"]
    assert asked(site, f"/group2/M00/00/00/{name}") == asked(site, f"/{name}") == []


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, ""),
        ({"nginx_image_other_groups": [GROUP2]}, ""),
        (
            {"nginx_image_other_groups": [GROUP2 | {"group": "group;2"}]},
            'nginx_image_other_groups "group;2": a FastDFS group has 1 to 16 letters and digits.',
        ),
        (
            {"nginx_image_other_groups": [GROUP2 | {"group": "group1"}]},
            "is nginx_image_group: write this group's servers into nginx_image_peers.",
        ),
        (
            {"nginx_image_other_groups": [GROUP2, GROUP2]},
            '"group2" is there twice: write its servers into one',
        ),
        (
            {"nginx_image_other_groups": [GROUP2 | {"servers": []}]},
            '"group2" has no servers: write the addresses',
        ),
        (
            {"nginx_image_other_groups": [GROUP2 | {"servers": ["10.0.0.4;"]}]},
            'nginx_image_other_groups "10.0.0.4;" of "group2": write an address, with ":port"',
        ),
        (
            {"nginx_image_peers": ["10.0.0.4;"]},
            'nginx_image_peers "10.0.0.4;": write an address, with ":port"',
        ),
        (
            {"nginx_image_other_groups": [GROUP2], "nginx_image_health_address": "/group2/health"},
            "write a path such as /healthz, outside of /group1/ and /group2/.",
        ),
    ],
)
def test_what_would_be_no_configuration_is_answered_by_one_sentence(variables, words):
    said = [line for line in rendered("problems.j2", **variables).splitlines() if line]
    assert len(said) == bool(words), said
    assert words in "".join(said)
