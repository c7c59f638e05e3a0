"""The fixtures of fdfs_fixtures.py, and the simulator's own modules."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from fdfs_cluster import SIMULATOR
from fdfs_fixtures import archives, cluster, prefix, real, simulated  # noqa: F401

sys.path.insert(0, str(SIMULATOR / "fastdfs-5.05"))
