"""The versions that `make test-matrix` runs are those that the collection promises and that its README names."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[2]
CORES = re.findall(r'(?m)^    "(\d+\.\d+\.\d+) 3\.\d+ 3\.\d+"$', (PROJECT / "tests/matrix").read_text())


def minor(version: str) -> str:
    return version.rpartition(".")[0]


def test_the_oldest_is_the_one_that_is_promised():
    promised = yaml.safe_load((PROJECT / "meta/runtime.yml").read_text())["requires_ansible"]
    assert promised == f">={CORES[0]}"


def test_one_is_that_of_the_scenarios():
    pinned = re.search(r"(?m)^ansible-core==(.+)$", (PROJECT / "requirements-dev.txt").read_text())[1]
    assert pinned in CORES


def test_both_readmes_name_them():
    for name in ("README.md", "README.zh-CN.md"):
        rows = "\n".join(re.findall(r"(?m)^\| ansible-core .*`make .*", (PROJECT / name).read_text()))
        assert [core for core in CORES if not re.search(rf"\b{re.escape(minor(core))}\b", rows)] == [], name
