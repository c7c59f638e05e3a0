"""The numbers of tests/bench/ipvs.py as the tables of docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
import sys

PHASES = (
    "read",
    "plan",
    "apply",
    "second_run",
    "one_process_each",
    "restore",
    "listings",
    "parse",
    "compare",
)
HEADS = (
    "read",
    "plan",
    "apply",
    "second run",
    "(b) one process a command",
    "(c) bare `ipvsadm -R`",
    "its listings",
    "parsing them",
    "comparing",
)


def row(cells) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def main() -> None:
    with open(sys.argv[1]) as source:
        found = json.load(source)
    print(
        f"Machine: {os.cpu_count()} cores, {platform.machine()}; director: kernel {found['kernel']},"
        f" ipvsadm {found['ipvsadm']}, Python {found['python']}, {found['clock']}.\n"
    )
    print(row(("services x servers", *HEADS)))
    print(row(("---", *("---:" for _head in HEADS))))
    for table in found["tables"]:
        name = f"{table['services']:,} x {table['servers'] // table['services']}"
        print(row((name, *(f"{table[phase]:.2f} s" for phase in PHASES))))
    print(
        "\n"
        + row(
            (
                "services x servers",
                "apply : (c)",
                "(b) : apply",
                "processes of a second run",
                "lines that it writes",
            )
        )
    )
    print(row(("---", "---:", "---:", "---:", "---:")))
    for table in found["tables"]:
        name = f"{table['services']:,} x {table['servers'] // table['services']}"
        ratios = (table["apply"] / table["restore"], table["one_process_each"] / table["apply"])
        second = (table["second_run_processes"], table["second_run_writes"])
        print(row((name, f"{ratios[0]:.2f}", f"{ratios[1]:.0f}", *second)))
    print("\n" + row(("plan alone", "settled", "half of the weights change")))
    print(row(("---", "---:", "---:")))
    for plan in found["plans"]:
        name = f"{plan['services']:,} x {plan['servers'] // plan['services']}"
        print(row((name, f"{plan['settled']:.2f} s", f"{plan['changing']:.2f} s")))


if __name__ == "__main__":
    main()
