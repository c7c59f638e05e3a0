"""Servers and clusters to ask: a fake one, and the fixtures of the simulator's own tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "simulators"))
sys.path.insert(0, str(Path(__file__).parent))
from fake_fastdfs import serve  # noqa: F401
from fdfs_fixtures import archives, cluster, needs_real, prefix, real, simulated  # noqa: F401
