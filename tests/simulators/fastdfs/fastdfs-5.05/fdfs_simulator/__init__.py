"""A stand-in for FastDFS 5.05. Start with wire.py; tests/simulators/README.md tells the rest."""

NOTICE = "SIMULATOR of FastDFS 5.05: for tests and the demo only, not for data that matters"
