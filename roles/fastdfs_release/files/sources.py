"""Finds what a FastDFS release is made of, on the control node: finished releases and upstream's archives.

Standard input is one JSON object:
  archives   piece -> {version, file, sha256, url}: what upstream publishes
  sources    a directory, a base URL, or "": looked at first
  cache      directory of this user: looked at second; downloads and finished releases are kept there
  lacking    releases that some host of the run lacks
  owned      releases that some host has and can hand over
  chosen     true when the releases were chosen by name: then they are not compiled
  unknown    true when some host's platform is not known yet: then the archives are needed in any case
  download   false: only say whether a download would work (check mode)

Standard output is one JSON object: missing (names that the cache lacks), archives (piece -> path, filled only
when something has to be compiled), downloaded (pieces). A failure is one sentence a line on standard error, exit 1.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 20.0
"""Seconds a server may be silent."""


class Problem(Exception):
    """What is wrong with one archive, as a sentence."""


@dataclass(frozen=True)
class Archive:
    """One archive of upstream's."""

    piece: str
    version: str
    file: str
    sha256: str
    url: str = ""

    @property
    def label(self) -> str:
        return f"{self.piece} {self.version} ({self.file})"


def is_url(place: str) -> bool:
    return "://" in place


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def check(archive: Archive, path: Path, place: str) -> None:
    """Raises Problem unless the file is the archive. `place` says where it came from."""
    try:
        is_archive = tarfile.is_tarfile(path)
        found = sha256_of(path)
    except OSError as error:
        raise Problem(
            f"{archive.label}: {place} cannot be read ({error.strerror}). Put upstream's file there."
        ) from error
    if not is_archive:
        raise Problem(
            f"{archive.label}: {place} is not an archive (it holds {path.stat().st_size} bytes of something else). "
            "Replace it with upstream's file."
        )
    if found != archive.sha256:
        raise Problem(
            f"{archive.label}: {place} has another checksum: sha256 is {found}, expected {archive.sha256}. "
            "Remove that file, or correct fastdfs_release_archives if the other version is meant."
        )


def reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP status {error.code}"
    return str(getattr(error, "reason", "") or error) or type(error).__name__


def read_url(url: str, target: Path) -> None:
    """Writes what the address answers to the file; raises OSError, ValueError or HTTPException."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, target.open("wb") as stream:
        for block in iter(lambda: answer.read(1 << 20), b""):
            stream.write(block)


def download(archive: Archive, url: str, cache: Path) -> Path:
    """Brings one address into the cache; what is there under its name is always whole and verified.

    Raises Problem when the file is wrong, and what read_url raises when it cannot be had.
    """
    cache.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{archive.file}.", dir=cache)
    os.close(handle)
    part = Path(name)
    try:
        read_url(url, part)
        check(archive, part, url)
        part.chmod(0o644)
        part.replace(cache / archive.file)
    finally:
        if part.exists():
            part.unlink()
    return cache / archive.file


def answers(url: str) -> None:
    """Opens the address and reads nothing; raises like read_url."""
    urllib.request.urlopen(url, timeout=TIMEOUT).close()


def find(archive: Archive, sources: str, cache: Path, may_download: bool) -> tuple[Path, bool]:
    """Returns the verified file and whether it was downloaded; raises Problem.

    The order is: the site's own directory, the cache, the site's own base URL, upstream. A file with a wrong checksum in
    any of them ends the search: going on would hide that somebody put it there.
    """
    looked = []
    if sources and not is_url(sources):
        path = Path(sources).expanduser() / archive.file
        if path.exists():
            check(archive, path, str(path))
            return path, False
        looked.append(f"{path} (no such file)")
    path = cache / archive.file
    if path.exists():
        check(archive, path, str(path))
        return path, False
    looked.append(f"{path} (no such file)")
    own = [f"{sources.rstrip('/')}/{archive.file}"] if is_url(sources) else []
    for url in own + ([archive.url] if archive.url else []):
        try:
            if may_download:
                return download(archive, url, cache), True
            answers(url)
            return path, True
        except (OSError, ValueError, http.client.HTTPException) as error:
            looked.append(f"{url} ({reason(error)})")
    raise Problem(
        f"{archive.label} cannot be had. Looked for it in: {'; '.join(looked)}. "
        "Put that file into one of the directories, or set fastdfs_release_sources to a directory or base URL that has it."
    )


def cached_release(cache: Path, name: str) -> bool:
    """True when the finished archive is in the cache and is what its checksum beside it says."""
    archive = cache / "releases" / f"{name}.tar.gz"
    beside = archive.with_name(archive.name + ".sha256")
    try:
        return beside.read_text().split()[:1] == [sha256_of(archive)]
    except OSError:
        return False


def main() -> int:
    asked = json.load(sys.stdin)
    cache = Path(asked["cache"]).expanduser()
    missing = [name for name in asked["lacking"] if not cached_release(cache, name)]
    nowhere = [name for name in missing if name not in asked["owned"]]
    found, downloaded, problems = {}, [], []
    if asked["chosen"]:
        problems = [
            f"The release {name} (fastdfs_release_use) is neither in {cache / 'releases'} nor on a host of this run, so it cannot "
            "be installed. Choose one that stands under /opt/fastdfs/releases on a host, or leave fastdfs_release_use empty to build."
            for name in nowhere
        ]
    wanted = asked["archives"] if (nowhere or asked["unknown"]) and not asked["chosen"] else {}
    for piece, data in wanted.items():
        try:
            path, new = find(Archive(piece=piece, **data), asked["sources"], cache, asked["download"])
        except Problem as problem:
            problems.append(str(problem))
        else:
            found[piece] = str(path)
            downloaded += [piece] if new else []
    print(json.dumps({"missing": missing, "archives": found, "downloaded": downloaded}))
    print("\n".join(problems), file=sys.stderr, end="")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
