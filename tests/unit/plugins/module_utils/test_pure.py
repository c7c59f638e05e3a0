# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is pure runs on a host by itself: with Python's standard library, and without Ansible."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

UTILS = Path(__file__).parents[4] / "plugins" / "module_utils"
NAMES = sorted(f"{path.parent.name}.{path.stem}" for path in UTILS.glob("*/*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", NAMES)
def test_it_needs_no_package(name):
    code = f"import sys; sys.path.insert(0, {str(UTILS)!r}); import {name}"
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
