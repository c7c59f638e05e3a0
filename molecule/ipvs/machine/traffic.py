"""Sends real traffic through every kind of table and prints what came of it, as one JSON object."""

from __future__ import annotations

import json
import os
import subprocess
import time

import network
import table
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs import drain as draining
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.parse import parse
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.render import counted_shape
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.run import READ_COUNTERS, offered
from network import ADDRESS, ADDRESS6, NEIGHBOUR, OTHER_TCP, STRANGER, VIP, VIP6, WEBS, ask, connect
from table import hold

WEIGHTS = (3, 2, 1)
MARK = """
add table ip marks
add chain ip marks before { type filter hook prerouting priority mangle; }
add rule ip marks before ip daddr %s tcp dport { 80, 8080 } meta mark set 7
""" % (VIP,)


def servers(forward: str = "dr", addresses: dict = ADDRESS, **rest) -> list:
    return [
        {"address": addresses[name], "forward": forward, "weight": weight, **rest}
        for name, weight in zip(WEBS, WEIGHTS)
    ]


def service(kind: str, scheduler: str = "wrr", **rest) -> dict:
    protocol = "tcp" if kind == "other" else kind
    return {
        "address": VIP,
        "port": network.KINDS[kind][2],
        "protocol": protocol,
        "scheduler": scheduler,
        **rest,
    }


def balance(forward: str) -> dict:
    """Who answered how often, for each kind of service."""
    found = {}
    for kind in ("tcp", "udp", "sctp"):
        hold([service(kind, servers=servers(forward))])
        found[kind] = ask(kind, 12)
    hold([{**service("tcp"), "address": VIP6, "servers": servers(forward, ADDRESS6)}])
    found["ipv6"] = ask("tcp", 12, VIP6)
    hold([{"fwmark": 7, "scheduler": "wrr", "servers": servers(forward)}])
    found["fwmark"] = {"80": ask("tcp", 6), "8080": ask("other", 6)}
    return found


def balances() -> dict:
    subprocess.run(["nft", "-f", "-"], input=MARK, text=True, check=True)
    found = {forward: balance(forward) for forward in ("dr", "tunnel")}
    network.answers_pass(director=True)
    found["nat"] = balance("nat")
    hold([service("tcp", servers=servers("nat", port=OTHER_TCP))])
    found["nat"]["other port"] = ask("tcp", 12)
    network.answers_pass(director=False)
    return found


def schedulers() -> dict:
    names = {name for name in offered(os.uname().release) if not name.startswith("pe_") and name != "ftp"}
    found = {}
    for name, flags in [*((name, []) for name in sorted(names)), ("sh", ["sh-port"]), ("mh", ["mh-port"])]:
        outcome = hold([service("tcp", name, scheduler_flags=flags, servers=servers())])
        (observed,) = outcome.after.services.values()
        assert (observed.scheduler, list(observed.scheduler_flags)) == (name, flags)
        found["+".join([name, *flags])] = ask("tcp", 12)
    return found


def persistence() -> dict:
    found = {}
    for netmask in (32, 24):
        hold([])
        hold([service("tcp", "rr", persistence_timeout=60, persistence_netmask=netmask, servers=servers())])
        found[netmask] = [ask("tcp", 4, source=source) for source in (ADDRESS["client"], NEIGHBOUR, STRANGER)]
    return found


def thresholds() -> dict:
    # A service that had no connections yet: those that have ended lately count as well.
    few = [{"address": ADDRESS["web1"], "upper_threshold": 2}, {"address": ADDRESS["web2"]}]
    hold([service("other", "rr", servers=few)])
    held = [connect("other") for _number in range(8)]
    for _name, connection in held:
        connection.close()
    return {name: [who for who, _connection in held].count(name) for name in WEBS}


def timeouts() -> dict:
    outcome = hold([service("tcp", servers=servers())], timeouts={"tcp": 77, "tcp_fin": 33, "udp": 22})
    _who, connection = connect("tcp")
    listed = subprocess.run(["ipvsadm", "-L", "-n", "-c"], capture_output=True, text=True, check=True).stdout
    connection.close()
    standing = [line.split()[1] for line in listed.splitlines() if " ESTABLISHED " in line]
    defaults = {"tcp": 900, "tcp_fin": 120, "udp": 300}
    hold([], timeouts=defaults)
    return {"held": outcome.after.timeouts._asdict(), "expire": standing}


def sync() -> dict:
    """A connection that the first director balances is known to the second one."""
    daemon = {"interface": "eth0", "sync_id": 9}
    web = [service("tcp", servers=servers())]
    outcome = hold(web, sync_daemons=[{"role": "master", **daemon}])
    with network.inside("backup"):
        hold(web, sync_daemons=[{"role": "backup", **daemon}])
    _who, connection = connect("tcp")
    source = "{}:{}".format(*connection.getsockname())
    for _number in range(3):  # the third packet of a connection is when the kernel tells of it
        connection.send(b"more")
        time.sleep(0.05)

    def known() -> bool:
        with network.inside("backup"):
            return source in table.restore("-L -n -c\n")[1]

    told = table.until(known)
    connection.close()
    with network.inside("backup"):
        hold([], sync_daemons=[])
    held = [[d.role, d.interface, d.sync_id] for d in outcome.after.sync_daemons.values()]
    left = hold([], sync_daemons=[]).after.sync_daemons
    return {"held": held, "told": told, "left": len(left)}


def counters() -> dict:
    """The service with its counters, as ``ipvs_info`` returns it, after six connections of which one is still open."""
    hold([])
    hold([service("tcp", servers=servers())])
    ask("tcp", 5)
    _who, connection = connect("tcp")
    shape: dict = {}

    def counted() -> bool:  # the kernel adds up every two seconds
        listing = parse(table.restore("\n".join(READ_COUNTERS) + "\n")[1])
        shape.update(counted_shape(listing.table(), listing.numbers)["services"][0])
        return shape["connections"] == 6

    table.until(counted)
    connection.close()
    return shape


def drain() -> dict:
    """web1 is drained while a client holds a connection to it; the client lets go at the third look."""
    hold([service("tcp", "rr", servers=servers())])
    held = [connect("tcp") for _number in range(3)]
    (connection,) = [connection for who, connection in held if who == "web1"]
    meanwhile = {}
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            meanwhile.update(ask("tcp", 4))
            connection.send(b"still here")
            connection.close()
        time.sleep(0.1)

    params = {
        "server": ADDRESS["web1"],
        "services": None,
        "state": "drained",
        "weight": None,
        "wait": "active",
    }
    request = draining.request({**params, "timeout": 20, "poll_interval": 0.1})
    result = draining.drain(table.host(), request, draining.Surroundings(sleep=sleep))
    for _who, other in held:
        other.close()
    weights = [s.weight for v in result.after.services.values() for s in v.servers.values()]
    return {"meanwhile": meanwhile, "looks": len(looks), "left": len(result.left), "weights": weights}


def main() -> None:
    parts = (balances, schedulers, persistence, thresholds, timeouts, sync, counters, drain)
    with network.network():
        print(json.dumps({part.__name__: part() for part in parts}))


if __name__ == "__main__":
    main()
