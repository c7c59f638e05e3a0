"""Installed under the name of every FastDFS command."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib" / "python3"))
from fdfs_simulator import client, daemon, storage, tracker

NAME = Path(sys.argv[0]).name
KIND = {"fdfs_trackerd": tracker.Tracker, "fdfs_storaged": storage.Storage}.get(NAME)
sys.exit(daemon.run(NAME, sys.argv[1:], KIND) if KIND else client.run(NAME, sys.argv[1:]))
