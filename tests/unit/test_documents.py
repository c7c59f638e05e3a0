"""The repository's documents: their links lead somewhere, and the names of the field are spelled as their owners do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for path in [
        *PROJECT.glob("*.md"),
        *PROJECT.glob("docs/*.md"),
        *PROJECT.glob("roles/*/*.md"),
        *PROJECT.glob("tests/*/*.md"),
    ]
)
# As one writes them in a sentence; commands, paths and variables stand in backquotes.
WRONG = re.compile(
    r"\b(Fastdfs|fastDFS|FastDfs|Nginx|NGINX|KeepAlived|KeepAliveD|ipvs|Ipvs|ansible|molecule|debian)\b(?!-)"
)


def prose(text: str) -> str:
    """A document without code, links' targets and tables of variables."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    text = re.sub(r"<!-- begin.*?end variables -->", "", text, flags=re.DOTALL)
    return re.sub(r"`[^`]*`|\]\([^)]*\)", "", text)


@pytest.fixture(params=DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def document(request) -> Path:
    return request.param


def test_links_within_the_repository_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_names_of_the_field_are_spelled_as_their_owners_do(document):
    text = prose(document.read_text())
    assert [match.group(0) for match in WRONG.finditer(text)] == []


def first_column(text: str) -> list[str]:
    """The cells of the first column of every table, rules left out."""
    return [cell.strip() for cell in re.findall(r"(?m)^\| ([^|]*)\|", text)]


def test_the_readme_s_contract_is_whole():
    options = yaml.safe_load((PROJECT / "roles/image_cluster/meta/argument_specs.yml").read_text())
    options = set(options["argument_specs"]["main"]["options"])
    told = {cell.split("`")[1] for cell in first_column((PROJECT / "README.md").read_text()) if "`" in cell}
    groups = set(re.findall(r"(?m)^\| `(\w+)` \|", (PROJECT / "roles/image_cluster/README.md").read_text()))
    # Of what an inventory may say; that one is the playbook's.
    assert (options | groups) - told - {"image_cluster_handed"} == set()


def test_the_readme_says_where_to_ask():
    asked = yaml.safe_load((PROJECT / "galaxy.yml").read_text())["issues"]
    assert f"]({asked})" in (PROJECT / "README.md").read_text()


BOTH = ("README.md", "README.zh-CN.md")


def skeleton(text: str) -> dict[str, list]:
    """What a document has in every language: headings, code without its comments, tables with their names and links, and all other links."""
    code = re.findall(r"```.*?```", text, flags=re.DOTALL)
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    rows = re.findall(r"(?m)^\|.*\|$", text)
    return {
        "headings": [len(level) for level in re.findall(r"(?m)^(#+) ", text)],
        "code": [re.sub(r"(?m) *#.*$", "", block) for block in code],
        "tables": [sorted(re.findall(r"`[^`]+`|\]\([^)]+\)", row)) for row in rows],
        "columns": [row.count("|") for row in rows],
        "names": [cell for row in rows for cell in row.split("|")[1:2] if re.fullmatch(r"[ -{}~]+", cell)],
        "links": sorted(re.findall(r"\]\(([^)]+)\)", text)),
    }


def test_the_readme_says_the_same_in_both_languages():
    english, chinese = (skeleton((PROJECT / name).read_text()) for name in BOTH)
    for part in ("headings", "code", "tables", "columns"):
        assert chinese[part] == english[part], part
    # Names that a translation leaves as they are.
    assert set(chinese["names"]) <= set(english["names"])
    assert set(english["links"]) ^ set(chinese["links"]) == set(BOTH)
