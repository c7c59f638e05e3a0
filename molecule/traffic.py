"""What tests of several scenarios do on the lab's hosts: wait for something, and write while something happens."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).parents[1]
TOOLS = PROJECT / "tests" / "tools"


def until(reached: Callable[[], object], what: str, seconds: float = 60) -> float:
    """The seconds until ``reached`` was true."""
    began = time.monotonic()
    while not reached():
        assert time.monotonic() - began < seconds, f"after {seconds} s: {what}"
        time.sleep(0.2)
    return time.monotonic() - began


def ask(name: str, command: str, text: str) -> subprocess.CompletedProcess:
    """A command on a host of the lab that reads this text."""
    reached = ["ssh", "-F", str(PROJECT / ".ansible" / "lab" / "ssh_config"), name, command]
    return subprocess.run(reached, input=text, capture_output=True, text=True, check=False)


def give(host, tool: str) -> str:
    """A tool of tests/tools on a host of the lab, and how it is run there."""
    path = f"/var/tmp/{tool}"
    done = ask(host.name, f"cat >{path}", (TOOLS / tool).read_text())
    assert done.returncode == 0, done.stderr
    return f"python3 {path}"


class Ledger:
    """What a writer was told is stored, and what storages and backup hosts have of it.

    ``keepers`` maps hosts to the groups whose images they have and to how they are asked for them.
    """

    def __init__(self, keepers: dict[str, list[str]]) -> None:
        self.lines: list[str] = []
        self.keepers = keepers

    @property
    def acknowledged(self) -> int:
        return sum('"id"' in line for line in self.lines)

    @property
    def failed(self) -> int:
        return sum('"failed"' in line for line in self.lines)

    def missing(self, seconds: float = 60) -> dict[str, list]:
        """The hosts that lack an acknowledged image, or have another content, after replication had so much time."""
        text = "\n".join(self.lines)
        deadline = time.monotonic() + seconds
        while True:
            wrong: dict[str, list] = {}
            for name, checks in self.keepers.items():
                for check in checks:
                    done = ask(name, check, text)
                    if done.returncode:
                        wrong.setdefault(name, []).append(json.loads(done.stdout))
            if not wrong or time.monotonic() > deadline:
                return wrong
            time.sleep(1)
