"""Writes the table of variables of each role's README from its argument_specs: python tests/role_readme.py [--check].

The table stands between two comment lines; the rest of a README is written by hand.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import yaml

ROLES = Path(__file__).parents[1] / "roles"
BEGIN, END = "<!-- begin variables (from meta/argument_specs.yml) -->", "<!-- end variables -->"


def words(description: str | list[str]) -> str:
    """A description without the markup of Ansible's documents: C(x), V(x) and the like become `x`."""
    text = " ".join([description] if isinstance(description, str) else description)
    text = re.sub(r"\b[CFMOV]\(([^)]*)\)", r"`\1`", text)
    return " ".join(text.replace("|", "\\|").split())


def default(option: dict) -> str:
    if option.get("required"):
        return "required"
    value = option.get("default")
    if value is None or value == "":
        return "none"
    shown = value if isinstance(value, str) else json.dumps(value)
    return f"`{' '.join(shown.split())}`" if len(shown) <= 60 else "see `defaults/main.yml`"


def table(options: dict) -> str:
    """The variables as a Markdown table."""
    rows = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    for name, option in options.items():
        choices = (
            f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}."
            if option.get("choices")
            else ""
        )
        kind = option.get("type", "str") + (f" of {option['elements']}" if option.get("elements") else "")
        rows.append(f"| `{name}` | {kind} | {default(option)} | {words(option['description'])}{choices} |")
    return "\n".join(rows)


def rendered(role: Path) -> str:
    """The role's README with its table made anew."""
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"][
        "options"
    ]
    readme = (role / "README.md").read_text()
    block = f"{BEGIN}\n\n{table(specs)}\n\n{END}"
    if BEGIN not in readme:
        return f"{readme.rstrip()}\n\n## Variables\n\n{block}\n"
    head, _, rest = readme.partition(BEGIN)
    return head + block + rest.partition(END)[2]


def stale() -> list[Path]:
    """READMEs that are not what their argument_specs say."""
    return [
        role / "README.md"
        for role in sorted(ROLES.iterdir())
        if (role / "README.md").read_text() != rendered(role)
    ]


if __name__ == "__main__":
    found = stale()
    if "--check" in sys.argv:
        print("\n".join(f"{path}: run python tests/role_readme.py" for path in found))
        sys.exit(bool(found))
    for path in found:
        path.write_text(rendered(path.parent))
