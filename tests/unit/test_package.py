"""What `ansible-galaxy collection build` makes of a checkout in which people work: what runs and its documents, and nothing else."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
RUNS = ("meta", "playbooks", "plugins", "roles")
DOCUMENTS = (
    *("CHANGELOG.rst", "CONTRIBUTING.md", "LICENSE", "README.md", "README.zh-CN.md"),
    *("docs", "changelogs/changelog.yaml"),
)
MADE = {"FILES.json", "MANIFEST.json"}
STRAYS = (
    *(
        ".venv/bin/python",
        ".ansible/lab/ssh_key",
        ".idea/workspace.xml",
        ".env",
        "docs/.page.md.swp",
        "docs/page.md~",
    ),
    *("roles/nginx/tasks/.main.yml.swp", "roles/nginx/defaults/main.yml.orig", "playbooks/site.yml.rej"),
    *("playbooks/site.retry", "plugins/modules/__pycache__/ipvs.cpython-311.pyc", "tests/output/report.txt"),
    *("changelogs/.plugin-cache.yaml", "ansible.log", "imageops-lvs_fastdfs-0.0.9.tar.gz"),
)


def known_to_git(*paths: str) -> list[str]:
    """The files of the checkout that git knows or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *paths]
    listed = subprocess.run(
        command, cwd=PROJECT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return sorted({each for each in listed if (PROJECT / each).is_file()})


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of the checkout."""
    return copied(tmp_path)


def copied(target: Path) -> Path:
    for each in known_to_git():
        (target / each).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / each, target / each)
    return target


@pytest.fixture(scope="module")
def artifact(tmp_path_factory) -> Path:
    """The artifact of a copy of the checkout with strays in it."""
    checkout, made = copied(tmp_path_factory.mktemp("checkout")), tmp_path_factory.mktemp("made")
    for each in STRAYS:
        (checkout / each).parent.mkdir(parents=True, exist_ok=True)
        (checkout / each).write_text("stray\n")
    build = ["ansible-galaxy", "collection", "build", str(checkout), "--output-path", str(made)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (path,) = made.iterdir()
    return path


@pytest.fixture(scope="module")
def shipped(artifact) -> dict[str, bytes]:
    """The files of the artifact with their content."""
    with tarfile.open(artifact) as archive:
        return {each.name: archive.extractfile(each).read() for each in archive if each.isfile()}


def test_the_artifact_is_small(artifact):
    assert artifact.stat().st_size < 1_000_000


def test_it_has_what_runs_and_its_documents_and_nothing_else(shipped):
    assert sorted(set(shipped) - MADE) == known_to_git(*RUNS, *DOCUMENTS)


def test_documents_lead_to_what_is_shipped(shipped):
    dead = [
        f"{name}: {link}"
        for name, content in shipped.items()
        if name.endswith(".md")
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", content.decode())
        if not any(
            each == target or each.startswith(f"{target}/")
            for target in [str((Path("/") / name).parent.joinpath(link).resolve())[1:]]
            for each in shipped
        )
    ]
    assert dead == []


def used_collections(text: str) -> set[str]:
    """The collections whose modules, filters, roles or other plugins a YAML file or a template names in full."""
    modules = re.findall(r"(?m)^ *(?:- )?([a-z_]+\.[a-z_]+)\.[a-z_.]+:(?: |$)", text)
    plugins = re.findall(
        r"(?:\||\bis|is not|map\(|select\(|reject\(|lookup\(|query\()\s*'?([a-z_]+\.[a-z_]+)\.[a-z_]+\b", text
    )
    roles = re.findall(r"(?m)(?:role|name|import_playbook): ([a-z_]+\.[a-z_]+)\.[a-z_]+$", text)
    # What stands there may also be the attribute of a variable.
    known = re.compile(r"(ansible|community|containers|imageops)\.\w+")
    return {name for name in [*modules, *plugins, *roles] if known.fullmatch(name)}


def test_dependencies_are_what_is_used(shipped):
    declared = yaml.safe_load((PROJECT / "galaxy.yml").read_text())["dependencies"]
    used = {
        name: found
        for name, content in shipped.items()
        if name.split("/")[0] in RUNS and name.endswith((".yml", ".j2"))
        for found in used_collections(content.decode())
    }
    assert set(used.values()) - {"ansible.builtin", "imageops.lvs_fastdfs"} == set(declared), used


def test_another_collection_s_plugins_would_be_seen():
    assert used_collections("- ansible.posix.sysctl:\n    name: x\n") == {"ansible.posix"}
    assert used_collections("{{ 'x' | ansible.utils.ipaddr('netmask') }}") == {"ansible.utils"}
    assert used_collections("{{ y | map('community.general.counter') }}") == {"community.general"}


def imported(text: str) -> set[str]:
    """The packages that a Python file imports, whether at its head or where it needs them."""
    found = set()
    for each in ast.walk(ast.parse(text)):
        if isinstance(each, ast.Import):
            found |= {name.name.split(".")[0] for name in each.names}
        elif isinstance(each, ast.ImportFrom) and not each.level:
            found.add(each.module.split(".")[0])
    return found


def test_no_python_package_is_needed_beside_ansible_core_s():
    """What runs imports the standard library, ansible-core and this collection, whose files may lie beside each other on a host."""
    own = {path.stem for each in RUNS for path in (PROJECT / each).rglob("*.py")}
    at_hand = {"ansible", "ansible_collections", *sys.stdlib_module_names, *own}
    needed = {
        f"{path.relative_to(PROJECT)}: {name}"
        for each in RUNS
        for path in (PROJECT / each).rglob("*.py")
        for name in imported(path.read_text())
        if name not in at_hand
    }
    assert needed == set()


def changelog(checkout: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["antsibull-changelog", *words], cwd=checkout, capture_output=True, text=True, check=False
    )


def test_fragments_are_well_formed_and_the_release_notes_are_made_from_them(checkout):
    linted = changelog(checkout, "lint")
    assert linted.returncode == 0, linted.stdout + linted.stderr
    notes = (checkout / "CHANGELOG.rst").read_text()
    (checkout / "CHANGELOG.rst").unlink()
    made = changelog(checkout, "generate")
    assert made.returncode == 0, made.stderr
    assert (checkout / "CHANGELOG.rst").read_text() == notes, "run antsibull-changelog generate"


def test_a_fragment_that_is_none_is_seen(checkout):
    (checkout / "changelogs" / "fragments" / "wrong.yml").write_text("fixes: [something]\n")
    assert "fixes" in changelog(checkout, "lint").stdout


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readme_installs_this_version(readme):
    version = yaml.safe_load((PROJECT / "galaxy.yml").read_text())["version"]
    named = re.findall(r"imageops-lvs_fastdfs-(\S+)\.tar\.gz", (PROJECT / readme).read_text())
    assert named == [version]


def test_the_version_has_release_notes():
    releases = yaml.safe_load((PROJECT / "changelogs" / "changelog.yaml").read_text())["releases"]
    assert yaml.safe_load((PROJECT / "galaxy.yml").read_text())["version"] in releases
