"""Clusters to ask: the fixtures of the simulator's own tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "simulators"))
from fdfs_fixtures import archives, cluster, needs_real, real, simulated  # noqa: F401
