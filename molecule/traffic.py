"""What several tests do on the lab's hosts: wait for something, write while something happens, take away a disk's space."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[1]
TOOLS = PROJECT / "tests" / "tools"


def until(reached: Callable[[], object], what: str, seconds: float = 60) -> float:
    """The seconds until ``reached`` was true."""
    began = time.monotonic()
    while not reached():
        assert time.monotonic() - began < seconds, f"after {seconds} s: {what}"
        time.sleep(0.2)
    return time.monotonic() - began


def ask(name: str, command: str, text: str) -> subprocess.CompletedProcess:
    """A command on a host of the lab that reads this text."""
    reached = ["ssh", "-F", str(PROJECT / ".ansible" / "lab" / "ssh_config"), name, command]
    return subprocess.run(reached, input=text, capture_output=True, text=True, check=False)


def give(host, tool: str) -> str:
    """A tool of tests/tools on a host of the lab, and how it is run there."""
    path = f"/var/tmp/{tool}"
    done = ask(host.name, f"cat >{path}", (TOOLS / tool).read_text())
    assert done.returncode == 0, done.stderr
    return f"python3 {path}"


# $1: where to read; $2: how often; then the storages to upload to in turn. Each image is read as soon as its name is there.
READ_YOUR_WRITE = r"""
set -euo pipefail
root=$1 times=$2
shift 2
file=$(mktemp --suffix=.jpg)
trap 'rm -f "$file"' EXIT
missed=0
for ((time = 0; time < times; time++)); do
    for storage; do
        head -c 3000 /dev/urandom >"$file"
        id=$(fdfs_upload_file /etc/fdfs/client.conf "$file" "$storage")
        curl -s --max-time 10 "$root/$id" | cmp -s - "$file" || missed=$((missed + 1))
        fdfs_delete_file /etc/fdfs/client.conf "$id"
    done
done
echo "$missed"
"""


def missed(client, root: str, storages: list[str], times: int) -> int:
    """How many images could not be read at ``root`` in the moment when their upload was acknowledged, after so many to each storage."""
    done = ask(client.name, f"bash -s {root} {times} {' '.join(storages)}", READ_YOUR_WRITE)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def active(nodes, server: str) -> bool:
    """Whether the trackers say that this storage takes uploads."""
    said = nodes("fastdfs_clients")[0].run("fdfs_monitor /etc/fdfs/client.conf").stdout
    return any(
        line.split()[-1] == "ACTIVE" for line in said.splitlines() if f"ip_addr = {server} " in f"{line} "
    )


@contextmanager
def small_disk(host, path: str, service: str, spare: int) -> Iterator[Callable[[int], object]]:
    """What lies below ``path`` is on a disk with so many MiB to spare meanwhile; resize(MiB) makes that more or less."""
    disk = f"/run/small-{service}"
    used = int(host.check_output(f"systemctl stop {service} && du -sm {path}").split()[0])
    host.check_output(
        f"mkdir {disk} && mount -t tmpfs -o size={used + spare}M tmpfs {disk} && cp -a {path}/. {disk}/ && chown --reference={path} {disk}"
        f" && chmod --reference={path} {disk} && mount --bind {disk} {path} && systemctl start {service}"
    )
    try:
        yield lambda more: host.check_output(f"mount -o remount,size={used + more}M {disk}")
    finally:
        host.check_output(
            f"systemctl stop {service} && umount {path} && rsync -a --delete {disk}/ {path}/"
            f" && umount {disk} && rmdir {disk} && systemctl start {service}"
        )


class Ledger:
    """What a writer was told is stored, and what storages, backup hosts and readers find of it.

    ``keepers`` maps those who have images, which are storages, backup hosts and "VIP", to the host and its commands that look at them.
    """

    def __init__(self, keepers: dict[str, tuple[str, list[str]]]) -> None:
        self.lines: list[str] = []
        self.keepers = keepers

    @property
    def acknowledged(self) -> int:
        return sum('"id"' in line for line in self.lines)

    @property
    def failed(self) -> int:
        return sum('"failed"' in line for line in self.lines)

    def missing(self, seconds: float = 60) -> dict[str, list]:
        """What lacks an acknowledged image, or has another content, after replication had so much time; each with what the ledger says."""
        text = "\n".join(self.lines)
        deadline = time.monotonic() + seconds
        wrong: dict[str, list] = {}
        for name, (host, checks) in self.keepers.items():
            for check in checks:
                left = max(deadline - time.monotonic(), 0)
                done = ask(host, f"{check} --wait {left:.0f}", text)
                if done.returncode:
                    wrong.setdefault(name, []).append(json.loads(done.stdout))
        return wrong
