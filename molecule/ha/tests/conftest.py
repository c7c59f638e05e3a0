"""Fixtures for two directors: who carries the VIPs, and a reader that counts what it loses."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

PROJECT = Path(__file__).parents[3]
PROBER = PROJECT / "tests" / "tools" / "prober"


def wait(reached: Callable[[], object], what: str, seconds: float = 60) -> float:
    """The seconds until ``reached`` was true."""
    began = time.monotonic()
    while not reached():
        assert time.monotonic() - began < seconds, f"after {seconds} s: {what}"
        time.sleep(0.2)
    return time.monotonic() - began


class Directors(NamedTuple):
    """The two directors: ``pair`` maps names to hosts."""

    pair: dict
    vip: str

    def carries(self, name: str) -> bool:
        return self.pair[name].run(f"ip -oneline address show to {self.vip}").stdout.strip() != ""

    def holders(self, *without: str) -> list[str]:
        return [name for name in self.pair if name not in without and self.carries(name)]

    def holder(self, *without: str) -> str:
        names = self.holders(*without)
        assert len(names) == 1, f"{self.vip} is carried by {names}"
        return names[0]

    def other(self, *without: str) -> str:
        holder = self.holder(*without)
        return next(name for name in self.pair if name != holder)

    def transitions(self) -> dict[str, list[str]]:
        return {
            name: host.file("/var/lib/keepalived-lvs/transitions").content_string.splitlines()
            for name, host in self.pair.items()
        }

    def settle(self) -> str:
        """Waits until one director carries the VIP and the other could take it, and says which one does."""
        wait(lambda: len(self.holders()) == 1, f"not one holder of {self.vip} but {self.holders()}")
        wait(lambda: len(set(self.pools())) == 1, f"two pools: {self.pools()}")
        return self.holder()

    def pools(self) -> list[str]:
        """What each director's table holds of real servers, with their weights."""
        return [
            "\n".join(sorted(line for line in host.run("ipvsadm -S -n").stdout.splitlines() if line.startswith("-a")))
            for host in self.pair.values()
        ]

    def weight(self, name: str, address: str) -> int | None:
        """The weight of a real server in a director's table; None when it is not there."""
        words = self.pair[name].run("ipvsadm -S -n").stdout.split()
        for at, word in enumerate(words):
            if word == "-r" and words[at + 1].rsplit(":", 1)[0] == address:
                return int(words[words.index("-w", at) + 1])
        return None


@pytest.fixture(scope="session")
def directors(nodes, vips) -> Directors:
    return Directors({host.name: host for host in nodes("lvs_directors")}, vips[0])


class Reading:
    """A reader at work; ``report`` is there when the reading is over."""

    def __init__(self) -> None:
        self.report: dict = {}

    def failures(self, kind: str) -> int:
        return sum(self.report[kind]["failures"].values())


@pytest.fixture(scope="session")
def image(nodes):
    """The path and sha256 of an image of 300,000 bytes, on both storages of its group."""
    client = nodes("fastdfs_clients")[0]
    client.check_output("head -c 300000 /dev/urandom >/var/tmp/ha.jpg")
    file_id = client.check_output("fdfs_upload_file /etc/fdfs/client.conf /var/tmp/ha.jpg")
    digest = client.check_output("sha256sum /var/tmp/ha.jpg").split()[0]
    time.sleep(3)
    yield f"/{file_id}", digest
    client.run(f"fdfs_delete_file /etc/fdfs/client.conf {file_id}; rm /var/tmp/ha.jpg")


@pytest.fixture(scope="session")
def reading(nodes, vips, image):
    """with reading(downloads=20) as seen: … — a reader asks for a small page on new and on kept connections, and holds slow downloads open, meanwhile."""
    reader = nodes("image_readers")[0]
    subprocess.run(
        ["ssh", "-F", str(PROJECT / ".ansible/lab/ssh_config"), reader.name, "cat >/var/tmp/prober"],
        input=PROBER.read_bytes(),
        check=True,
    )

    @contextmanager
    def read(downloads: int = 0, rate: int = 20000, settle: float = 1.0) -> Iterator[Reading]:
        path, digest = image
        root = f"http://{vips[0]}"
        slow = (
            f"--downloads {downloads} --download-url {root}{path} --download-rate {rate} --download-sha256 {digest}"
            if downloads
            else ""
        )
        reader.check_output(
            "rm -f /var/tmp/prober.json; systemctl reset-failed prober 2>/dev/null; "
            f"systemd-run --quiet --unit=prober --setenv=PYTHONUNBUFFERED=1 python3 /var/tmp/prober --url {root}/ --seconds 900 {slow} --report /var/tmp/prober.json"
        )
        seen = Reading()
        try:
            time.sleep(settle)
            yield seen
            time.sleep(settle)
        finally:
            reader.check_output("systemctl stop prober")
            seen.report = json.loads(reader.check_output("cat /var/tmp/prober.json"))

    return read
