"""Small FastDFS clusters on loopback addresses, of the simulator, of real FastDFS, or mixed."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import tarfile
import time
from pathlib import Path

SIMULATOR = Path(__file__).resolve().parents[2] / "simulators" / "fastdfs"


def wait_for(condition, seconds=20.0, what="the condition"):
    """Ask until the answer is true and return it; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s for {what}")


class Daemon:
    """A tracker or storage server of the installation `prefix`, with its own address and directory."""

    def __init__(self, cluster, prefix, kind, address, **settings):
        self.prefix, self.kind, self.address = prefix, kind, address
        self.base = cluster.directory / address
        self.base.mkdir()
        self.conf = self.base / f"{kind}.conf"
        self.settings = {"bind_addr": address, "base_path": self.base, "log_level": "debug", **settings}
        self.pid_file = self.base / "data" / f"fdfs_{kind}d.pid"

    def run(self, *action, timeout=30):
        """Write the configuration and call the daemon's binary."""
        lines = []
        for key, value in self.settings.items():
            lines += [f"{key}={item}" for item in (value if isinstance(value, list) else [value])]
        self.conf.write_text("\n".join(lines) + "\n")
        command = [self.prefix / "usr/bin" / f"fdfs_{self.kind}d", self.conf, *action]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)

    def start(self):
        """Start it; returns once it has a pid file."""
        result = self.run()
        assert result.returncode == 0, result.stderr + self.log()
        wait_for(
            lambda: self.pid_file.exists() and self.pid_file.read_text().strip(), what=f"{self.pid_file}"
        )
        self.pid = int(self.pid_file.read_text())
        return self

    def stop(self, with_signal=signal.SIGTERM):
        """End it and wait until it is gone."""
        try:
            os.kill(self.pid, with_signal)
        except (AttributeError, ProcessLookupError):
            return
        wait_for(
            self._gone,
            what=f"the end of {self.kind} {self.address}",
        )

    def _gone(self):
        """Its sockets are closed, too: they are open until the last of its threads has ended, and its program is gone before that."""
        process = Path("/proc", str(self.pid))
        try:
            ended = (process / "stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
            return ended and len(list((process / "task").iterdir())) == 1
        except (FileNotFoundError, ProcessLookupError):
            return True

    def log(self):
        """What it has logged."""
        path = self.base / "logs" / f"{self.kind}d.log"
        return path.read_text() if path.exists() else ""

    def binlog(self):
        """(operation, file name) of each line in its binlog."""
        lines = (self.base / "data/sync/binlog.000").read_text().splitlines()
        return [tuple(line.split()[1:3]) for line in lines]

    def file(self, file_id):
        """Where the file of this id lies on this storage server."""
        return self.base / "data" / file_id.split("/", 2)[2]


class Cluster:
    """Daemons that are stopped at the end of the test."""

    def __init__(self, directory):
        self.directory, self.daemons = directory, []
        self.network = f"127.{random.randint(16, 250)}.{random.randint(0, 250)}"

    def tracker(self, prefix, host=10, **settings):
        """A started tracker at `<network>.<host>`."""
        settings = {"port": 22122, "store_lookup": 0, "reserved_storage_space": "1MB", **settings}
        return self._start(Daemon(self, prefix, "tracker", f"{self.network}.{host}", **settings))

    def storage(self, prefix, host, **settings):
        """A started storage server; it knows every tracker that was made before."""
        return self._start(self.new_storage(prefix, host, **settings))

    def new_storage(self, prefix, host, **settings):
        """The same, not started."""
        base = self.directory / f"{self.network}.{host}"
        trackers = [f"{d.address}:22122" for d in self.daemons if d.kind == "tracker"]
        settings = {
            "group_name": "group1", "port": 23000, "store_path0": base, "subdir_count_per_path": 4, "http.server_port": 80,
            "tracker_server": trackers, "heart_beat_interval": 1, "stat_report_interval": 1,
            "sync_binlog_buff_interval": 1, "sync_wait_msec": 50,
            "buff_size": "256KB", **settings,
        }  # fmt: skip
        return Daemon(self, prefix, "storage", f"{self.network}.{host}", **settings)

    def _start(self, daemon):
        self.daemons.append(daemon)
        return daemon.start()

    def client(self, prefix, command, *arguments, check=True):
        """Run `fdfs_<command>` against the trackers and return what it prints."""
        conf = self.directory / "client.conf"
        trackers = [f"tracker_server={d.address}:22122\n" for d in self.daemons if d.kind == "tracker"]
        conf.write_text(f"base_path={self.directory}\nconnect_timeout=3\n" + "".join(trackers))
        command = [prefix / "usr/bin" / f"fdfs_{command}", conf, *arguments]
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=30, check=False, cwd=self.directory
        )
        if check:
            assert result.returncode == 0, (command, result.stdout, result.stderr)
        return result.stdout.strip() if check else result

    def upload(self, prefix, content, name="image.jpg"):
        """Upload a file; returns its id."""
        path = self.directory / name
        path.write_bytes(content)
        return self.client(prefix, "upload_file", path)

    def download(self, prefix, file_id):
        """The content of the file of this id."""
        path = self.directory / "downloaded"
        path.unlink(missing_ok=True)
        self.client(prefix, "download_file", file_id, path)
        return path.read_bytes() if path.exists() else None

    def states(self, prefix):
        """Status by address, as fdfs_monitor tells it."""
        output = self.client(prefix, "monitor", check=False).stdout
        return dict(re.findall(r"ip_addr = (\S+)(?: \(.*\))?\s+(\w+)", output))

    def wait_active(self, prefix, *storages, seconds=30):
        """Until each of these is ACTIVE."""
        seen = {}

        def all_active():
            seen.update(self.states(prefix))
            return all(seen.get(storage.address) == "ACTIVE" for storage in storages)

        try:
            wait_for(all_active, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen}") from None


def build(archive, destination):
    """Unpack an archive and build it as the role does; returns the prefix."""
    source, prefix = destination / "source", destination / "prefix"
    with tarfile.open(archive) as tar:
        tar.extractall(source)
    folder = next(source.glob(archive.name.split("-simulator")[0]))
    for action in ([], ["install"]):
        environment = {**os.environ, "DESTDIR": str(prefix)}
        subprocess.run(["./make.sh", *action], cwd=folder, env=environment, check=True, timeout=60)
    return prefix
