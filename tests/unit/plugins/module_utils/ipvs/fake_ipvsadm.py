# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for ``ipvsadm -R`` 1.31 and the kernel behind it, with their real habits.

It shares no code with the module. A kernel error prints one line and goes on; the exit status is that of the last line;
a semantic error exits at once with 2; an unknown option skips the line; edits replace every attribute; direct routing
and tunnels get the service's port; ``-S`` leaves out thresholds and prints large marks as negative numbers.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
from dataclasses import dataclass, field

SCHEDULERS = frozenset(
    ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"),
)
PROTOCOLS = {"FWM": 0, "TCP": 6, "UDP": 17, "SCTP": 132}  # by which ipvsadm sorts
INVALID = "Invalid operation.  Possibly wrong module version, address not unicast, ..."
FLAG_BITS = {"flag-1": 1, "flag-2": 2, "flag-3": 4}
COMMAND_NAMES = {
    "-A": "add-service",
    "-E": "edit-service",
    "-D": "delete-service",
    "-a": "add-server",
    "-e": "edit-server",
    "-d": "delete-server",
}
NAMED = {"mh": {"mh-fallback": 1, "mh-port": 2}, "sh": {"sh-fallback": 1, "sh-port": 2}}
COMMANDS = {
    "-A",
    "-E",
    "-D",
    "-a",
    "-e",
    "-d",
    "-S",
    "-L",
    "-v",
    "-C",
    "--set",
    "--start-daemon",
    "--stop-daemon",
}
WITH_VALUE = {"-t", "-u", "--sctp-service", "-f", "-s", "-p", "-M", "--pe", "-b", "-r", "-w", "-x", "-y"} | {
    *("--tun-type", "--tun-port", "--mcast-interface", "--syncid", "--sync-maxlen"),
    *("--mcast-group", "--mcast-port", "--mcast-ttl"),
}
WITHOUT_VALUE = {"-6", "-o", "-g", "-i", "-m", "-n", "--tun-csum", "--tun-nocsum", "--tun-remcsum"} | {
    *("--thresholds", "--timeout", "--daemon", "--stats", "--rate", "--exact", "-c"),
}
# The states of connections that the kernel counts as active. A template of a persistent service is not counted.
ACTIVE = {"SYN_RECV", "SYN_SENT", "SYNACK", "ESTABLISHED"}
TEMPLATE = "NONE"
TICKS = 250  # a second, in the kernels of Debian


class Exit(Exception):
    """ipvsadm ends here, with this status; the lines that follow are lost."""


class KernelError(Exception):
    """The kernel refuses; ipvsadm goes on with the next line."""


@dataclass
class Dest:
    forward: str
    weight: int
    upper: int
    lower: int
    tunnel: str


@dataclass
class Connection:
    """An entry of the connection table. ``client`` and ``virtual`` are endpoints as ipvsadm writes them."""

    service: tuple
    server: tuple
    state: str = "ESTABLISHED"
    protocol: str = "TCP"
    client: str = "203.0.113.9:40000"
    virtual: str = "192.0.2.1:80"


@dataclass
class Virtual:
    scheduler: str
    flags: int
    timeout: int
    netmask: str
    engine: str
    ops: bool
    dests: dict = field(default_factory=dict)


class FakeIpvsadm:
    """Call it with the text for ``ipvsadm -R``; ``refuse`` makes the kernel refuse lines that match it."""

    def __init__(self, schedulers=SCHEDULERS, engines=("sip",), interfaces=("eth0", "eth1", "lo")) -> None:
        self.schedulers, self.engines, self.interfaces = schedulers, engines, interfaces
        self.virtuals: dict = {}
        self.timeouts = [900, 120, 300]
        self.daemons: dict = {}
        self.connections: list[Connection] = []
        self.refuse: str | None = None
        self.calls: list[str] = []
        self.loaded = True

    @property
    def writes(self) -> list[str]:
        """Lines that could have changed something."""
        lines = [line for text in self.calls for line in text.splitlines()]
        return [line for line in lines if not line.startswith(("-S", "-L", "-v"))]

    def __call__(self, text: str) -> tuple[int, str, str]:
        self.calls.append(text)
        self.loaded = True
        status, output, errors = 0, [], []
        for line in text.splitlines():
            if not line.split():
                continue
            try:
                if self.refuse and re.search(self.refuse, line):
                    raise KernelError(INVALID)
                status = 0
                output += self.command(line.split())
            except KernelError as error:
                status = 255
                errors.append(str(error))
            except Exit as error:
                status, message = error.args
                errors.append(message)
                break
        return status, "".join(f"{line}\n" for line in output), "".join(f"{line}\n" for line in errors)

    def command(self, words: list[str]) -> list[str]:
        if words[0] not in COMMANDS:
            raise Exit(255, "Try `ipvsadm -h' or 'ipvsadm --help' for more information.")
        verb, rest = words[0], words[1:]
        if verb == "--set":
            return self.set_timeouts([int(word) for word in rest])
        role = rest.pop(0) if verb in ("--start-daemon", "--stop-daemon") else ""
        options = self.options(rest)
        if verb in ("-S", "-L", "-v"):
            return self.show(verb, options)
        if role:
            self.daemon(verb, role, options)
        elif verb == "-C":
            self.virtuals.clear()
        elif verb in ("-A", "-E"):
            self.edit_service(verb, self.name(verb, options), options)
        elif verb == "-D":
            if self.virtuals.pop(self.name(verb, options), None) is None:
                raise KernelError("No such service")
        else:
            self.edit_dest(verb, self.name(verb, options), options)
        return []

    def set_timeouts(self, values: list[int]) -> list[str]:
        for value in values:
            if not 0 <= value <= 86400 * 31:
                raise Exit(2, f"invalid timeout value `{value}' specified")
        self.timeouts = [new or old for new, old in zip(values, self.timeouts)]
        return []

    @staticmethod
    def options(words: list[str]) -> dict[str, str]:
        options = {}
        rest = iter(words)
        for word in rest:
            if word in options:
                raise Exit(2, f"multiple '{word}' options specified")
            if word in WITH_VALUE:
                options[word] = next(rest, "")
            elif word in WITHOUT_VALUE:
                options[word] = ""
            else:
                raise KernelError(f"{word}: unknown option")
        return options

    @staticmethod
    def address(text: str, default_port: int | None = None) -> tuple[str, int]:
        match = re.match(r"^\[(.*)\]:([0-9]+)$", text) or re.match(r"^([0-9.]+)(?::([0-9]+))?$", text)
        if not match:
            raise Exit(2, "illegal virtual server address[:port] specified")
        address = str(ipaddress.ip_address(match.group(1)))
        port = default_port if match.group(2) is None else int(match.group(2))
        return address, port or 0

    def name(self, verb: str, options: dict[str, str]) -> tuple:
        if "-f" in options:
            mark = int(options["-f"])
            if not 1 <= mark < 2**32:
                raise Exit(2, f"invalid fwmark value `{mark}' specified")
            return ("FWM", "IPv6" if "-6" in options else "", mark)
        for option, protocol in (("-t", "TCP"), ("-u", "UDP"), ("--sctp-service", "SCTP")):
            if option in options:
                return (protocol, *self.address(options[option]))
        command = COMMAND_NAMES[verb]
        raise Exit(2, f"You need to supply the 'service-address' option for the '{command}' command")

    @staticmethod
    def is_ipv6(name: tuple) -> bool:
        return ":" in name[1] or name[1] == "IPv6"

    def edit_service(self, verb: str, name: tuple, options: dict[str, str]) -> None:
        if "-r" in options:
            raise Exit(2, "Illegal 'real-server' option")
        scheduler = options.get("-s", "wlc")
        flags = 0
        for flag in options["-b"].split(",") if "-b" in options else ():
            bit = {**FLAG_BITS, **NAMED.get(scheduler, {})}.get(flag)
            if bit is None:
                known = any(flag in names for names in NAMED.values())
                raise Exit(2, f"{'incompatible' if known else 'invalid'} scheduler flag `{flag}'")
            flags |= bit
        timeout = int(options.get("-p", 0))
        if not 0 <= timeout <= 86400 * 31:
            raise Exit(2, f"invalid timeout value `{timeout}' specified")
        if name[0] != "FWM" and name[2] == 0 and not timeout:
            raise Exit(2, "Zero port specified for non-persistent service")
        if "-o" in options and name[0] not in ("UDP", "FWM"):
            raise Exit(2, "One-Packet Scheduling is only for UDP virtual services")
        full = "128" if self.is_ipv6(name) else "255.255.255.255"
        netmask = options.get("-M", full)
        if verb == "-E" and name not in self.virtuals:
            raise KernelError("No such service")
        if verb == "-A" and name in self.virtuals:
            raise KernelError("Service already exists")
        engine = options.get("--pe", "")
        if scheduler not in self.schedulers or (engine and engine not in self.engines):
            raise KernelError("Scheduler or persistence engine not found")
        dests = self.virtuals[name].dests if verb == "-E" else {}
        self.virtuals[name] = Virtual(scheduler, flags, timeout, netmask, engine, "-o" in options, dests)

    def edit_dest(self, verb: str, name: tuple, options: dict[str, str]) -> None:
        marked = name[0] == "FWM"
        address, port = self.address(options["-r"], 0 if marked else name[2])
        forward = next((option for option in ("-g", "-i", "-m") if option in options), "-g")
        if not marked and forward != "-m" and verb != "-d":
            port = name[2]
        weight = int(options.get("-w", 1))
        if not 0 <= weight < 2**31:
            raise Exit(2, "illegal weight specified")
        kind = options.get("--tun-type", "ipip")
        if kind == "gue" and "--tun-port" not in options:
            raise Exit(2, "You need to supply the 'tun-port' option for the 'gue' tunnel type")
        mixed = (":" in address) != self.is_ipv6(name)
        if mixed and forward != "-i" and verb != "-d":
            raise Exit(2, "Different address family is allowed only for tunneling servers")
        # So far ipvsadm, from here on the kernel.
        if name not in self.virtuals:
            raise KernelError("Service not defined")
        dests = self.virtuals[name].dests
        if verb == "-d":
            if (address, port) not in dests:
                raise KernelError("No such destination")
            del dests[address, port]
            return
        if mixed and self.daemons:
            raise KernelError(INVALID)
        upper, lower = int(options.get("-x", 0)), int(options.get("-y", 0))
        if lower > upper:
            raise KernelError("Numerical result out of range")
        if verb == "-e" and (address, port) not in dests:
            raise KernelError("No such destination")
        if verb == "-a" and (address, port) in dests:
            raise KernelError("Destination already exists")
        ip = ipaddress.ip_address(address)
        if ip.is_multicast or ip.is_unspecified or address == "255.255.255.255":
            raise KernelError(INVALID)
        dests[address, port] = Dest(forward, weight, upper, lower, self.tunnel(kind, options))

    @staticmethod
    def tunnel(kind: str, options: dict[str, str]) -> str:
        words = ["--tun-type", kind]
        if kind == "gue":
            words += ["--tun-port", options["--tun-port"]]
        if kind != "ipip":
            sums = ("--tun-csum", "--tun-remcsum")
            words.append(next((option for option in sums if option in options), "--tun-nocsum"))
        return " ".join(words)

    def daemon(self, verb: str, role: str, options: dict[str, str]) -> None:
        if verb == "--stop-daemon":
            if role not in self.daemons:
                raise KernelError("No daemon is running")
            del self.daemons[role]
            return
        mixed = any(
            (":" in address) != self.is_ipv6(name)
            for name, v in self.virtuals.items()
            for address, _p in v.dests
        )
        if role in self.daemons:
            raise KernelError("Daemon has already run")
        if mixed:
            raise KernelError(INVALID)
        if options["--mcast-interface"] not in self.interfaces:
            raise KernelError("No such device")
        self.daemons[role] = (
            f"mcast={options['--mcast-interface']}, syncid={options.get('--syncid', 0)},"
            f" maxlen={options.get('--sync-maxlen', 1472)}, group={options.get('--mcast-group', '224.0.0.81')},"
            f" port={options.get('--mcast-port', 8848)}, ttl={options.get('--mcast-ttl', 1)}"
        )

    def show(self, verb: str, options: dict[str, str]) -> list[str]:
        if verb == "-v":
            return ["ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)"]
        if "--timeout" in options:
            return ["Timeout (tcp tcpfin udp): {} {} {}".format(*self.timeouts)]
        if "--daemon" in options:
            return [
                f"{role} sync daemon ({self.daemons[role]})"
                for role in ("master", "backup")
                if role in self.daemons
            ]
        if "-c" in options:
            return self.listed_connections()
        if verb == "-L":
            return self.listing(options)
        return [line for name in sorted(self.virtuals, key=self.order) for line in self.saved(name)]

    def proc(self) -> str:
        """/proc/net/ip_vs, which the kernel prints itself: the newest service and real server first, and much left out."""
        lines = [
            "IP Virtual Server version 1.2.1 (size=4096)",
            "Prot LocalAddress:Port Scheduler Flags",
            "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn",
        ]
        for name, virtual in reversed(self.virtuals.items()):
            ops = "ops " if virtual.ops and not (name[0] != "FWM" and self.is_ipv6(name)) else ""
            line = (
                f"FWM  {name[2]:08X} " if name[0] == "FWM" else f"{name[0]:<4} {self.hex(name[1], name[2])} "
            )
            line += f"{virtual.scheduler} {ops}"
            if virtual.timeout:
                ipv4 = "." in virtual.netmask
                mask = int(ipaddress.ip_address(virtual.netmask)) if ipv4 else int(virtual.netmask) << 24
                line += f"persistent {virtual.timeout * TICKS} {mask:08X}"
            lines.append(line)
            for (address, port), dest in reversed(virtual.dests.items()):
                forward = {"-g": "Route", "-i": "Tunnel", "-m": "Masq"}[dest.forward]
                active, inactive = self.counts(name, (address, port))
                shown = f"{forward:<7} {dest.weight:<6} {active:<10} {inactive:<10}"
                lines.append(f"  -> {self.hex(address, port)}      {shown}")
        return "".join(f"{line}\n" for line in lines)

    @staticmethod
    def hex(address: str, port: int) -> str:
        ip = ipaddress.ip_address(address)
        if ip.version == 4:
            return f"{int(ip):08X}:{port:04X}"
        digits = ip.packed.hex(":", 2)
        return f"[{digits}]:{port:04X}"

    def listing(self, options: dict[str, str]) -> list[str]:
        numbers = {
            "--stats": "Conns InPkts OutPkts InBytes OutBytes",
            "--rate": "CPS InPPS OutPPS InBPS OutBPS",
        }
        columns = next((text for option, text in numbers.items() if option in options), "")
        lines = ["IP Virtual Server version 1.2.1 (size=4096)"]
        lines.append(f"Prot LocalAddress:Port   {columns or 'Uthreshold Lthreshold ActiveConn InActConn'}")
        lines.append("  -> RemoteAddress:Port")
        for name in sorted(self.virtuals, key=self.order):
            lines.append(self.listed(name) + (" 0 0 0 0 0" if columns else self.remarks(name)))
            for (address, port), dest in self.sorted(self.virtuals[name].dests):
                counted = "{} {}".format(*self.counts(name, (address, port)))
                values = "0 0 0 0 0" if columns else f"{dest.upper} {dest.lower} {counted}"
                lines.append(f"  -> {self.endpoint(address, port)} {values}")
        return lines

    def counts(self, name: tuple, server: tuple) -> tuple[int, int]:
        states = [c.state for c in self.connections if (c.service, c.server) == (name, server)]
        active = sum(state in ACTIVE for state in states)
        return active, len(states) - active - states.count(TEMPLATE)

    def listed_connections(self) -> list[str]:
        lines = [
            "IPVS connection entries",
            "pro expire state       source             virtual            destination",
        ]
        for c in self.connections:
            address, port = c.server
            destination = self.endpoint(address, port or int(c.virtual.rpartition(":")[2]))
            lines.append(f"{c.protocol:<3} 01:59  {c.state:<11} {c.client:<18} {c.virtual:<18} {destination}")
        return lines

    @staticmethod
    def order(name: tuple) -> tuple:
        mark = struct.unpack("i", struct.pack("I", name[2]))[0] if name[0] == "FWM" else 0
        address = int(ipaddress.ip_address(name[1])) if name[0] != "FWM" else 0
        return mark, name[1] == "IPv6" or ":" in name[1], PROTOCOLS[name[0]], address, name[2]

    @staticmethod
    def sorted(dests: dict) -> list:
        """The real servers as ipvsadm prints them; the kernel has the newest first."""

        def rank(entry: tuple) -> tuple:
            (address, port), _dest = entry
            ip = ipaddress.ip_address(address)
            return ip.version, int(ip), port

        return sorted(dests.items(), key=rank)

    @staticmethod
    def endpoint(address: str, port: int) -> str:
        # inet_ntop is what ipvsadm uses: it writes some IPv6 addresses in another way than Python does.
        if ":" in address:
            packed = socket.inet_pton(socket.AF_INET6, address)
            return f"[{socket.inet_ntop(socket.AF_INET6, packed)}]:{port}"
        return f"{address}:{port}"

    def listed(self, name: tuple) -> str:
        if name[0] == "FWM":
            signed = struct.unpack("i", struct.pack("I", name[2]))[0]
            return f"FWM  {signed}" + (" IPv6" if name[1] else "")
        return f"{name[0]:<4} {self.endpoint(name[1], name[2])}"

    def remarks(self, name: tuple) -> str:
        virtual = self.virtuals[name]
        text = f" {virtual.scheduler}"
        if virtual.flags:
            text += f" ({self.flag_names(virtual)})"
        return text + (f" persistent {virtual.timeout}" if virtual.timeout else "")

    @staticmethod
    def flag_names(virtual: Virtual) -> str:
        names = NAMED.get(virtual.scheduler, FLAG_BITS)
        return ",".join(name for name, bit in names.items() if virtual.flags & bit)

    def saved(self, name: tuple) -> list[str]:
        virtual = self.virtuals[name]
        option = {"TCP": "-t", "UDP": "-u", "SCTP": "--sctp-service", "FWM": "-f"}[name[0]]
        if name[0] == "FWM":
            option += " %d" % struct.unpack("i", struct.pack("I", name[2]))[0] + (" -6" if name[1] else "")
        else:
            option += " " + self.endpoint(name[1], name[2])
        line = f"-A {option} -s {virtual.scheduler}"
        if virtual.timeout:
            line += f" -p {virtual.timeout}"
            if virtual.netmask not in ("128", "255.255.255.255"):
                line += f" -M {virtual.netmask}"
        if virtual.engine:
            line += f" --pe {virtual.engine}"
        if virtual.ops:
            line += " -o"
        if virtual.flags:
            line += f" -b {self.flag_names(virtual)}"
        lines = [line]
        for (address, port), dest in self.sorted(virtual.dests):
            line = f"-a {option} -r {self.endpoint(address, port)} {dest.forward} -w {dest.weight}"
            lines.append(line + (f" {dest.tunnel}" if dest.forward == "-i" else ""))
        return lines
