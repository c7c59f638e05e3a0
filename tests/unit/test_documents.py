"""The repository's documents: their links lead somewhere, and the names of the field are spelled as their owners do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils import cluster, cluster_problems

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
    r"\b(Fastdfs|fastDFS|FastDfs|Fast DFS|Nginx|NGINX|KeepAlived|KeepAliveD|KeepaliveD|ipvs|Ipvs|IpVs|IPVSADM|Ipvsadm|ansible|molecule|debian"
    r"|[Rr]eal [Ss]ervers? node|[Rr]eal-[Ss]ervers?|[Rr]eal[Ss]ervers?|[Vv]irtual [Ss]ervers?|[Ll]oad [Bb]alancers?)\b(?!-)"
    r"|后端服务器|负载均衡器|虚拟服务器|真实主机|主从切换|追踪服务器"
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


def test_links_lead_to_headings_that_are_there(document):
    text = document.read_text()
    dead = []
    for link, heading in re.findall(r"\]\(([^):]*)#([^)]+)\)", text):
        there = (document.parent / link).read_text() if link else text
        titles = re.findall(r"(?m)^#+ (.+)$", re.sub(r"```.*?```", "", there, flags=re.DOTALL))
        if heading not in [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]:
            dead.append(f"{link}#{heading}")
    assert dead == []


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


PAGES = sorted(path for path in (PROJECT / "docs").glob("*.md") if path.name != "README.md")
# The first list of the index: what happened, or has to be done.
FIRST = (PROJECT / "docs/README.md").read_text().split("\nWhat ")[0]
TASKS = [PROJECT / "docs" / name for name in re.findall(r"\]\(([^)]+)\)", FIRST)]


def told() -> str:
    """The words of everything that playbooks, roles and filters say."""
    sources = [
        path
        for folder in ("playbooks", "roles", "plugins")
        for path in (PROJECT / folder).rglob("*")
        if path.suffix in (".yml", ".j2", ".py", ".sh")
    ]
    return words(" ".join(path.read_text() for path in sources))


def words(text: str) -> str:
    return f" {' '.join(re.findall(r'[A-Za-z]+', text))} "


def shown(text: str) -> list[str]:
    """The lines that a page says one will see."""
    blocks = re.findall(r"```text\n(.*?)```", text, flags=re.DOTALL)
    return [line.strip("… ") for block in blocks for line in block.splitlines() if line.strip("… ")]


# An example's names, numbers and times; another cluster has others.
EXAMPLE = re.compile(
    r"\b(?:image|director|tracker|backup|group)\d\b|\bfastdfs-5[\w.-]+|/[\w./-]+|'[^']*'|\"[^\"]*\"|=\S+"
    r"|\b\d[\w.:%]*(?: (?:min|[KMGT]i?B)\b)?|\b[A-Z]{4,}\b"
)
# A sentence that a playbook puts together has a run or two across the seams.
ENOUGH = 0.75


def share_of(line: str, source: str) -> float:
    """How many of the line's runs of three words (or two or one, between two names) stand in the source."""
    pieces = [words(piece).split() for piece in EXAMPLE.split(line)]
    runs = [
        f" {' '.join(piece[at : at + 3])} "
        for piece in pieces
        for at in range(max(len(piece) - 2, 1))
        if piece
    ]
    return sum(run in source for run in runs) / len(runs)


@pytest.mark.parametrize(
    "page", [*TASKS, PROJECT / "README.md"], ids=lambda path: str(path.relative_to(PROJECT))
)
def test_what_a_page_shows_is_what_the_playbooks_say(page):
    source = told()
    lines = shown(page.read_text())
    assert lines
    assert [line for line in lines if share_of(line, source) < ENOUGH] == []


def test_a_sentence_that_no_playbook_says_is_seen():
    assert share_of("image1 was drained without trouble, and its readers are elsewhere now.", told()) < ENOUGH


def scaled(servers: int) -> list[str]:
    """The rows of docs/scaling.md for so many image servers, from what the page says was measured."""
    reads = servers * 7000
    groups = -(-servers // 2)
    minutes = servers * 68 * 0.31 / 60
    load = [
        f"{servers:,}",
        f"{reads:,}",
        f"{reads * 7 / 1e6:.2f} million",
        f"{reads * 480 * 8 / 1e9:.2f} Gbit/s",
        f"{reads * 120 / 1e6:,.1f} million",
        f"{servers / 2:,.0f}",
        f"{servers / 2 * 0.0022:.2f}",
    ]
    rest = [
        f"{servers:,}",
        f"{groups:,}",
        f"{(groups - 1) / groups:.0%}",
        f"{minutes / 2:.0f} min",
        f"{minutes / 16:.0f} min",
        f"{4093 / servers:,.0f}",
    ]
    return [f"| {' | '.join(row)} |" for row in (load, rest)]


@pytest.mark.parametrize("servers", [3, 30, 150, 300, 1000, 3000])
def test_the_sizes_are_computed_from_the_figures(servers):
    text = (PROJECT / "docs/scaling.md").read_text()
    assert [row for row in scaled(servers) if row not in text] == []


@pytest.mark.parametrize("figure", ["15,176", "2.7%", "0.10", "0.04", "2,344", "1.93 s", "2,493"])
def test_the_figures_stand_where_they_were_measured(figure):
    assert figure in (PROJECT / "docs/performance.md").read_text()
    assert figure in (PROJECT / "docs/scaling.md").read_text()


def test_the_documents_index_lists_every_page():
    listed = re.findall(r"\]\(([^)]+)\)", (PROJECT / "docs/README.md").read_text())
    assert sorted(listed) == [page.name for page in PAGES]


# Which test runs a playbook (with these words), and which types a command: a file below molecule/, and what must be in it.
PLAYED = {
    "preflight": "default/tests/test_preflight.py: site.yml",
    "site": "default/tests/test_install.py: imageops.lvs_fastdfs .site",
    "verify": "default/tests/test_verify.py: verify.yml",
    "drain": "ha/tests/test_failover.py: drain.yml",
    "undrain": "ha/tests/test_failover.py: undrain.yml",
    "switchover": "ha/tests/test_failover.py: switchover.yml",
    "rolling_update": "ha/tests/test_rolling_update.py: rolling_update.yml",
    "status": "storage/tests/test_restore.py: status.yml",
    "restore": "storage/tests/test_restore.py: restore.yml",
    "replace_storage": "storage/tests/test_members.py: replace_storage.yml",
    "decommission_storage": "storage/tests/test_members.py: decommission_storage.yml",
    "upgrade_fastdfs": "storage/tests/test_upgrade.py: upgrade_fastdfs.yml",
}
TYPED = {
    "ansible-galaxy collection": "default/tests/test_install.py: ansible-galaxy collection build install",
    "ssh -F .ansible/lab/ssh_config": "traffic.py: ssh -F ssh_config",
    "fdfs_upload_file /etc/fdfs/client.conf": "default/tests/test_power.py: fdfs_upload_file /etc/fdfs/client.conf",
    "curl -O http://": "default/tests/test_power.py: curl http://{vip}/{file_id}",
    "cat /var/lib/keepalived-lvs/transitions": "ha/tests/conftest.py: /var/lib/keepalived-lvs/transitions",
}
PLAY = re.compile(
    r"(?:ansible-playbook -i \S+ )?imageops\.lvs_fastdfs\.(\w+)((?: -e \w+=(?:'[^']*'|\S+)| --check)*)"
)
MARK = "<!-- needs real hosts"
GUIDES = [path for path in DOCUMENTS if path.parts[-3] != "roles"]


def commands(text: str) -> list[str]:
    """The command lines of a document but those that are marked, without their comments."""
    blocks = re.findall(r"(?m)^(<!-- .*-->\n)?```(\w*)\n((?:.*\n)*?)```", text)
    lines = [
        line for mark, kind, block in blocks if not kind and MARK not in mark for line in block.splitlines()
    ]
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    lines += re.findall(r"`(make [^`]+|imageops\.lvs_fastdfs\.\w+(?: [^`]+)?)`", outside)
    return [line.split(" #")[0].strip() for line in lines if line.strip()]


def lacking(test: str, more: list[str]) -> str:
    path, _, words_ = test.partition(": ")
    text = (PROJECT / "molecule" / path).read_text()
    absent = [word for word in [*words_.split(), *more] if word not in text]
    return f"molecule/{path} has no {', '.join(absent)}" if absent else ""


def uncovered(line: str) -> str:
    """What is wrong with a command line of a document: nothing, where a test runs it."""
    if line.startswith("make "):
        # It says what it would do.
        command = ["make", "--dry-run", *line.split()[1:]]
        tried = subprocess.run(command, cwd=PROJECT, capture_output=True, check=False)
        return "the Makefile has no such target" if tried.returncode else ""
    play = PLAY.fullmatch(line)
    if play and play[1] in PLAYED:
        return lacking(PLAYED[play[1]], re.findall(r"(?<=-e )\w+=|--\w+", play[2]))
    typed = [test for begin, test in TYPED.items() if line.startswith(begin)]
    return lacking(typed[0], []) if typed else "no test is said to run it"


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_command_is_run_by_a_test_or_marked(path):
    wrong = {line: uncovered(line) for line in commands(path.read_text())}
    assert {line: said for line, said in wrong.items() if said} == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("make nothing", "no such target"),
        ("ansible-playbook -i my/hosts.yml imageops.lvs_fastdfs.nothing", "no test"),
        ("ansible-playbook -i my/hosts.yml imageops.lvs_fastdfs.drain -e nobody=image1", "has no nobody="),
        ("reboot", "no test"),
    ],
)
def test_a_command_that_no_test_runs_is_seen(line, said):
    assert said in uncovered(line)


def test_a_marked_command_is_left_out():
    assert commands("```\nreboot\n```\n") == ["reboot"]
    assert commands(f"{MARK}: it would be gone -->\n```\nreboot\n```\n") == []


def test_the_tests_that_run_commands_are_run():
    everything = re.search(r"tests/all (.*trixie.*)", (PROJECT / "Makefile").read_text())[1].split()
    scenarios = {test.split("/")[0] for test in [*PLAYED.values(), *TYPED.values()] if "/tests/" in test}
    assert scenarios - set(everything) == set()


def test_the_readme_s_inventory_can_work():
    blocks = re.findall(r"```yaml\n(.*?)```", (PROJECT / "README.md").read_text(), flags=re.DOTALL)
    inventory = yaml.safe_load(blocks[0])["all"]
    groups = {name: list(each["hosts"]) for name, each in inventory["children"].items()}
    network = {"address": "192.168.10.1", "network": "192.168.10.0", "netmask": "255.255.255.0"}
    facts = {"default_ipv4": {"interface": "eth0"}, "interfaces": ["eth0"], "eth0": {"ipv4": network}}
    hosts: dict[str, dict] = {}
    for each in inventory["children"].values():
        for name, own in each["hosts"].items():
            hosts.setdefault(name, {"ansible_facts": facts}).update(own)
    defaults = (
        yaml.safe_load((PROJECT / "roles/image_cluster/defaults/main.yml").read_text()) | inventory["vars"]
    )
    settings = cluster.normal({name[len("image_cluster_") :]: value for name, value in defaults.items()})
    settings["weights"] = dict.fromkeys(groups["fastdfs_storages"], 1)
    assert cluster_problems.problems(settings, cluster.members(hosts, groups), groups) == []
