"""How long an IPVS table takes, in the kernel that this runs on: the module's phases beside ipvsadm itself.

It works in a network namespace of its own, so the machine's table is not touched. Prints one JSON object; times are in
seconds, each the fastest of three (one process a command: of one).
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time

from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs import run
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.desired import desired
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.model import Table
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.parse import parse
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.plan import plan, policy, settle

SERVERS = 4
NAMESPACE = "imageops-bench"


def request(services: int, servers: int = SERVERS) -> list:
    return [
        {
            "address": f"192.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
            "port": 80,
            "scheduler": "wrr",
            "servers": [{"address": f"10.0.0.{last}", "weight": last} for last in range(1, servers + 1)],
        }
        for number in range(services)
    ]


class Ipvsadm:
    """``ipvsadm -R`` that remembers what it was given."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, text: str) -> tuple[int, str, str]:
        self.calls.append(text)
        done = subprocess.run(["ipvsadm", "-R"], input=text, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr


def timed(function, *arguments) -> tuple[float, object]:
    begin = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - begin, result


def clear() -> None:
    subprocess.run(["ipvsadm", "-C"], check=True)


def restore(text: str) -> None:
    subprocess.run(["ipvsadm", "-R"], input=text, text=True, check=True, capture_output=True)


def one_process_each(lines: list[str]) -> None:
    for line in lines:
        subprocess.run(["ipvsadm", *line.split()], check=True)


def prepare(wanted: list, before: Table, rules) -> tuple:
    asked = desired(wanted)
    after = settle(before, asked, rules)
    return asked, after, plan(before, after)


def fastest(measures: dict, before=lambda: None) -> dict[str, float]:
    """Seconds of the fastest of three, by name: what each takes when nobody else uses the machine.

    They take turns, so that somebody who does is in the way of them all.
    """
    found = dict.fromkeys(measures, float("inf"))
    for _round in range(3):
        for name, function in measures.items():
            before()
            found[name] = min(found[name], timed(function)[0])
    return found


def measure(services: int) -> dict:
    """The same table by the three ways, each onto an empty table, and the module's second run."""
    wanted, rules = request(services), policy("servers")
    asked, after, steps = prepare(wanted, Table(), rules)
    lines = [step.line for step in steps]
    text = "".join(f"{line}\n" for line in lines)
    again = Ipvsadm()
    host = run.Host(again, run.loaded, lambda: None, run.shown)
    bare = run.Host(Ipvsadm(), run.loaded, lambda: None, run.shown)

    writing = {
        "restore": lambda: restore(text),
        "apply": lambda: run._apply(bare, Table(), after, steps, asked),
        "read": lambda: run.read(Ipvsadm()),
    }
    found = fastest(writing, before=clear)
    clear()
    found["one_process_each"], _nothing = timed(one_process_each, lines)  # once: it takes minutes

    assert run.reconcile(host, asked, rules).steps == []
    processes = len(again.calls)
    listed = Ipvsadm()("".join(f"{line}\n" for line in run.READ))[1]
    observed = parse(listed).table()
    standing = {
        "plan": lambda: prepare(wanted, Table(), rules),
        "save": lambda: Ipvsadm()("-S -n\n"),
        "list": lambda: Ipvsadm()("-L -n --thresholds\n"),
        "parse": lambda: parse(listed),
        "compare": lambda: plan(observed, after),
        "second_run": lambda: run.reconcile(host, asked, rules),
    }
    found.update(fastest(standing))
    clear()
    return {
        "services": services,
        "servers": services * SERVERS,
        **found,
        "second_run_processes": processes,
        "second_run_writes": sum(line not in run.READ for call in again.calls for line in call.splitlines()),
    }


def plan_alone(services: int) -> dict:
    """The plan of a table that is as it shall be, and of one where half of the real servers get another weight."""
    asked, rules = desired(request(services, 5)), policy("servers")
    other = request(services, 5)
    for service in other[::2]:
        for server in service["servers"]:
            server["weight"] += 1
    same = Table(desired(request(services, 5)).services)
    changing = Table(desired(other).services)
    return {
        "services": services,
        "servers": services * 5,
        **fastest(
            {
                "settled": lambda: plan(same, settle(same, asked, rules)),
                "changing": lambda: plan(changing, settle(changing, asked, rules)),
            }
        ),
    }


def clock() -> str:
    with open("/sys/devices/system/clocksource/clocksource0/current_clocksource") as source:
        return "clock " + source.read().strip()


def version() -> str:
    return (
        subprocess.run(["ipvsadm", "-v"], check=True, capture_output=True, text=True)
        .stdout.split()[1]
        .lstrip("v")
    )


def main() -> None:
    if sys.argv[1:2] != ["inside"]:
        subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
        try:
            # A namespace without any address has no routing table, and the kernel then takes no address for unicast.
            subprocess.run(["ip", "-n", NAMESPACE, "link", "set", "lo", "up"], check=True)
            os.environ["PYTHONPATH"] = ":".join(path for path in sys.path if path)
            inside = ["ip", "netns", "exec", NAMESPACE, sys.executable, __file__, "inside", *sys.argv[1:]]
            subprocess.run(inside, check=True)
        finally:
            subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)
        return
    sizes = [int(size) for size in sys.argv[2:]] or [1, 100, 1000]
    result = {
        "kernel": platform.release(),
        "ipvsadm": version(),
        "python": platform.python_version(),
        "clock": clock(),
        "tables": [measure(size) for size in sizes],
        "plans": [plan_alone(size) for size in (1250, 2500, 5000, 10000)],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
