"""From one table to another, for each pair of a JSON list; prints what is not as it should be, as a JSON list."""

from __future__ import annotations

import json
import sys

import network
import table
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.desired import InputError, desired
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.plan import in_parts, policy
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.run import READ, IpvsError, reconcile


def problem(start: dict, request: dict, rules: list) -> str:
    """What is wrong about going from what one request makes to what another one asks; nothing when all is well."""
    calls: list[str] = []

    def counted(text: str) -> tuple[int, str, str]:
        calls.append(text)
        return table.restore(text)

    machine = table.host(counted)
    try:
        table.hold([], sync_daemons=[])
        reconcile(machine, desired(**start), policy())
        calls.clear()
        done = reconcile(machine, desired(**request), policy(*rules))
        # One to read, one to write, and one more where a pool loses real servers while it gets others.
        if len(calls) > (3 if all(in_parts(done.steps)) else 2 if done.steps else 1):
            return f"{len(calls)} processes for one run"
        calls.clear()
        again = reconcile(machine, desired(**request), policy(*rules))
    except InputError as error:
        return "" if "sync daemon" in str(error) else str(error)
    except IpvsError as error:
        return str(error)
    if again.steps:
        return f"a second run has a plan: {again.steps}"
    if [line for text in calls for line in text.splitlines()] != list(READ):
        return f"a second run did more than one reading: {calls}"
    return ""


def main() -> None:
    network.ip(["netns add pairs"])
    try:
        network.enter("pairs")
        network.ip(["link set lo up", "link add eth0 type dummy", "link add eth1 type dummy"])
        network.ip(["link set eth0 up", "link set eth1 up"])
        pairs = json.load(sys.stdin)
        found = [[number, problem(*pair)] for number, pair in enumerate(pairs)]
        table.hold([], sync_daemons=[])
    finally:
        network.ip(["netns delete pairs"])
    print(json.dumps([entry for entry in found if entry[1]]))


if __name__ == "__main__":
    main()
