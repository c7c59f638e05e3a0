"""Where a FastDFS release's archives are looked for, and what is said when they are not what they should be."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import sys
import tarfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "roles" / "fastdfs_release" / "files" / "sources.py"


@pytest.fixture(scope="module")
def sources():
    spec = importlib.util.spec_from_file_location("fastdfs_release_sources", SOURCE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def tarball(content: bytes = b"int main;") -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        entry = tarfile.TarInfo("x/main.c")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return raw.getvalue()


@pytest.fixture
def site(tmp_path):
    """A directory, a cache, a web site on disk, and the archive that they should hold."""
    for name in ("own", "cache", "web"):
        (tmp_path / name).mkdir()
    data = tarball()
    url = (tmp_path / "web" / "x-1.tar.gz").as_uri()
    return (
        tmp_path,
        data,
        {
            "piece": "x",
            "version": "1",
            "file": "x-1.tar.gz",
            "sha256": hashlib.sha256(data).hexdigest(),
            "url": url,
        },
    )


def test_the_own_directory_comes_first_and_is_not_copied(sources, site):
    root, data, archive = site
    (root / "own" / "x-1.tar.gz").write_bytes(data)
    (root / "cache" / "x-1.tar.gz").write_bytes(data)
    found = sources.find(sources.Archive(**archive), str(root / "own"), root / "cache", True)
    assert found == (root / "own" / "x-1.tar.gz", False)


def test_the_cache_spares_a_download(sources, site):
    root, data, archive = site
    (root / "cache" / "x-1.tar.gz").write_bytes(data)
    assert sources.find(sources.Archive(**archive), "", root / "cache", True) == (
        root / "cache" / "x-1.tar.gz",
        False,
    )


@pytest.mark.parametrize("base", ["", "own-url"])
def test_a_download_ends_whole_in_the_cache(sources, site, base):
    root, data, archive = site
    (root / ("own" if base else "web") / "x-1.tar.gz").write_bytes(data)
    path, new = sources.find(
        sources.Archive(**archive), (root / "own").as_uri() if base else "", root / "cache", True
    )
    assert new and path.read_bytes() == data
    assert [entry.name for entry in (root / "cache").iterdir()] == ["x-1.tar.gz"]


def test_check_mode_downloads_nothing(sources, site):
    root, data, archive = site
    (root / "web" / "x-1.tar.gz").write_bytes(data)
    assert sources.find(sources.Archive(**archive), "", root / "cache", False)[1]
    assert list((root / "cache").iterdir()) == []


@pytest.mark.parametrize("place", ["own", "cache", "web"])
def test_another_checksum_is_said_with_both_sums_and_kept_out_of_the_cache(sources, site, place):
    root, _, archive = site
    other = tarball(b"something else")
    (root / place / "x-1.tar.gz").write_bytes(other)
    with pytest.raises(sources.Problem) as problem:
        sources.find(sources.Archive(**archive), str(root / "own"), root / "cache", True)
    assert archive["sha256"] in str(problem.value)
    assert hashlib.sha256(other).hexdigest() in str(problem.value)
    assert place == "cache" or list((root / "cache").iterdir()) == []


def test_what_is_not_an_archive_is_called_so(sources, site):
    root, _, archive = site
    (root / "own" / "x-1.tar.gz").write_bytes(b"<html>")
    with pytest.raises(sources.Problem, match="is not an archive"):
        sources.find(sources.Archive(**archive), str(root / "own"), root / "cache", True)


def test_a_directory_in_an_archive_s_place_is_called_so(sources, site):
    root, _, archive = site
    (root / "own" / "x-1.tar.gz").mkdir()
    with pytest.raises(sources.Problem, match=r"x-1.tar.gz cannot be read \(Is a directory\)"):
        sources.find(sources.Archive(**archive), str(root / "own"), root / "cache", True)


def test_an_archive_that_is_nowhere_is_said_with_every_place(sources, site):
    root, _, archive = site
    with pytest.raises(sources.Problem) as problem:
        sources.find(sources.Archive(**archive), str(root / "own"), root / "cache", True)
    for place in (root / "own" / "x-1.tar.gz", root / "cache" / "x-1.tar.gz", archive["url"]):
        assert str(place) in str(problem.value)


def ask(sources, monkeypatch, capsys, **changes) -> tuple[int, dict, str]:
    question = {
        "archives": {},
        "sources": "",
        "cache": "",
        "lacking": [],
        "owned": [],
        "chosen": False,
        "unknown": False,
        "download": True,
    }
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({**question, **changes})))
    code = sources.main()
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


def release(cache: Path, name: str, honest: bool = True) -> None:
    folder = cache / "releases"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.tar.gz").write_bytes(b"release")
    digest = hashlib.sha256(b"release" if honest else b"other").hexdigest()
    (folder / f"{name}.tar.gz.sha256").write_text(f"{digest}  -\n")


def test_a_finished_release_in_the_cache_needs_no_source(sources, site, monkeypatch, capsys):
    root, _, archive = site
    release(root / "cache", "r1")
    nowhere = {key: value for key, value in archive.items() if key != "piece"}
    code, answer, _ = ask(
        sources, monkeypatch, capsys, cache=str(root / "cache"), lacking=["r1"], archives={"x": nowhere}
    )
    assert (code, answer) == (0, {"missing": [], "archives": {}, "downloaded": []})


def test_a_finished_release_that_is_not_what_its_checksum_says_does_not_count(
    sources, site, monkeypatch, capsys
):
    root, _, archive = site
    release(root / "cache", "r1", honest=False)
    nowhere = {key: value for key, value in archive.items() if key != "piece"}
    code, answer, said = ask(
        sources, monkeypatch, capsys, cache=str(root / "cache"), lacking=["r1"], archives={"x": nowhere}
    )
    assert code == 1 and answer["missing"] == ["r1"] and "cannot be had" in said


def test_a_host_that_has_the_release_spares_the_sources(sources, site, monkeypatch, capsys):
    root, _, archive = site
    nowhere = {key: value for key, value in archive.items() if key != "piece"}
    code, answer, _ = ask(
        sources,
        monkeypatch,
        capsys,
        cache=str(root / "cache"),
        lacking=["r1"],
        owned=["r1"],
        archives={"x": nowhere},
    )
    assert (code, answer["missing"], answer["archives"]) == (0, ["r1"], {})


def test_a_chosen_release_that_is_nowhere_is_not_compiled(sources, site, monkeypatch, capsys):
    root, data, archive = site
    (root / "cache" / "x-1.tar.gz").write_bytes(data)
    present = {key: value for key, value in archive.items() if key != "piece"}
    code, answer, said = ask(
        sources,
        monkeypatch,
        capsys,
        cache=str(root / "cache"),
        lacking=["r9"],
        chosen=True,
        archives={"x": present},
    )
    assert code == 1 and answer["archives"] == {} and "r9" in said
