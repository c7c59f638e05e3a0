"""A network inside one machine: namespaces for a client, two directors and three real servers, on one bridge.

One process lives in all of them: a socket belongs to the namespace in which it was made.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import selectors
import signal
import socket
import subprocess
from collections import Counter

LAN = "lan"
HOSTS = {"client": 2, "director": 1, "backup": 5, "web1": 11, "web2": 12, "web3": 13}
WEBS = ("web1", "web2", "web3")
ADDRESS = {name: f"10.9.0.{last}" for name, last in HOSTS.items()}
ADDRESS6 = {name: f"fd09::{last}" for name, last in HOSTS.items()}
NEIGHBOUR, STRANGER = "10.9.0.3", "10.9.7.3"  # more addresses of the client
VIP, VIP6 = "10.9.0.100", "fd09::100"
TCP, OTHER_TCP, UDP, SCTP = 80, 8080, 53, 9
KINDS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP, TCP),
    "other": (socket.SOCK_STREAM, socket.IPPROTO_TCP, OTHER_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP, UDP),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP, SCTP),
}
PORTS = itertools.count(
    20000
)  # the client's: a port that comes again would meet the connection that it had before
PATIENCE = 3.0  # seconds
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def enter(namespace: str) -> None:
    with open(f"/run/netns/{namespace}") as opened:
        if LIBC.setns(opened.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace {namespace}")


@contextlib.contextmanager
def inside(namespace: str, back: str = "director"):
    enter(namespace)
    try:
        yield
    finally:
        enter(back)


def ip(lines: list[str], namespace: str | None = None) -> None:
    where = ["-n", namespace] if namespace else []
    subprocess.run(["ip", *where, "-batch", "-"], input="\n".join(lines), text=True, check=True)


def sysctl(**values) -> None:
    """Settings of the namespace that this process is in; ``__`` stands for a slash."""
    for name, value in values.items():
        with open("/proc/sys/net/" + name.replace("__", "/"), "w") as setting:
            setting.write(str(value))


@contextlib.contextmanager
def network():
    """These namespaces with the real servers' daemons in them; the process is in the director's."""
    for module in ("ipip", "ip6_tunnel", "sctp"):
        subprocess.run(["modprobe", "--quiet", module], check=False)
    with open("/proc/self/ns/net") as home, contextlib.ExitStack() as cleanup:
        cleanup.callback(LIBC.setns, home.fileno(), CLONE_NEWNET)
        for name in (LAN, *HOSTS):
            ip([f"netns add {name}"])
            cleanup.callback(ip, [f"netns delete {name}"])
        cleanup.callback(LIBC.setns, home.fileno(), CLONE_NEWNET)
        wire()
        servers = os.fork()
        if not servers:
            serve()
        cleanup.callback(os.waitpid, servers, 0)
        cleanup.callback(os.kill, servers, signal.SIGKILL)
        enter("director")
        yield


def wire() -> None:
    links = ["link add br0 type bridge forward_delay 0", "link set br0 up"]
    for name in HOSTS:
        links += [
            f"link add {name} type veth peer name eth0 netns {name}",
            f"link set {name} master br0 up",
        ]
    ip(links, LAN)
    for name in HOSTS:
        lines = [
            "link set lo up",
            "link set eth0 up",
            f"address add {ADDRESS[name]}/16 dev eth0",
            f"address add {ADDRESS6[name]}/64 dev eth0 nodad",
        ]
        if name == "client":
            lines += [f"address add {address}/16 dev eth0" for address in (NEIGHBOUR, STRANGER)]
        if name == "director":
            # Without a preference, so that the director does not speak with it: real servers take its tunnels' packets for their own then.
            lines += [
                f"address add {VIP}/16 dev eth0",
                f"address add {VIP6}/128 dev eth0 nodad preferred_lft 0",
            ]
        if name in WEBS:
            lines += [f"address add {VIP}/32 dev lo", f"address add {VIP6}/128 dev lo nodad"]
            lines += ["link set tunl0 up", "link set ip6tnl0 up"]
        enter(name)
        if name in WEBS:  # before the VIP is there: nobody else may hear of it from a real server
            sysctl(ipv4__conf__all__arp_ignore=1, ipv4__conf__all__arp_announce=2)
            sysctl(ipv4__conf__all__rp_filter=0, ipv4__conf__tunl0__rp_filter=0)
            # An IPv6 director cannot be kept from telling them of the shorter way to the client, past its NAT.
            sysctl(ipv6__conf__all__accept_redirects=0, ipv6__conf__eth0__accept_redirects=0)
        if name == "director":
            sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1, ipv4__conf__all__send_redirects=0)
            sysctl(ipv4__conf__default__send_redirects=0, ipv6__conf__eth0__accept_ra=0)
        ip(lines, name)
        if name == "director":
            sysctl(ipv4__conf__eth0__send_redirects=0)


def answers_pass(director: bool) -> None:
    """Whether the real servers' answers to the client go through the director, as NAT needs it, or straight to it."""
    verb = "replace" if director else "delete"
    for name in WEBS:
        for address in (ADDRESS, ADDRESS6):
            ip([f"route {verb} {address['client']} via {address['director']}"], name)


def listen(family: int, kind: str, address: str) -> socket.socket:
    sort, protocol, port = KINDS[kind]
    bound = socket.socket(family, sort, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((address, port))
    if sort == socket.SOCK_STREAM:
        bound.listen(64)
    bound.setblocking(False)
    return bound


def serve() -> None:
    """All real servers: to whoever comes they say their name. A connection stays open as long as the client wants."""
    sockets = selectors.DefaultSelector()
    for name in WEBS:
        enter(name)
        places = [(socket.AF_INET, a) for a in (VIP, ADDRESS[name])]
        places += [(socket.AF_INET6, a) for a in (VIP6, ADDRESS6[name])]
        for family, address in places:
            for kind in KINDS:
                bound = listen(family, kind, address)
                sockets.register(bound, selectors.EVENT_READ, (kind, name.encode()))
    while True:
        for key, _events in sockets.select():
            kind, name = key.data
            if kind == "open":
                if not key.fileobj.recv(64):
                    sockets.unregister(key.fileobj)
                    key.fileobj.close()
            elif kind == "udp":
                _question, client = key.fileobj.recvfrom(64)
                key.fileobj.sendto(name, client)
            else:
                connection, _client = key.fileobj.accept()
                connection.sendall(name)
                sockets.register(connection, selectors.EVENT_READ, ("open", name))


def connect(kind: str, address: str = VIP, source: str | None = None) -> tuple[str, socket.socket]:
    """The client asks once: who answered, and the connection. Nobody: ``-``."""
    sort, protocol, port = KINDS[kind]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside("client"):
        asking = socket.socket(family, sort, protocol)
    asking.settimeout(PATIENCE)
    # The route for NAT is that of the client's first address.
    first = ADDRESS6["client"] if ":" in address else ADDRESS["client"]
    try:
        asking.bind((source or first, next(PORTS)))
        asking.connect((address, port))
        if kind == "udp":
            asking.send(b"who?")
        return asking.recv(64).decode(), asking
    except OSError:
        return "-", asking


def ask(kind: str, count: int, address: str = VIP, source: str | None = None) -> dict[str, int]:
    """How many of so many new connections, one after the other, each real server answered."""
    found: Counter = Counter()
    for _number in range(count):
        name, connection = connect(kind, address, source)
        connection.close()
        found[name] += 1
    return dict(found)
