"""Renders a role's template as Ansible would, from values that are given and the role's defaults."""

from __future__ import annotations

import functools
from pathlib import Path

import jinja2
import yaml
from ansible.plugins.filter import core, mathstuff
from ansible.plugins.test import core as tests
from ansible.plugins.test import mathstuff as more_tests

ROLES = Path(__file__).parents[2] / "roles"


def _listed(given):
    @functools.wraps(given)
    def filtered(*args, **kwargs):
        return list(given(*args, **kwargs))

    return filtered


def rendered(role: str, template: str, **variables) -> str:
    """The text of ``roles/<role>/templates/<template>``; values of ``vars/main.yml`` that are made of others have to be given."""
    folder = ROLES / role
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folder / "templates"), trim_blocks=True)
    for filters in (core, mathstuff):
        environment.filters.update(filters.FilterModule().filters())
    # Ansible's own knows nothing of Jinja's undefined values.
    environment.filters["default"] = jinja2.defaults.DEFAULT_FILTERS["default"]
    # With Ansible these give lists, which may be empty, and no generators.
    for name in ("map", "select", "reject", "selectattr", "rejectattr"):
        environment.filters[name] = _listed(jinja2.defaults.DEFAULT_FILTERS[name])
    for each in (tests, more_tests):
        environment.tests.update(each.TestModule().tests())
    values = {"ansible_managed": "managed"}
    for part in ("defaults", "vars"):
        values |= yaml.safe_load((folder / part / "main.yml").read_text())
    return environment.get_template(template).render(values | variables)


def problems(role: str, **variables) -> list[str]:
    """The sentences with which the role refuses these arguments."""
    return [line for line in rendered(role, "problems.j2", **variables).splitlines() if line]
