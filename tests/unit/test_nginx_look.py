"""What the role nginx learns of a host before it changes it (files/look.sh), where other people's files are at stake."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

LOOK = Path(__file__).parents[2] / "roles" / "nginx" / "files" / "look.sh"
DPKG = """#!/bin/sh
case $1 in
-S) [ "$2" = "{owned}" ] ;;
--verify) [ -z "{edited}" ] || echo "??5?????? c {edited}" ;;
esac
"""


@pytest.fixture
def look(tmp_path):
    """look(owned=path, edited=path): the lines about a host whose package has that file, and has it otherwise."""
    enabled, available = tmp_path / "enabled", tmp_path / "available"
    available.write_text("server { listen 80 default_server; }\n")
    enabled.symlink_to(available)

    def lines(owned: Path | str = available, edited: Path | str = "") -> list[str]:
        programs = tmp_path / "bin"
        programs.mkdir(exist_ok=True)
        (programs / "dpkg").write_text(DPKG.format(owned=owned, edited=edited))
        (programs / "dpkg").chmod(0o755)
        (programs / "rpm").write_text("#!/bin/sh\nexit 1\n")
        (programs / "rpm").chmod(0o755)
        absent = str(tmp_path / "absent")
        words = ["www-data", absent, absent, absent, absent, absent, str(enabled), "listen[[:space:]]+80"]
        done = subprocess.run(
            ["sh", "-s", *words],
            input=LOOK.read_text(),
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        )
        return done.stdout.splitlines()

    lines.available = available
    lines.enabled = enabled
    return lines


def test_the_distributions_default_site_makes_way(look):
    assert "default" in look()


def test_a_default_site_that_somebody_edited_stays(look):
    assert "default" not in look(edited=look.available)


def test_a_default_site_that_is_no_package_s_stays(look):
    look.enabled.unlink()
    look.enabled.write_text("server { listen 80 default_server; }\n")
    assert "default" not in look()
