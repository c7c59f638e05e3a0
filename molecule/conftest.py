"""Fixtures for the scenarios' tests: the lab's hosts over ssh, and the inventory that they were built from."""

from __future__ import annotations

import atexit
import copy
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pytest
import testinfra

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))

from traffic import Ledger, give, until  # noqa: E402

LAB = PROJECT / ".ansible" / "lab"
INVENTORY = os.environ.get("IMAGEOPS_INVENTORY", str(PROJECT / "inventories" / "demo"))
OVERLAY = Path(os.environ.get("MOLECULE_SCENARIO_DIRECTORY", "")) / "inventory"
SOURCES = [INVENTORY, PROJECT / "molecule" / "lab" / "inventory", LAB / "inventory"]
if OVERLAY.is_dir():
    SOURCES.insert(2, OVERLAY)
UP = ("running", "degraded")


def pytest_configure(config):
    config.addinivalue_line("markers", "real_fastdfs: what only the real FastDFS can show")
    config.addinivalue_line(
        "markers", "long: minutes of its own; with IMAGEOPS_ROUNDS, which make test-all sets"
    )
    config.addinivalue_line(
        "markers", "storage_ids(bool): for a cluster whose trackers know storages by ids, or for another one"
    )


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("long") and "IMAGEOPS_ROUNDS" not in os.environ:
            item.add_marker(pytest.mark.skip(reason="make test-all runs it"))
        for marker in item.iter_markers("storage_ids"):
            if marker.args[0] != any(
                "fastdfs_storage_id" in each for each in inventory()["_meta"]["hostvars"].values()
            ):
                scenario = "ids" if marker.args[0] else "storage"
                item.add_marker(pytest.mark.skip(reason=f"the scenario {scenario} of make test-all runs it"))
    sources = LAB / "sources.txt"
    if sources.exists() and sources.read_text().startswith("SIMULATED"):
        for item in items:
            if item.get_closest_marker("real_fastdfs"):
                item.add_marker(pytest.mark.skip(reason="only the real FastDFS can show it"))


def pytest_terminal_summary(terminalreporter):
    """What was not run is said by name."""
    for report in terminalreporter.stats.get("skipped", []):
        terminalreporter.write_line(f"not run: {report.nodeid}: {report.longrepr[2]}")


@lru_cache(maxsize=1)
def inventory() -> dict:
    command = ["ansible-inventory", "--list", *(f"--inventory={source}" for source in SOURCES)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=PROJECT).stdout)


def members(group: str) -> list[str]:
    """The hosts of a group and of its children, in the inventory's order."""
    data = inventory().get(group, {})
    names = list(data.get("hosts", []))
    for child in data.get("children", []):
        names += [name for name in members(child) if name not in names]
    return names


def address(name: str) -> str:
    return inventory()["_meta"]["hostvars"][name]["ansible_host"]


@lru_cache(maxsize=1)
def control_path() -> str:
    """Where ssh keeps the connections of this run open: a new one for each command would double its time."""
    folder = tempfile.mkdtemp(prefix="imageops-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return f"{folder}/%h"


def ssh() -> list[str]:
    """The ssh command that shares the connection of testinfra, without host and command."""
    return ["ssh", "-F", str(LAB / "ssh_config"), "-o", f"ControlPath={control_path()}"]


@lru_cache(maxsize=None)
def connect(name: str):
    # testinfra puts its commands together with the operator %.
    path = control_path().replace("%", "%%")
    host = testinfra.get_host(f"ssh://{address(name)}", ssh_config=str(LAB / "ssh_config"), controlpath=path)
    host.name = name
    return host


@pytest.fixture(scope="session")
def node():
    """node("image1"): that host of the lab."""
    return connect


@pytest.fixture(scope="session")
def nodes():
    """nodes("image_servers"): the hosts of that group, each with its ``name``."""
    return lambda group: [connect(name) for name in members(group)]


@pytest.fixture(scope="session")
def hostvars():
    """hostvars("image1"): what the inventory says of that host."""
    return lambda name: inventory()["_meta"]["hostvars"][name]


@pytest.fixture(scope="session")
def vips(hostvars):
    """The cluster's VIPs."""
    return hostvars(members("lvs_directors")[0])["image_cluster_vips"]


class Played(NamedTuple):
    """How a playbook ended: its exit status, what it said, and how many tasks changed each host."""

    status: int
    said: str
    changed: dict[str, int]


@pytest.fixture(scope="session")
def begin():
    """end = begin("site.yml", "--check") starts that playbook on the lab's hosts; end() waits for it and says how it went."""

    def start(
        playbook: Path | str, *arguments: str, inventories: list = SOURCES, **environment: str
    ) -> Callable[[], Played]:
        sources = [f"--inventory={source}" for source in inventories]
        plain = {"ANSIBLE_FORCE_COLOR": "false", "NO_COLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
        process = subprocess.Popen(
            ["ansible-playbook", str(playbook), *sources, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # Ansible may be told to show failures there.
            stderr=subprocess.STDOUT,
            text=True,
            cwd=PROJECT,
            env={**os.environ, **plain, **environment},
        )

        def end() -> Played:
            said, _ = process.communicate(timeout=600)
            changed = re.findall(r"(?m)^(\S+) +: ok=.*changed=(\d+)", said)
            return Played(process.returncode, said, {host: int(count) for host, count in changed})

        return end

    return start


@pytest.fixture
def inventory_without(tmp_path):
    """inventory_without("image4"): an inventory for ``begin`` in which that host is unknown."""

    def without(name: str) -> Path:
        made = copy.deepcopy(inventory())
        hosts = made["_meta"]["hostvars"]
        hosts.pop(name)
        for each in hosts.values():
            each.get("image_cluster_weights", {}).pop(name, None)
        for group in made.values():
            if name in group.get("hosts", []):
                group["hosts"].remove(name)
        script = tmp_path / "inventory"
        script.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(made)}\nEND\n")
        script.chmod(0o755)
        return script

    return without


@pytest.fixture(scope="session")
def begin_role(begin, tmp_path_factory):
    """end = begin_role("nginx", "image1", nginx_image_workers=1) applies a role of site.yml to these hosts, with values of its own."""
    folder = tmp_path_factory.mktemp("roles")

    def start(role: str, hosts: str, **variables: object) -> Callable[[], Played]:
        file = folder / f"{len(list(folder.iterdir()))}.yml"
        file.write_text(json.dumps(variables))
        extra = {"role": role, "role_hosts": hosts, "role_vars": str(file)}
        # With -v, every result is among what is said: secrets must not be.
        return begin(PROJECT / "molecule" / "default" / "role.yml", "-v", "--extra-vars", json.dumps(extra))

    return start


class Power:
    """The plugs of the lab's hosts."""

    def _containers(self, verb: str, names: tuple[str, ...]) -> None:
        ours = ["--filter", f"label=imageops.checkout={LAB}", "--filter", f"name=-({'|'.join(names)})$"]
        listed = ["podman", "container", "ls", "--all", "--quiet", *ours]
        containers = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()
        assert len(containers) == len(names), f"of {names}, the lab has {len(containers)}"
        subprocess.run(["podman", "container", verb, *containers], check=True, capture_output=True)

    def off(self, *names: str) -> None:
        """These hosts are off at once."""
        for name in names:
            # What is kept open to a host that is gone would answer nothing, for minutes.
            subprocess.run([*ssh(), "-O", "exit", address(name)], capture_output=True, check=False)
        self._containers("kill", names)

    def on(self, *names: str) -> None:
        """These hosts are on, and have booted."""
        self._containers("start", names)
        deadline = time.monotonic() + 300
        for name in names:
            asked = [*ssh(), "-o", "ConnectTimeout=2", address(name), "systemctl is-system-running"]
            while subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() not in UP:
                assert time.monotonic() < deadline, f"{name} is not back 300 s after its power came back"
                time.sleep(1)

    def freeze(self, name: str) -> None:
        """This host stands still: it answers nothing and forgets nothing."""
        self._containers("pause", (name,))

    def thaw(self, name: str) -> None:
        """This host goes on where it stood still."""
        self._containers("unpause", (name,))


@pytest.fixture(scope="session")
def power():
    """power.off("director1"), power.on("director1"), power.freeze("image1"), power.thaw("image1")."""
    return Power()


@pytest.fixture(scope="session")
def power_cut(power):
    """power_cut("image1", "director1"): these hosts are off at once, on again, and have booted."""

    def cut(*names: str) -> None:
        power.off(*names)
        power.on(*names)

    return cut


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Two certificates and their keys, as PEM text."""
    folder = tmp_path_factory.mktemp("certificates")
    made = []
    for name in ("first", "second"):
        files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        subprocess.run(
            ["openssl", "req", "-x509", *curve, *files, "-subj", f"/CN={name}"],
            check=True,
            capture_output=True,
        )
        made.append([(folder / f"{name}.{end}").read_text() for end in ("crt", "key")])
    return made


@pytest.fixture(scope="session")
def wait():
    """wait(reached, "what is not so", seconds): fails when it has not been so after that time."""
    return until


@pytest.fixture(scope="session")
def stores(hostvars):
    """stores("image1"): its store paths, the first of which is M00."""
    return lambda name: hostvars(name).get("fastdfs_storage_paths", ["/data/fastdfs"])


@pytest.fixture(scope="session")
def stored(stores):
    """stored("image1", "group1/M00/00/00/…"): where this storage keeps the image."""

    def path(name: str, file_id: str) -> str:
        store, below = file_id.strip("/").split("/", 2)[1:]
        return f"{stores(name)[int(store[1:], 16)]}/data/{below}"

    return path


@pytest.fixture(scope="session")
def writing(nodes, hostvars, stores, vips):
    """with writing() as ledger: … — a client uploads meanwhile, and keeps a ledger of what was acknowledged."""
    client = nodes("fastdfs_clients")[0]
    uploader = give(client, "ledger")
    groups = {host.name: hostvars(host.name)["fastdfs_storage_group"] for host in nodes("fastdfs_storages")}
    keepers = {}
    for host in nodes("fastdfs_storages"):
        check = (
            f"{give(host, 'ledger')} check --group {groups[host.name]} --store {' '.join(stores(host.name))}"
        )
        keepers[host.name] = (host.name, [check])
    for host in nodes("fastdfs_backups"):
        check = f"{give(host, 'ledger')} check --archive /srv/fastdfs-backup/archive"
        keepers[host.name] = (
            host.name,
            [f"{check} --group {group}" for group in sorted(set(groups.values()))],
        )
    reader = (nodes("image_readers") or [client])[0]
    keepers["VIP"] = (reader.name, [f"{give(reader, 'ledger')} check --url http://{vips[0]}"])

    @contextmanager
    def write() -> Iterator[Ledger]:
        # At the end only the ledger is asked to stop, and not the upload that it has begun.
        unit = "systemd-run --quiet --collect --property=KillMode=mixed --unit=ledger"
        client.check_output(f"rm -f /var/tmp/ledger.jsonl; {unit} {uploader} upload /var/tmp/ledger.jsonl")
        ledger = Ledger(keepers)
        try:
            yield ledger
        finally:
            client.check_output("systemctl stop ledger")
            ledger.lines = client.check_output("cat /var/tmp/ledger.jsonl").splitlines()

    return write
