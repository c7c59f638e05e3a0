"""What every role owes its user, held against its files: defaults, argument_specs and README say the same."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

PROJECT = Path(__file__).parents[2]
sys.path.insert(0, str(PROJECT / "tests"))
import role_readme  # noqa: E402

ROLES = sorted(path for path in (PROJECT / "roles").iterdir() if path.is_dir())
PREFIXES = {"nginx": "nginx_image_", "firewall": "firewall_image_", "keepalived": "keepalived_lvs_"}


def load(path: Path):
    return yaml.safe_load(path.read_text()) if path.exists() else None


def specs(role: Path) -> dict:
    return load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]


@pytest.fixture(params=ROLES, ids=lambda role: role.name)
def role(request) -> Path:
    return request.param


def test_defaults_and_argument_specs_name_the_same_variables(role):
    assert set(load(role / "defaults" / "main.yml")) == set(specs(role))


def test_a_default_is_the_documented_one(role):
    documented = specs(role)
    for name, value in load(role / "defaults" / "main.yml").items():
        # A value made of other variables is described in words.
        if isinstance(value, str) and "{{" in value:
            assert "default" not in documented[name] or documented[name]["default"] == value, name
        else:
            assert documented[name].get("default") == value, name


TYPES = {"str": str, "bool": bool, "int": int, "float": float, "list": list, "dict": dict, "path": str}


def test_a_default_has_the_type_that_the_argument_specs_say(role):
    documented = specs(role)
    for name, value in load(role / "defaults" / "main.yml").items():
        kind = documented[name].get("type", "str")
        made = isinstance(value, str) and "{{" in value
        # Raw values come as texts, too, and are looked at by filters.
        assert kind == "raw" or made or type(value) is TYPES[kind], name


def test_a_role_accepts_its_own_defaults(role):
    defaults = load(role / "defaults" / "main.yml")
    plain = {name: value for name, value in defaults.items() if "{{" not in str(value)}
    # What is required has to come from the user.
    documented = {
        name: {**option, "required": False} for name, option in specs(role).items() if name in plain
    }
    assert ArgumentSpecValidator(documented).validate(plain).error_messages == []


def test_every_variable_is_described(role):
    assert [name for name, option in specs(role).items() if not option.get("description")] == []


def test_the_readme_says_what_the_argument_specs_say(role):
    assert (role / "README.md").read_text() == role_readme.rendered(role), "run python tests/role_readme.py"


def test_the_readme_s_example_is_a_play_that_the_roles_accept(role):
    example = re.search(r"```yaml\n(.*?)```", (role / "README.md").read_text(), re.DOTALL)
    plays = yaml.safe_load(example[1])
    named = [each for play in plays for each in play.get("roles", [])]
    assert f"imageops.lvs_fastdfs.{role.name}" in [each["role"] for each in named]
    for each in named:
        options, given = specs(role.parent / each["role"].rsplit(".", 1)[1]), each.get("vars", {})
        plain = {name: value for name, value in given.items() if "{{" not in str(value)}
        documented = {
            name: {**option, "required": bool(option.get("required")) and name not in given}
            for name, option in options.items()
        }
        assert set(given) <= set(options)
        assert ArgumentSpecValidator(documented).validate(plain).error_messages == []


def test_variables_carry_the_role_s_name(role):
    prefix = PREFIXES.get(role.name, f"{role.name}_")
    assert [name for name in specs(role) if not name.startswith(prefix)] == []


def test_tasks_main_is_a_table_of_contents(role):
    lines = (role / "tasks" / "main.yml").read_text().splitlines()
    assert len(lines) <= 60


def test_what_playbooks_hand_over_are_variables_of_roles():
    known = {name for role in ROLES for name in specs(role)}
    handed = load(PROJECT / "playbooks" / "vars" / "handed.yml")
    assert sorted(handed) == list(handed), "the table is sorted"
    assert set(handed) - known == set()


def test_no_role_reads_the_cluster_s_variables():
    for role in ROLES:
        if role.name == "image_cluster":
            continue
        for path in [*role.rglob("*.yml"), *role.rglob("*.j2")]:
            assert "image_cluster_" not in path.read_text(), path


SCENARIOS = sorted((PROJECT / "molecule").glob("*/molecule.yml"))
SHARED = load(PROJECT / ".config" / "molecule" / "config.yml")


@pytest.mark.parametrize("path", SCENARIOS, ids=[path.parent.name for path in SCENARIOS])
def test_scenarios_have_what_their_sequence_names(path):
    """Molecule passes over what is not there, and is green."""
    own = load(path) or {}
    steps = own.get("scenario", SHARED["scenario"])["test_sequence"]
    if "verify" in steps:
        tests = path.parent / own.get("verifier", {}).get("directory", "tests")
        assert list(tests.glob("test_*.py")), tests
    named = [step.split()[1] for step in steps if " " in step]
    if "prepare" in steps:
        named.append("prepare.yml")
    assert [name for name in named if not (path.parent / name).exists()] == []


def prefix(role: Path) -> str:
    return PREFIXES.get(role.name, f"{role.name}_")


def sources(role: Path, *folders: str) -> list[str]:
    """What may name variables: YAML as it is, of templates what is between Jinja's marks."""
    texts = []
    for path in (path for folder in folders for path in sorted((role / folder).rglob("*"))):
        if not path.is_file() or path.suffix == ".pyc":
            continue
        text = path.read_text()
        if path.suffix not in (".yml", ".yaml"):
            text = "\n".join(re.findall(r"\{[{%](.*?)[}%]\}", text, re.DOTALL))
        texts.append(text)
    return texts


def test_every_variable_that_is_used_is_declared(role):
    texts = sources(role, "tasks", "handlers", "templates", "vars")
    # Not in quotes or paths: those are names of other things.
    used = {
        name
        for text in texts
        for name in re.findall(rf"(?<![\w$'\"/~-])(?<!\$\{{){prefix(role)}\w+(?![\w/]|\.js)", text)
    }
    # What a role tells others: the names that set_fact and vars give.
    told = {name for text in texts for name in re.findall(rf"(?m)^ +({prefix(role)}\w+):", text)}
    arguments = load(role / "meta" / "argument_specs.yml")["argument_specs"].values()
    declared = {name for entry in arguments for name in entry.get("options", {})}
    assert used - told - declared == set()


def test_every_variable_that_is_declared_is_used(role):
    folders = [role] if role.name != "image_cluster" else [role, PROJECT / "playbooks"]
    texts = [
        text
        for folder in folders
        for text in sources(folder, "tasks", "handlers", "templates", "vars", "files")
    ]
    assert [name for name in specs(role) if not any(re.search(rf"\b{name}\b", text) for text in texts)] == []
