"""What every role's templates have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

ROLES = Path(__file__).parents[2] / "roles"
TEMPLATES = sorted(ROLES.glob("*/templates/*"))


@pytest.mark.parametrize("template", TEMPLATES, ids=[f"{each.parts[-3]}-{each.name}" for each in TEMPLATES])
def test_what_says_who_made_a_file_is_a_comment_whatever_its_lines(template):
    """An inventory may set ansible_managed to a text of several lines, of which each has to be a comment."""
    lines = [line for line in template.read_text().splitlines() if "ansible_managed" in line]
    assert all("| comment" in line for line in lines)
    # The sentences of a refused argument and what others include are no files, and JSON has no comments.
    assert lines or template.name in ("problems.j2", "sandbox.j2") or template.name.endswith(".json.j2")


@pytest.mark.parametrize("template", TEMPLATES, ids=[f"{each.parts[-3]}-{each.name}" for each in TEMPLATES])
def test_what_follows_an_included_file_begins_a_line(template):
    """Jinja takes away the last newline of an included file, and the one behind the tag."""
    lines = template.read_text().splitlines()
    assert all(not lines[at + 1] for at, line in enumerate(lines) if line.startswith("{% include"))
