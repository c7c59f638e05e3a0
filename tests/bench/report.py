"""The numbers of tests/bench/ipvs.py as the tables of docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
import sys

PHASES = {
    "read": "(a) read",
    "plan": "(a) plan",
    "apply": "(a) apply",
    "second_run": "(a) a second run",
    "one_process_each": "(b) one process a command",
    "restore": "(c) bare `ipvsadm -R`",
}
PARTS = {
    "save": "`ipvsadm -S`",
    "list": "`ipvsadm -L --thresholds`",
    "parse": "parsing both",
    "compare": "comparing",
}
RATIOS = {
    "apply : (c)": lambda t: f"{t['apply'] / t['restore']:.2f}",
    "(b) : apply": lambda t: f"{t['one_process_each'] / t['apply']:.0f}",
    "processes of a second run": lambda t: t["second_run_processes"],
    "lines that it writes": lambda t: t["second_run_writes"],
}
PLANS = {"settled": "nothing to do", "changing": "half of the weights change"}


def row(cells) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table(entries: list, columns: dict) -> str:
    """A Markdown table: a line for each entry, and by each column's heading what its function makes of it."""
    lines = [row(("services x servers", *columns)), row(("---", *("---:" for _column in columns)))]
    for entry in entries:
        size = f"{entry['services']:,} x {entry['servers'] // entry['services']}"
        lines.append(row((size, *(function(entry) for function in columns.values()))))
    return "\n".join(lines) + "\n"


def seconds(names: dict) -> dict:
    return {head: lambda entry, name=name: f"{entry[name]:.2f} s" for name, head in names.items()}


def main() -> None:
    with open(sys.argv[1]) as source:
        found = json.load(source)
    print(
        f"Machine: {os.cpu_count()} cores, {platform.machine()}; director: kernel {found['kernel']},"
        f" ipvsadm {found['ipvsadm']}, Python {found['python']}, {found['clock']}.\n"
    )
    for columns in (seconds(PHASES), RATIOS, seconds(PARTS)):
        print(table(found["tables"], columns))
    print("The plan alone:\n")
    print(table(found["plans"], seconds(PLANS)))


if __name__ == "__main__":
    main()
