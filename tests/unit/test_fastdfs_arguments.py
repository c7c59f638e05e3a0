"""What the roles of both FastDFS daemons refuse, as their templates say it, and what site.yml leaves to nobody."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest
import yaml
from ansible.plugins.filter import core, mathstuff
from ansible.plugins.test import core as tests
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils import cluster

PROJECT = Path(__file__).parents[2]
DAEMONS = {"tracker": cluster.TRACKER_PORT, "storage": cluster.STORAGE_PORT}


def said(daemon: str, **variables) -> list[str]:
    """The sentences about these arguments of the role, beside its defaults."""
    role = PROJECT / "roles" / f"fastdfs_{daemon}"
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(role / "templates"), trim_blocks=True)
    for filters in (core, mathstuff):
        environment.filters.update(filters.FilterModule().filters())
    environment.tests.update(tests.TestModule().tests())
    values = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    values |= {"fastdfs_storage_trackers": ["192.168.10.252:22122"]} if daemon == "storage" else {}
    values |= {f"fastdfs_{daemon}_{name}": value for name, value in variables.items()}
    return environment.get_template("problems.j2").render(values).splitlines()


@pytest.mark.parametrize("daemon", DAEMONS)
def test_defaults_are_sound(daemon):
    assert said(daemon) == []


@pytest.mark.parametrize("daemon", DAEMONS)
@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_out_of_range_is_named(daemon, port):
    assert said(daemon, port=port) == [f"fastdfs_{daemon}_port is {port}: write a TCP port from 1 to 65535."]


@pytest.mark.parametrize("daemon", DAEMONS)
def test_an_inventory_cannot_move_a_daemon_from_the_port_that_everybody_else_is_told(daemon):
    handed = yaml.safe_load((PROJECT / "playbooks" / "vars" / "handed.yml").read_text())
    assert handed[f"fastdfs_{daemon}_port"] == DAEMONS[daemon]
