"""Counts the tasks of two runs of site.yml and their seconds, beside a task that does nothing: play.py FIRST.json SECOND.json.

Each file is what the callback ansible.posix.json said of one run of site.yml and tests/bench/noop.yml together.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime
from typing import NamedTuple

COMPILED = "Release is compiled by a user of its own, without network"
# Done on the control node, so that no host is asked.
LOCAL = {
    "assert",
    "set_fact",
    "include_tasks",
    "include_role",
    "include_vars",
    "validate_argument_spec",
    "debug",
    "meta",
    "group_by",
    "fail",
}


class Task(NamedTuple):
    name: str
    seconds: float
    hosts: dict  # by name: "changed", "ok" or "skipped"
    remote: bool


def seconds(times: dict) -> float:
    # What includes other tasks has no end of its own.
    began, ended = (
        datetime.fromisoformat(times.get(key, times["start"]).rstrip("Z")) for key in ("start", "end")
    )
    return (ended - began).total_seconds()


def task(entry: dict) -> Task:
    def ended(result: dict) -> str:
        return "skipped" if result.get("skipped") else "changed" if result.get("changed") else "ok"

    hosts = {name: ended(result) for name, result in entry["hosts"].items()}
    actions = {str(result.get("action", "")).rsplit(".", 1)[-1] for result in entry["hosts"].values()}
    remote = bool(actions - LOCAL) and any(end != "skipped" for end in hosts.values())
    return Task(entry["task"]["name"], seconds(entry["task"]["duration"]), hosts, remote)


def plays(path: str) -> dict[str, list[Task]]:
    """The tasks of each play, in order, by the play's name."""
    with open(path) as source:
        text = source.read()
    # One object a playbook, with other callbacks' lines around it.
    found = [
        json.JSONDecoder().raw_decode(text, match.start())[0] for match in re.finditer(r"(?m)^\{$", text)
    ]
    entries = [entry for playbook in found for entry in playbook["plays"]]
    return {entry["play"]["name"]: [task(each) for each in entry["tasks"]] for entry in entries}


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |")


def head(*cells: str) -> None:
    print()
    row(*cells)
    row("---", *["---:"] * (len(cells) - 1))


def main() -> None:
    first, second = (plays(path) for path in sys.argv[1:])
    nothing = {
        name: sum(each.seconds for each in run.pop(name)) / 10
        for run in (first, second)
        for name in [name for name in run if name.startswith("Nothing, on")]
    }
    head(
        "play",
        "tasks",
        "first run",
        "its changes",
        "second run",
        "its changes",
        "tasks that ask a host",
        "seconds a task",
        "of a no-op",
    )
    totals = [0.0] * 7
    for name, tasks in first.items():
        again = second[name]
        changes = [
            sum(end == "changed" for each in run for end in each.hosts.values()) for run in (tasks, again)
        ]
        times = [sum(each.seconds for each in run) for run in (tasks, again)]
        asking = [each for each in again if each.remote]
        on_directors = any("director" in host for each in asking for host in each.hosts)
        noop = nothing["Nothing, on directors" if on_directors else "Nothing, on the others"]
        each = times[1] / len(asking) if asking else 0.0
        row(
            name,
            len(again),
            f"{times[0]:.1f} s",
            changes[0],
            f"{times[1]:.1f} s",
            changes[1],
            len(asking),
            f"{each:.2f}",
            f"{each / noop:.2f}",
        )
        for index, value in enumerate(
            (len(again), times[0], changes[0], times[1], changes[1], len(asking), len(asking) * noop)
        ):
            totals[index] += value
    row("all", f"{totals[0]:.0f}", f"{totals[1]:.1f} s", f"{totals[2]:.0f}", f"{totals[3]:.1f} s", f"{totals[4]:.0f}", f"{totals[5]:.0f}",
        f"{totals[3] / totals[5]:.2f}", f"{totals[3] / totals[6]:.2f}")  # fmt: skip

    head("host", "tasks, first run", "changed", "tasks, second run", "changed")
    names = sorted(
        {host for run in (first, second) for tasks in run.values() for each in tasks for host in each.hosts}
    )
    for host in names:
        counts = []
        for run in (first, second):
            ends = [each.hosts[host] for tasks in run.values() for each in tasks if host in each.hosts]
            counts += [sum(end != "skipped" for end in ends), ends.count("changed")]
        row(host, *counts)

    compiled = [
        host
        for tasks in first.values()
        for each in tasks
        if each.name.endswith(COMPILED)
        for host in each.hosts
    ]
    print(
        f"\nThe compiler ran on {len(compiled)} of {len(names)} hosts: {', '.join(compiled) or 'the release was in the cache'}."
    )
    print(
        "A task that does nothing: "
        + "; ".join(f"{name.split(', ')[1]} {cost:.2f} s" for name, cost in nothing.items())
        + "."
    )
    slowest = sorted(
        ((each.seconds, name, each.name) for name, tasks in second.items() for each in tasks), reverse=True
    )[:10]
    head("slowest tasks of the second run", "seconds")
    for cost, _play, name in slowest:
        row(name, f"{cost:.2f}")


if __name__ == "__main__":
    main()
