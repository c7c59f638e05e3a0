"""The built artifact in the repository of an operations team that has roles, variables, a site and a firewall of its own (../repository)."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
REPOSITORY = Path(__file__).parents[1] / "repository"
COLLECTION = "imageops.lvs_fastdfs"
# Of the checkout; what is installed before it is older than any.
VERSION = re.search(r"(?m)^version: (.*)", (PROJECT / "galaxy.yml").read_text())[1]
OLD = "0.0.1"
INSTALLED = Path("collections", "ansible_collections", "imageops", "lvs_fastdfs")
THEIRS = ("/etc/nginx/sites-enabled/shop", "/etc/ops.nft")
HOSTS = """---
all:
  vars:
    ansible_user: root
    ansible_ssh_common_args: -F {ssh_config}
    ansible_python_interpreter: /usr/bin/python3
  children:
    web:
      hosts:
        image2: {{ansible_host: {image2}}}
    desk:
      hosts:
        reader1: {{ansible_host: {reader1}}}
    image_readers:
      children:
        desk:
    image_servers:
      children:
        fastdfs_storages:
          hosts:
            image1: {{ansible_host: {image1}}}
            image2:
      vars:
        fastdfs_storage_heart_beat_interval: 5
        fastdfs_storage_subdir_count_per_path: 16
    lvs_directors:
      hosts:
        director1: {{ansible_host: {director1}}}
    fastdfs_trackers:
      hosts:
        tracker1: {{ansible_host: {tracker1}}}
    fastdfs_clients:
      hosts:
        tracker1:
"""


class Repository:
    """A copy of ../repository, in which people work with nothing but Ansible's own commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Nothing of the checkout is known here.
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")
        }
        self.environment.update(ANSIBLE_HOME=str(folder.parent / "home"), ANSIBLE_NOCOLOR="1")

    def run(self, *command: str, status: int = 0) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def play(self, *arguments: str) -> dict[str, int]:
        """How many tasks changed each host."""
        said = self.run("ansible-playbook", *arguments)
        return {host: int(count) for host, count in re.findall(r"(?m)^(\S+) +: ok=.*changed=(\d+)", said)}

    def files(self) -> dict[str, str]:
        """What is in it, with checksums."""
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }


def built(folder: Path, version: str) -> str:
    """The artifact of this checkout, with this version."""
    shutil.copytree(PROJECT, folder / "checkout", ignore=shutil.ignore_patterns(".git", ".ansible", ".venv"))
    galaxy = folder / "checkout" / "galaxy.yml"
    galaxy.write_text(re.sub(r"(?m)^version: .*", f"version: {version}", galaxy.read_text()))
    if version == OLD:
        (folder / "checkout" / "plugins" / "modules" / "long_gone.py").write_text("")
    build = ["ansible-galaxy", "collection", "build", "--output-path", str(folder), str(folder / "checkout")]
    subprocess.run(build, check=True, capture_output=True)
    shutil.rmtree(folder / "checkout")
    return str(folder / f"imageops-lvs_fastdfs-{version}.tar.gz")


@pytest.fixture(scope="module")
def repository(tmp_path_factory, hostvars, node, begin_role):
    """The team's repository, whose own play has given image2 a site and a firewall; our site is not there yet."""
    folder = tmp_path_factory.mktemp("team") / "repository"
    shutil.copytree(REPOSITORY, folder)
    hosts = ("image1", "image2", "director1", "tracker1", "reader1")
    addresses = {name: hostvars(name)["ansible_host"] for name in hosts}
    known = HOSTS.format(ssh_config=PROJECT / ".ansible" / "lab" / "ssh_config", **addresses)
    (folder / "hosts.yml").write_text(known)
    # What the cluster is, as in this lab: the groups' variables of the inventory demo.
    for path in sorted((PROJECT / "inventories" / "demo" / "group_vars").iterdir()):
        with (folder / "group_vars" / "all.yml").open("a") as variables:
            variables.write(path.read_text().replace("---\n", ""))
    team = Repository(folder)
    assert begin_role("nginx", "image2", nginx_image_state="absent")().status == 0
    assert not node("image2").file("/var/lib/nginx-image").exists
    team.play("base.yml")
    yield team
    node("image2").check_output(f"nft delete table inet ops; rm {' '.join(THEIRS)}; systemctl reload nginx")
    node("reader1").check_output("apt-get purge -q -y 'nginx*' && rm -rf /etc/nginx /srv/pictures")
    assert begin_role("nginx", "image2")().status == 0


@pytest.fixture(scope="module")
def before(repository, node) -> tuple:
    """What is the team's own: the files of its repository, its files and rules on image2."""
    return repository.files(), own(node("image2"))


def own(host) -> str:
    # Neither handles nor counters: only what the rules say.
    return host.check_output(f"sha256sum {' '.join(THEIRS)} && nft --stateless list table inet ops")


@pytest.fixture(scope="module")
def upgraded(repository, before, tmp_path_factory) -> Repository:
    """The repository with an older version of the collection installed, and this one over it."""
    for version in (OLD, VERSION):
        artifact = built(tmp_path_factory.mktemp("built"), version)
        repository.run("ansible-galaxy", "collection", "install", "--offline", "-p", "collections", artifact)
    return repository


@pytest.fixture(scope="module")
def site(upgraded) -> list[dict[str, int]]:
    """What site.yml of the installed collection changed, the first time and, where it had most to do, the second."""
    return [upgraded.play(f"{COLLECTION}.site", *more) for more in ([], ["--limit", "image2"])]


def test_installing_over_an_older_version_leaves_nothing_of_it(upgraded):
    listed = upgraded.run("ansible-galaxy", "collection", "list", "-p", "collections", COLLECTION)
    assert re.search(rf"(?m)^{COLLECTION} +{re.escape(VERSION)} *$", listed), listed
    assert not (upgraded.folder / INSTALLED / "plugins" / "modules" / "long_gone.py").exists()


def test_the_site_is_built_beside_theirs_and_the_second_run_changes_nothing(site):
    first, second = site
    assert first["image2"] > 0 and first["image1"] == 0
    assert second == {"image2": 0}


def test_nothing_of_theirs_is_changed(site, upgraded, before, node):
    files, rules = before
    after = upgraded.files()
    assert {name: after.get(name) for name in files} == files
    assert all(name.startswith("collections/") for name in set(after) - set(files))
    assert own(node("image2")) == rules
    assert upgraded.play("base.yml") == {"image2": 0}


def test_both_sites_answer_through_both_firewalls(site, node, hostvars, vips):
    reader, server = node("reader1"), hostvars("image2")["ansible_host"]
    ask = "curl -s --max-time 10 -o /dev/null -w '%{http_code} %header{x-image-server}'"
    assert reader.check_output(f"curl -s --max-time 10 http://{server}:8088/") == "shop"
    seen = {reader.check_output(f"{ask} http://{vips[0]}/") for _ in range(4)}
    assert seen == {"200 image1", "200 image2"}


def test_words_of_their_inventory_are_none_of_a_playbook_s(site, upgraded):
    """Theirs has force: true."""
    said = upgraded.run("ansible-playbook", f"{COLLECTION}.drain", "-e", "server=image1,image2", status=2)
    assert "or cut the readers off with -e force=true." in " ".join(said.split())


def test_one_role_alone_serves_a_play_of_theirs(upgraded, node):
    host = node("reader1")
    host.check_output("mkdir -p /srv/pictures/data/00/00")
    assert upgraded.play("pictures.yml")["reader1"] > 0
    assert upgraded.play("pictures.yml") == {"reader1": 0}
    picture = "rBAeD2BxYzCAe2bXAAAAA3C9D1Q123.txt"
    host.check_output(f"printf abc >/srv/pictures/data/00/00/{picture}")
    assert host.check_output(f"curl -s http://127.0.0.1:8090/group1/M00/00/00/{picture}") == "abc"


@pytest.mark.parametrize("kind", ["module", "filter", "role"])
def test_ansible_doc_shows_everything(upgraded, kind):
    listed = upgraded.run("ansible-doc", "-t", kind, "--list", COLLECTION)
    names = re.findall(rf"(?m)^({COLLECTION}\.\w+)", listed)
    folder = {"module": "plugins/modules", "filter": "plugins/filter", "role": "roles"}[kind]
    found = [path.stem for path in (upgraded.folder / INSTALLED / folder).iterdir()]
    # A file of filters may hold several, each with a document of its own.
    documented = {name.split(".")[-1] for name in names}
    assert documented >= {name for name in found if kind != "filter" and name[0] != "_"} and documented
    told = upgraded.run("ansible-doc", "-t", kind, *names)
    assert all(name in told or name.split(".")[-1] in told for name in names)


def test_taking_it_out_again_leaves_nothing_behind(site, upgraded, before):
    shutil.rmtree(upgraded.folder / "collections" / "ansible_collections" / "imageops")
    assert upgraded.files() == before[0]
