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


def serving(director) -> set[str]:
    """The addresses of the image servers to which this director sends readers."""
    lines = [line.split() for line in director.check_output("ipvsadm -Ln").splitlines()]
    return {
        words[1].rpartition(":")[0]
        for words in lines
        if words[0] == "->" and words[3].isdigit() and int(words[3])
    }


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
        self.keepers = dict(keepers)

    @property
    def acknowledged(self) -> int:
        return sum('"id"' in line for line in self.lines)

    @property
    def failed(self) -> int:
        return sum('"failed"' in line for line in self.lines)

    def missing(self, seconds: float = 60) -> dict[str, dict]:
        """Who lacks an acknowledged image, or has another content, after replication had so much time.

        Images that somebody else has are `unreplicated`; nobody has those that are `lost`. Whoever was asked for no image at all would
        have them all, so that is `nothing` to be asked for.
        """
        text = "\n".join(self.lines)
        deadline = time.monotonic() + seconds
        told: dict[str, list[dict]] = {}
        for name, (host, checks) in self.keepers.items():
            for check in checks:
                left = max(deadline - time.monotonic(), 0)
                done = ask(host, f"{check} --wait {left:.0f}", text)
                assert done.stdout, done.stderr
                told.setdefault(name, []).append(json.loads(done.stdout))
        acknowledged = {json.loads(line)["id"] for line in self.lines if '"id"' in line}
        lack = {name: {each for said in all_ for each in said["lost"]} for name, all_ in told.items()}
        # Who was asked for a group: an image is lost when all of these lack it.
        asked = {name: {group for said in all_ for group in said["groups"]} for name, all_ in told.items()}
        lost = {
            each
            for each in acknowledged
            if all(each in lack[name] for name in told if each.split("/")[0] in asked[name])
        }
        wrong = {}
        for name, all_ in told.items():
            print(name, [{key: value for key, value in said.items() if key != "lost"} for said in all_])
            bad = {
                "unreplicated": len(lack[name] - lost),
                "lost": len(lack[name] & lost),
                "corrupt": sum(said["corrupt"] for said in all_),
                "nothing": sum(not said["groups"] for said in all_),
            }
            if any(bad.values()):
                wrong[name] = {
                    **{key: value for key, value in bad.items() if value},
                    "among": all_[0]["among"],
                }
        return wrong
