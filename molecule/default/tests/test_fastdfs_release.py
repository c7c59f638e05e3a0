"""The release of FastDFS on every host that runs a part of it: whole, the same everywhere, and in nobody's way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

ROOT = "/opt/fastdfs"
DEFAULTS = Path(__file__).parents[3] / "roles" / "fastdfs_release" / "defaults" / "main.yml"
PROGRAMS = "fdfs_trackerd fdfs_storaged fdfs_monitor fdfs_upload_file fdfs_download_file fdfs_delete_file fdfs_file_info"


@pytest.fixture(scope="module")
def members(nodes):
    """Every host that has a part of FastDFS, once."""
    found = [
        host for group in ("fastdfs_trackers", "fastdfs_storages", "fastdfs_clients") for host in nodes(group)
    ]
    return list({host.name: host for host in found}.values())


def manifest(host) -> dict:
    return json.loads(host.check_output(f"cat {ROOT}/current/RELEASE"))


def test_the_release_in_use_is_the_one_that_its_name_says(members):
    for host in members:
        name = host.check_output(f"readlink {ROOT}/current")
        assert name == f"releases/{manifest(host)['release']['name']}", host.name


def test_the_release_is_made_of_the_pinned_sources(members):
    pinned = yaml.safe_load(DEFAULTS.read_text())["fastdfs_release_archives"]
    for host in members:
        made = manifest(host)
        if made["simulated"]:
            assert "simulator" in made["release"]["name"], f"{host.name} hides that its FastDFS is simulated"
            continue
        sums = {piece: archive["sha256"] for piece, archive in made["release"]["made_of"].items()}
        assert sums == {piece: archive["sha256"] for piece, archive in pinned.items()}, host.name


def test_hosts_of_one_platform_have_the_same_files(members):
    seen: dict[str, dict[str, str]] = {}
    for host in members:
        files = host.check_output(
            f"cd {ROOT}/current/ && find . -type f -exec sha256sum {{}} + | sort | sha256sum"
        )
        seen.setdefault(manifest(host)["release"]["platform"], {})[host.name] = files
    assert {platform: len(set(hosts.values())) for platform, hosts in seen.items()} == dict.fromkeys(seen, 1)


def test_every_program_answers_and_has_its_libraries_from_the_release(members):
    for host in members:
        answers = host.check_output(
            f"for program in {PROGRAMS}; do {ROOT}/current/usr/bin/$program </dev/null 2>&1 | grep -qi usage || echo $program; done"
        )
        assert answers == "", host.name
        if not manifest(host)["simulated"]:
            libraries = host.check_output(f"ldd {ROOT}/current/usr/bin/fdfs_storaged")
            assert "not found" not in libraries, host.name
            assert f"libfastcommon.so => {ROOT}/" in libraries, host.name


def test_the_system_s_own_library_path_is_left_alone(members):
    for host in members:
        assert "fast" not in host.check_output("ldconfig -p | grep -i fastcommon || true"), host.name
        assert host.run(f"grep -rs {ROOT} /etc/ld.so.conf /etc/ld.so.conf.d /etc/environment").rc == 1


def test_client_commands_are_in_everybody_s_path(members):
    for host in members:
        found = host.check_output("runuser -u nobody -- sh -c 'command -v fdfs_upload_file'")
        assert host.check_output(f"readlink {found}") == f"{ROOT}/current/usr/bin/fdfs_upload_file", host.name


def test_samples_lie_where_the_article_looks_for_them(members):
    for host in members:
        for name in ("tracker", "storage", "client"):
            assert host.file(f"/etc/fdfs/{name}.conf.sample").contains("base_path"), (host.name, name)


def test_only_a_builder_has_a_compiler(members):
    builders = [host.name for host in members if host.file(f"{ROOT}/build.log").exists]
    platforms = {manifest(host)["release"]["platform"] for host in members}
    assert len(builders) <= len(platforms)
    for host in members:
        if host.name not in builders:
            assert not [tool for tool in ("gcc", "cc", "cmake") if host.exists(tool)], host.name


def test_nothing_is_left_of_building_and_unpacking(members):
    for host in members:
        left = host.check_output(
            f"ls -A {ROOT} {ROOT}/releases | grep -E '^build$|^\\.incoming$|tar.gz$' || true"
        )
        assert left == "", host.name
        assert "fastdfs-build" not in host.check_output(
            "systemctl list-units --all --plain --no-legend 'fastdfs*'"
        )
