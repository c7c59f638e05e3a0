"""Lets pytest in a checkout import the collection as Ansible does."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / ".ansible" / "collections"), str(Path(__file__).parent)]
