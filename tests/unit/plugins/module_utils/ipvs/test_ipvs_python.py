# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The code that runs on targets runs on the oldest Python that they may have."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[5]
MODULES = sorted((PROJECT / "plugins" / "modules").glob("ipvs*.py"))
OLDEST = "3.7"
# A table is made, read with its counters, given back, drained, and refused.
SCRIPT = """
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs import desired, drain, parse, plan, render, run
from fake_ipvsadm import SCHEDULERS, FakeIpvsadm

fake = FakeIpvsadm()
machine = run.Host(fake, lambda: True, lambda: SCHEDULERS, fake.proc)
tunnel = {"address": "10.0.0.1", "forward": "tunnel", "tunnel_type": "gue", "tunnel_port": 6080}
services = [
    {"address": "2001:DB8::1", "port": 80, "persistence_timeout": 9, "servers": [{"address": "fd00::1"}, tunnel]},
    {"fwmark": 7, "scheduler": "mh", "scheduler_flags": ["mh-port"], "servers": [{"address": "10.0.0.1"}]},
]
rules = plan.policy("services", ["0.0.0.0/0", "::/0", "fwmark:1-9"])
made = run.reconcile(machine, desired.desired(services, {"tcp": 600}), rules)
listing = parse.parse(fake("\\n".join(run.READ_COUNTERS))[1])
again = run.reconcile(machine, desired.desired(**render.counted_shape(listing.table(), listing.numbers)), rules)
asked = {"server": "10.0.0.1", "services": None, "state": "drained", "weight": None, "wait": "all", "timeout": 3, "poll_interval": 1}
drained = drain.drain(machine, drain.request(asked), drain.Surroundings())
fake.refuse = "-A -f 8"
said = ""
try:
    run.reconcile(machine, desired.desired([{"fwmark": 8}]), plan.policy())
except run.IpvsError as error:
    said = str(error)
print(len(made.steps), len(again.steps), len(drained.steps), "was put back" in said)
"""


def pythons() -> list[str]:
    """The oldest Python, where it is installed; and the one that runs this."""
    where = [shutil.which(f"python{OLDEST}")]
    where += sorted(Path.home().glob(f".pyenv/versions/{OLDEST}.*/bin/python"))
    for path in filter(None, where):
        # A version manager's stand-in may be there without the real one.
        asked = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=False)
        if asked.returncode == 0 and f" {OLDEST}." in asked.stdout:
            return [str(path), sys.executable]
    return [sys.executable]


@pytest.mark.parametrize("python", pythons())
def test_it_runs_on_the_oldest_python_of_targets(python, tmp_path):
    command = [python, "-W", "error", "-B", "-c", SCRIPT]
    where = [PROJECT / ".ansible" / "collections", Path(__file__).parent]
    path = ":".join(map(str, where))
    ran = subprocess.run(command, env={"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    assert ran.stdout == "6 0 2 True\n"
    for module in MODULES:
        compiled = (
            f"import py_compile; py_compile.compile({str(module)!r}, {str(tmp_path / 'c')!r}, doraise=True)"
        )
        subprocess.run([python, "-c", compiled], check=True)
