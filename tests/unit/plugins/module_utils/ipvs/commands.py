# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random texts for ``ipvsadm -R``, right and wrong, about few objects so that lines meet; and listings in comparable form."""

from __future__ import annotations

import random

SERVICES = {
    "ipv4": ["-t 192.0.2.1:80", "-u 192.0.2.1:80", "--sctp-service 192.0.2.2:9", "-f 1", "-f 4294967295"],
    "ipv6": ["-t [2001:db8::1]:80", "-u [2001:db8::1]:53", "-f 1 -6"],
}
REALS = {
    "ipv4": ["10.0.0.1", "10.0.0.2", "10.0.0.1:81"],
    "ipv6": ["[2001:db8:1::1]:80", "[2001:db8:1::2]:80"],
}
SCHEDULERS = ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"]
FLAGS = {"sh": ["sh-port", "sh-fallback", "sh-port,sh-fallback"], "mh": ["mh-port", "mh-fallback,mh-port"]}
TUNNELS = [
    "--tun-type ipip",
    *(f"--tun-type gue --tun-port 6080 {sums}" for sums in ("--tun-nocsum", "--tun-csum", "--tun-remcsum")),
    *(f"--tun-type gre {sums}" for sums in ("--tun-nocsum", "--tun-csum")),
]
# What ipvsadm or the kernel refuses, each for a reason of its own.
WRONG = [
    "-A -t 192.0.2.1:80 -s bogus",
    "-A -t 192.0.2.3:0 -s rr",
    "-A -t 192.0.2.3:80 -s rr -b mh-port",
    "-A -t 192.0.2.3:80 -s rr -o",
    "-A -t 192.0.2.3:80 -s rr -p 2678401",
    "-A -t 192.0.2.3:80 -s rr --pe bogus -p 9",
    "-A -f 0 -s rr",
    "-A -s rr",
    "-E -t 192.0.2.9:80 -s rr",
    "-D -t 192.0.2.9:80",
    "-a -t 192.0.2.9:80 -r 10.0.0.1",
    "-a -t 192.0.2.1:80 -r 224.0.0.1",
    "-a -t 192.0.2.1:80 -r 0.0.0.0",
    "-a -t 192.0.2.1:80 -r 10.0.0.1 -x 1 -y 2",
    "-a -t 192.0.2.1:80 -r 10.0.0.1 -w -1",
    "-a -t 192.0.2.1:80 -r [2001:db8:1::1]:80 -g",
    "-a -t 192.0.2.1:80 -r 10.0.0.1 -i --tun-type gue",
    "-a -t 192.0.2.1:80 -r 10.0.0.1 --colour red",
    "-e -t 192.0.2.1:80 -r 10.9.9.9",
    "-d -t 192.0.2.1:80 -r 10.9.9.9",
    "--set 2678401 1 1",
    "--start-daemon master --mcast-interface eth9",
    "--stop-daemon backup",
    "# a comment",
]


def service(draw: random.Random, family: str) -> str:
    verb = draw.choice(["-A", "-A", "-A", "-E", "-D"])
    name = draw.choice(SERVICES[family])
    if verb == "-D":
        return f"-D {name}"
    words = [verb, name]
    scheduler = "wlc"
    if draw.random() < 0.9:
        scheduler = draw.choice(SCHEDULERS)
        words.append(f"-s {scheduler}")
    if draw.random() < 0.3:
        words.append(f"-p {draw.choice([1, 360, 2678400])}")
        if draw.random() < 0.5:
            words.append(
                "-M " + draw.choice(["255.255.255.0", "255.0.255.0"] if family == "ipv4" else ["64"])
            )
        if draw.random() < 0.3:
            words.append("--pe sip")
    if name.startswith(("-u", "-f")) and draw.random() < 0.3:
        words.append("-o")
    if draw.random() < 0.3:
        words.append("-b " + draw.choice(FLAGS.get(scheduler, ["flag-1", "flag-2,flag-3"])))
    return " ".join(words)


def server(draw: random.Random, family: str) -> str:
    verb = draw.choice(["-a", "-a", "-a", "-e", "-d"])
    name = draw.choice(SERVICES[family])
    forward = draw.choice(["-g", "-i", "-m"])
    if forward == "-i" and draw.random() < 0.2:
        family = "ipv6" if family == "ipv4" else "ipv4"
    words = [verb, name, "-r", draw.choice(REALS[family])]
    if verb == "-d":
        return " ".join(words)
    if forward != "-g" or draw.random() < 0.5:
        words.append(forward)
    if draw.random() < 0.7:
        words.append(f"-w {draw.choice([0, 1, 7, 65535, 70000])}")
    if draw.random() < 0.3:
        words.append(f"-x {draw.choice([5, 70000])} -y {draw.choice([0, 5])}")
    if forward == "-i" and draw.random() < 0.7:
        words.append(draw.choice(TUNNELS))
    return " ".join(words)


def other(draw: random.Random) -> str:
    role = draw.choice(["master", "backup"])
    return draw.choice(
        [
            f"--set {draw.choice([0, 600])} {draw.choice([0, 60])} {draw.choice([0, 30])}",
            f"--start-daemon {role} --mcast-interface {draw.choice(['eth0', 'eth1'])} --syncid {draw.randrange(3)}",
            f"--stop-daemon {role}",
        ]
    )


def text(seed: float, wrong: float = 0.1) -> str:
    """Up to twenty lines; the same for the same seed.

    None stops a daemon that it has started: when the daemon has not run yet, Linux 6.1 does not answer, and ipvsadm waits for ever.
    """
    draw = random.Random(seed)
    lines = []
    for _number in range(draw.randint(1, 20)):
        family = draw.choice(["ipv4", "ipv4", "ipv6"])
        if draw.random() < wrong:
            lines.append(draw.choice(WRONG))
        elif draw.random() < 0.1:
            lines.append(other(draw))
        else:
            lines.append(draw.choice([service, server, server])(draw, family))
        if lines[-1].startswith("--stop-daemon") and any(line.startswith("--start-daemon") for line in lines):
            lines.pop()
    return "\n".join(lines) + "\n"


def state(listing: str) -> dict[str, list[str]]:
    """What READ printed: every service, of each listing, with its real servers, in their order."""
    found: dict[str, list[str]] = {}
    subject = ""
    for line in listing.splitlines():
        words = line.split()
        if line.startswith(("IP Virtual", "Prot ", "  -> Remote")) or not words:
            continue
        if words[0] in ("TCP", "UDP", "SCTP", "FWM"):  # its settings are what -S says
            subject = " ".join(words[: 3 if words[2] == "IPv6" else 2])
            found[subject] = []
        elif words[0] in ("-a", "->"):
            found[subject].append(" ".join(words))
        else:
            subject = " ".join(words)
            found[subject] = []
    return found
