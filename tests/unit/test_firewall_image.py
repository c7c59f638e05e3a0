"""The templates of the role firewall: what the rendered table lets in, and what the role refuses."""

from __future__ import annotations

import ipaddress
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from role_templates import problems, rendered

ROLE = Path(__file__).parents[2] / "roles" / "firewall"
# An image server's, as image_cluster_plan has them, and a director's of a cluster with tunnels.
RULES = [
    {"name": "read", "protocol": "tcp", "ports": [80, 443], "sources": ["192.0.2.0/24", "2001:db8::/32"]},
    {"name": "check", "protocol": "tcp", "ports": [80], "sources": ["10.0.0.1", "10.0.0.7", "fd00::1"]},
    {"name": "peers", "protocol": "tcp", "ports": [80], "sources": ["10.0.0.3"]},
    {"name": "tunnel", "protocol": "ipip", "ports": [], "sources": ["10.0.0.1", "fd00::1"]},
    {"name": "storage", "protocol": "tcp", "ports": [23000], "sources": ["10.0.0.3", "10.5.0.0/16"]},
    {"name": "vrrp", "protocol": "vrrp", "ports": [], "sources": ["10.0.0.7"]},
    {"name": "sync", "protocol": "udp", "ports": [8848], "sources": ["10.0.0.7"]},
]
NUMBERS = {"tcp": "tcp", "udp": "udp", "ipip": "4", "ipip6": "41", "vrrp": "112"}
# The names of /etc/protocols, which firewalld takes.
NAMES = {"ipip": "ipip", "ipip6": "ipv6", "vrrp": "vrrp"}


def verdict(table: str, source: str, protocol: str, port: int = 0) -> str:
    """What the table does with a first packet from ``source``; it has accept and drop rules with sets, and no others."""
    ip = ipaddress.ip_address(source)
    sets = {
        name: [ipaddress.ip_network(each) for each in elements.split(", ")]
        for name, elements in re.findall(r"set (\w+) \{.*?elements = \{ (.*?) \}", table, re.DOTALL)
    }
    (chain,) = re.findall(r"policy accept;\n(.*?)\n    \}", table, re.DOTALL)
    for line in chain.splitlines():
        named = re.search(r"@(\w+)", line)
        ports = re.search(r"(tcp|udp) dport \{ (.*?) \}", line)
        number = re.search(r"meta l4proto (\d+)", line)
        if named and not any(ip in each for each in sets[named[1]] if each.version == ip.version):
            continue
        if f"meta nfproto ipv{10 - ip.version}" in line:
            continue
        if ports and not (ports[1] == protocol and str(port) in ports[2].split(", ")):
            continue
        if number and number[1] != NUMBERS[protocol]:
            continue
        if 'iifname "lo"' in line:
            continue
        return re.search(r"accept|drop", line)[0]
    return "passed on"


def firewalld_verdict(policy: str, source: str, protocol: str, port: int = 0) -> str:
    """The same of firewalld's policy: the rules with the lowest priority are asked first."""
    ip = ipaddress.ip_address(source)
    for rule in sorted(
        ElementTree.fromstring(policy).iter("rule"), key=lambda each: int(each.get("priority"))
    ):
        sender, family = rule.find("source"), rule.get("family", f"ipv{ip.version}")
        if family != f"ipv{ip.version}" or (
            sender is not None and ip not in ipaddress.ip_network(sender.get("address"))
        ):
            continue
        ports, named = rule.find("port"), rule.find("protocol")
        if ports is not None and (ports.get("protocol"), ports.get("port")) != (protocol, str(port)):
            continue
        if named is not None and named.get("value") != NAMES.get(protocol):
            continue
        return "accept" if rule.find("accept") is not None else "drop"
    return "passed on"


@pytest.mark.parametrize(
    ("template", "judge"),
    [("firewall-image.nft.j2", verdict), ("firewall_image.xml.j2", firewalld_verdict)],
    ids=["nftables", "firewalld"],
)
@pytest.mark.parametrize(
    ("source", "protocol", "port", "seen"),
    [
        ("192.0.2.7", "tcp", 80, "accept"),
        ("192.0.2.7", "tcp", 443, "accept"),
        ("2001:db8::7", "tcp", 443, "accept"),
        ("192.0.2.7", "tcp", 23000, "drop"),
        ("192.0.3.7", "tcp", 80, "drop"),
        ("2001:db9::7", "tcp", 80, "drop"),
        # A director checks at the first port, and reads nothing.
        ("10.0.0.1", "tcp", 80, "accept"),
        ("fd00::1", "tcp", 80, "accept"),
        ("10.0.0.1", "tcp", 443, "drop"),
        ("10.0.0.1", "tcp", 23000, "drop"),
        ("10.0.0.1", "ipip", 0, "accept"),
        ("fd00::1", "ipip6", 0, "accept"),
        ("10.0.0.3", "ipip", 0, "drop"),
        ("fd00::3", "ipip6", 0, "drop"),
        ("10.0.0.3", "tcp", 80, "accept"),
        ("10.0.0.3", "tcp", 443, "drop"),
        ("10.0.0.3", "tcp", 23000, "accept"),
        ("10.5.9.9", "tcp", 23000, "accept"),
        # A member that neither reads nor proxies, and a writer.
        ("10.0.0.4", "tcp", 80, "drop"),
        ("10.5.9.9", "tcp", 80, "drop"),
        ("10.0.0.7", "vrrp", 0, "accept"),
        ("10.0.0.1", "vrrp", 0, "drop"),
        ("10.0.0.7", "udp", 8848, "accept"),
        ("10.0.0.1", "udp", 8848, "drop"),
        # Nothing but the ports that have rules is looked at.
        ("198.51.100.1", "tcp", 22, "passed on"),
        ("198.51.100.1", "tcp", 9100, "passed on"),
        ("198.51.100.1", "udp", 80, "passed on"),
    ],
)
def test_whom_a_rule_names_is_let_in(template, judge, source, protocol, port, seen):
    assert judge(rendered("firewall", template, firewall_image_rules=RULES), source, protocol, port) == seen


def test_everybody_is_everybody_of_that_family():
    rules = [{"name": "read", "protocol": "tcp", "ports": [80], "sources": ["0.0.0.0/0"]}]
    table = rendered("firewall", "firewall-image.nft.j2", firewall_image_rules=rules)
    assert verdict(table, "198.51.100.1", "tcp", 80) == "accept"
    assert verdict(table, "2001:db8::1", "tcp", 80) == "drop"
    rules[0]["sources"].append("::/0")
    table = rendered("firewall", "firewall-image.nft.j2", firewall_image_rules=rules)
    assert verdict(table, "2001:db8::1", "tcp", 80) == "accept"


def test_only_the_first_packet_of_a_connection_is_judged():
    table = rendered("firewall", "firewall-image.nft.j2", firewall_image_rules=RULES)
    drops = [line.strip() for line in table.splitlines() if line.strip().endswith("drop")]
    assert [line for line in drops if "tcp" in line and "tcp flags & (syn | ack) == syn" not in line] == []


def test_a_port_of_nobody_is_closed_to_everybody():
    rules = [{"name": "storage", "protocol": "tcp", "ports": [23000], "sources": []}]
    table = rendered("firewall", "firewall-image.nft.j2", firewall_image_rules=rules)
    assert verdict(table, "10.0.0.3", "tcp", 23000) == "drop"


def refused(*rules: dict, ssh: tuple[int, ...] = (22,)) -> list[str]:
    return problems("firewall", firewall_image_rules=list(rules), __firewall_image_ssh_ports=list(ssh))


def test_sound_rules_have_no_problem():
    assert refused(*RULES) == []


@pytest.mark.parametrize(("port", "ssh"), [(22, 22), ("20-30", 22), (2222, 2222), ("1-65535", 22)])
def test_ssh_is_never_restricted(port, ssh):
    rule = {"name": "x", "protocol": "tcp", "ports": [port], "sources": ["10.0.0.1"]}
    (sentence,) = refused(rule, ssh=(ssh,))
    assert sentence.endswith("is ssh, which this role never restricts.")


LISTENS = 'LISTEN 0      128          0.0.0.0:8080      0.0.0.0:*    users:(("sshd",pid=1,fd=3))'
NGINX = 'LISTEN 0      511          0.0.0.0:80      0.0.0.0:*    users:(("nginx",pid=2,fd=3))'
CLOSED = (Path(__file__).parent / "plugins" / "plugin_utils" / "nftables" / "closed.json").read_text()


def preflight(
    folder: Path, nft: str = "", ss: str = NGINX, connection: str = "", **variables
) -> tuple[int, str]:
    """How the role's preflight ends on a host whose nft and ss say this, and what it says."""
    for name, said in {"nft": nft, "ss": ss, "systemctl": "inactive"}.items():
        (folder / f"{name}.txt").write_text(said + "\n")
        (folder / name).write_text(f"#!/bin/sh\n{f'cat {folder}/{name}.txt' if said else 'exit 127'}\n")
        (folder / name).chmod(0o755)
    role = {"name": "imageops.lvs_fastdfs.firewall", "tasks_from": "preflight"}
    play = {"hosts": "localhost", "gather_facts": False, "vars": {"firewall_image_rules": RULES, **variables}}
    play["tasks"] = [{"ansible.builtin.include_role": role}]
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    environment = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "NO_COLOR": "1",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        "SSH_CONNECTION": connection,
    }
    run = subprocess.run(
        [
            "ansible-playbook",
            "-i",
            "localhost,",
            "-e",
            f"ansible_python_interpreter={sys.executable}",
            "-c",
            "local",
            str(folder / "play.yml"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROLE.parents[1],
        env=environment,
    )
    return run.returncode, run.stdout + run.stderr


LACKS = (
    "add nft 'insert rule inet filter input ip saddr { 10.0.0.3, 10.5.0.0/16 } tcp dport { 23000 } accept'"
)


@pytest.mark.parametrize(
    ("asked", "status", "names"), [("warn", 0, True), ("refuse", 2, True), ("ignore", 0, False)]
)
def test_a_table_that_drops_is_named_as_asked(tmp_path, asked, status, names):
    ended, said = preflight(tmp_path, CLOSED, firewall_image_foreign=asked)
    assert (ended, LACKS in said) == (status, names), said


def test_a_host_without_nft_is_fine(tmp_path):
    ended, said = preflight(tmp_path, firewall_image_foreign="refuse")
    assert ended == 0, said


@pytest.mark.parametrize("way", [{"ss": LISTENS}, {"connection": "192.0.2.1 50000 10.0.0.2 8080"}])
def test_rules_that_would_cut_the_controller_off_are_refused_wherever_ssh_is(tmp_path, way):
    rules = [{"name": "read", "protocol": "tcp", "ports": [80, 8080], "sources": ["192.0.2.0/24"]}]
    ended, said = preflight(tmp_path, firewall_image_rules=rules, **way)
    assert ended != 0 and "port 8080 is ssh, which this role never restricts." in said, said
