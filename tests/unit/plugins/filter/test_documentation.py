# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `ansible-doc -t filter` shows is what the filters take."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import yaml
from ansible_collections.imageops.lvs_fastdfs.plugins.filter import cluster

PROJECT = Path(__file__).parents[4]
FILTERS = cluster.FilterModule().filters()


@pytest.mark.parametrize("name", FILTERS)
def test_the_documentation_names_what_the_filter_takes(name):
    path = PROJECT / "plugins" / "filter" / f"{name}.yml"
    documented = yaml.safe_load(path.read_text())["DOCUMENTATION"]
    _first, *others = inspect.signature(FILTERS[name]).parameters.values()
    assert documented["name"] == name
    assert documented["positional"] == (", ".join(other.name for other in others) or [])
    assert list(documented["options"]) == ["_input", *(other.name for other in others)]
    for other in others:
        option = documented["options"][other.name]
        if other.default is inspect.Parameter.empty:
            assert option["required"] is True
        else:
            assert option["default"] == (list(other.default) if other.default == () else other.default)


def test_nothing_is_documented_that_is_not_there():
    files = {path.stem for path in (PROJECT / "plugins" / "filter").glob("*.yml")}
    assert files == set(FILTERS)
