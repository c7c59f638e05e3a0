# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls a module as Ansible does, those for IPVS on a machine with a fake ipvsadm, those for FastDFS with servers on loopback."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

import pytest
from ansible.module_utils import basic
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.run import Host
from fake_ipvsadm import SCHEDULERS, FakeIpvsadm

TESTS = Path(__file__).parents[2]
sys.path[:0] = [str(TESTS / "simulators"), str(TESTS / "plugins/module_utils/fastdfs")]
from fake_fastdfs import serve  # noqa: E402, F401
from fdfs_fixtures import archives, cluster, needs_real, prefix, real, simulated  # noqa: E402, F401


@contextlib.contextmanager
def arguments(values: dict):
    try:
        from ansible.module_utils.testing import patch_module_args  # noqa: PLC0415 (ansible-core 2.18 and later)
    except ImportError:
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": values}).encode()
        yield
    else:
        with patch_module_args(values):
            yield


@pytest.fixture
def run(monkeypatch):
    """A function that runs a module and returns its result, with the warnings."""

    def with_arguments(module, check: bool = False, diff: bool = False, **values) -> dict:
        warnings: list[str] = []
        monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _module, text: warnings.append(text))
        output = io.StringIO()
        given = arguments({**values, "_ansible_check_mode": check, "_ansible_diff": diff})
        with given, contextlib.redirect_stdout(output), pytest.raises(SystemExit):
            module.main()
        return {**json.loads(output.getvalue()), "warned": warnings}

    return with_arguments


@pytest.fixture
def call(monkeypatch, run):
    """A function that runs a module against a fake ipvsadm (None: not installed) and returns its result."""

    def with_fake(module, fake: FakeIpvsadm | None, loaded: bool = False, **values) -> dict:
        machine = Host(
            fake,
            lambda: fake.loaded if fake else loaded,
            lambda: SCHEDULERS,
            fake.proc if fake else lambda: "",
        )
        monkeypatch.setattr(module, "host", lambda _module: machine)
        return run(module, **values)

    return with_fake
