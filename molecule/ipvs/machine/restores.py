"""Gives each text of a JSON list to ``ipvsadm -R`` on an empty table and prints what came of it, as a JSON list."""

from __future__ import annotations

import json
import sys

import network
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.run import shown
from table import restore

CLEAR = "-C\n--set 900 120 300\n"


def main() -> None:
    given = json.load(sys.stdin)
    reading = "".join(f"{line}\n" for line in given["read"])
    found = []
    network.ip(["netns add restores"])
    try:
        network.enter("restores")
        # The interfaces that the fake has.
        network.ip(["link set lo up", "link add eth0 type dummy", "link add eth1 type dummy"])
        network.ip(["link set eth0 up", "link set eth1 up"])
        for text in given["texts"]:
            # The daemons first: the kernel refuses some tables beside them.
            restore("--stop-daemon master\n--stop-daemon backup\n" + CLEAR)
            status, output, errors = restore(text)
            found.append([status, output, errors, restore(reading)[1], shown()])
        restore("--stop-daemon master\n--stop-daemon backup\n" + CLEAR)
    finally:
        network.ip(["netns delete restores"])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
