"""Fixtures for two directors: who carries the VIPs, and a reader that counts what it loses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from traffic import give, until


class Directors(NamedTuple):
    """The two directors: ``pair`` maps names to hosts."""

    pair: dict
    vips: list

    @property
    def vip(self) -> str:
        return self.vips[0]

    def carried(self, name: str) -> set[str]:
        """Which of the VIPs that director carries."""
        shown = self.pair[name].run("ip -oneline address").stdout
        return {vip for vip in self.vips if f" {vip}/" in shown}

    def carries(self, name: str) -> bool:
        return self.carried(name) != set()

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
        until(lambda: len(self.holders()) == 1, f"not one holder of {self.vip} but {self.holders()}")
        until(lambda: len(set(self.pools())) == 1, f"two pools: {self.pools()}")
        return self.holder()

    def pools(self) -> list[str]:
        """What each director's table holds of real servers, with their weights."""
        return [
            "\n".join(
                sorted(
                    line for line in host.run("ipvsadm -S -n").stdout.splitlines() if line.startswith("-a")
                )
            )
            for host in self.pair.values()
        ]

    @contextmanager
    def parted(self) -> Iterator[None]:
        """No director hears another's adverts meanwhile."""
        cut = "table inet lab_partition { chain input { type filter hook input priority -300; meta l4proto 112 drop; }; }"
        for host in self.pair.values():
            host.check_output(f"nft '{cut}'")
        try:
            yield
        finally:
            for host in self.pair.values():
                host.check_output("nft delete table inet lab_partition")

    def known_to(self, router) -> bool:
        """Whether that host's neighbour table has the VIP at its one holder."""
        holders = self.holders()
        if len(holders) != 1:
            return False
        mac = self.pair[holders[0]].check_output("cat /sys/class/net/eth0/address")
        return mac in router.run(f"ip neighbour show {self.vip}").stdout

    def busy(self, seconds: int) -> None:
        """Every CPU of the directors has too much to do from now on, for that long."""
        for host in self.pair.values():
            host.check_output(
                f"for i in 1 2 3 4; do timeout {seconds} sh -c 'while :; do :; done' >/dev/null 2>&1 & done"
            )

    def active(self, name: str, address: str) -> int:
        """How many connections to a real server a director counts as being opened or open."""
        lines = self.pair[name].check_output("ipvsadm -L -n").splitlines()
        return sum(int(line.split()[-2]) for line in lines if line.startswith(f"  -> {address}:"))

    def weight(self, name: str, address: str) -> int | None:
        """The weight of a real server in a director's table; None when it is not there."""
        words = self.pair[name].run("ipvsadm -S -n").stdout.split()
        for at, word in enumerate(words):
            if word == "-r" and words[at + 1].rsplit(":", 1)[0] == address:
                return int(words[words.index("-w", at) + 1])
        return None


@pytest.fixture(scope="session")
def directors(nodes, vips) -> Directors:
    return Directors({host.name: host for host in nodes("lvs_directors")}, vips)


class Reading:
    """A reader at work; ``report`` is there when the reading is over."""

    def __init__(self) -> None:
        self.report: dict = {}

    def failures(self, way: str) -> int:
        """How many requests on ``new`` or ``kept`` connections failed."""
        return sum(self.report[way]["failures"].values())

    def losses(self, closing: bool = False) -> dict:
        """Everything that failed; {} is nothing. Only where servers are ``closing`` kept connections may a request be asked again."""
        lost = {way: self.report[way]["lost"] for way in ("new", "kept")}
        lost["again"] = 0 if closing else self.report["kept"]["again"]
        return {
            way: what
            for way, what in (lost | {"downloads": self.report["downloads"]["broken"]}).items()
            if what
        }


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
    """with reading(downloads=20) as seen: … — a reader asks on new and on kept connections meanwhile, and holds slow downloads open."""
    reader = nodes("image_readers")[0]
    prober = give(reader, "prober")

    @contextmanager
    def read(downloads: int = 0, rate: int = 20000, settle: float = 1.0) -> Iterator[Reading]:
        path, digest = image
        root = f"http://{vips[0]}"
        # As patient as a browser: what TCP sends again in time is slow, and not lost.
        words = [f"--url {root}/ --report /var/tmp/prober.json --seconds 900 --timeout 15"]
        if downloads:
            words.append(f"--downloads {downloads} --download-url {root}{path}")
            words.append(f"--download-rate {rate} --download-sha256 {digest}")
        reader.check_output(
            f"rm -f /var/tmp/prober.json; systemd-run --quiet --collect --unit=prober {prober} {' '.join(words)}"
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
