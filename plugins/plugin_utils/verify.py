# Copyright: imageops.lvs_fastdfs contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the answers of a cluster say about it: pure judgements for ``playbooks/verify.yml``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import reduce
from math import ceil, gcd
from typing import Any

from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils.cluster_firewall import STORAGE_PORT

ROTATING = ("rr", "wrr")
# One reader asking for one VIP always meets one server.
STICKY = ("sh", "dh", "mh", "lblc", "lblcr", "fo", "ovf")
BY_PORT = ("sh-port", "mh-port")
MIN_REQUESTS = 40
MAX_REQUESTS = 400


def promise(scheduler: str, flags: Sequence[str], persistent: bool) -> str:
    """What a scheduler promises one reader: ``proportion``, ``one server``, or ``any server``."""
    if persistent or (scheduler in STICKY and not set(flags) & set(BY_PORT)):
        return "one server"
    return "proportion" if scheduler in ROTATING else "any server"


def effective(weights: Mapping[str, int], scheduler: str) -> dict[str, int]:
    """The shares that a scheduler gives to servers that are not drained: ``rr`` looks at no weight but 0."""
    return {
        host: (1 if scheduler == "rr" else int(weight)) for host, weight in weights.items() if int(weight) > 0
    }


def requests_needed(weights: Mapping[str, int], scheduler: str) -> int:
    """How many requests show the shares: whole rounds of the weights, at least 40 and at most 400."""
    shares = effective(weights, scheduler)
    if not shares:
        return 0
    cycle = sum(shares.values()) // reduce(gcd, shares.values())
    return min(MAX_REQUESTS, cycle * ceil(MIN_REQUESTS / cycle))


def spread_problems(
    served: Mapping[str, int],
    weights: Mapping[str, int],
    scheduler: str,
    flags: Sequence[str] = (),
    persistent: bool = False,
    tolerance: float = 0.1,
) -> list[str]:
    """What is wrong with who answered how often, as sentences.

    ``served`` counts the good answers of each server, ``weights`` holds every server's weight in the director's table, ``tolerance``
    is how far a share may be from the promised one (other readers' requests come between ours).
    """
    shares = effective(weights, scheduler)
    total = sum(served.values())
    promised = promise(scheduler, flags, persistent)
    said = [
        f"{server or 'A server without a name'} answered {count} of {total} requests, and "
        + (
            "its weight is 0: it should get none."
            if server in weights
            else "it is no image server of this cluster."
        )
        for server, count in served.items()
        if server not in shares
    ]
    if promised == "one server" and len(served) > 1:
        said.append(
            f"One reader met {len(served)} servers ({', '.join(sorted(served))}), and {scheduler}"
            f"{' with persistence' if persistent else ''} promises one."
        )
    if promised == "proportion" and total:
        for server, share in sorted(shares.items()):
            ideal = share / sum(shares.values())
            seen = served.get(server, 0) / total
            if abs(seen - ideal) > tolerance:
                said.append(
                    f"{server} answered {served.get(server, 0)} of {total} requests ({seen:.0%}), and {scheduler} promises it {ideal:.0%}."
                )
    return said


def table_lines(services: Sequence[Mapping[str, Any]]) -> list[str]:
    """The director's table for a reader of the report, one line a virtual service and a real server."""
    lines = []
    for service in services:
        if service.get("fwmark"):
            name = f"firewall mark {service['fwmark']}"
        else:
            name = f"{service['protocol']} {service['address']}:{service['port']}"
        lines.append(f"{name} {service['scheduler']}")
        lines += [
            f"  {server['address']} {server['forward']} weight {server['weight']}: {server.get('connections', 0)} connections"
            for server in service["servers"]
        ]
    return lines


def direct_problems(servers: Sequence[str], answers: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with the answers of servers that were asked directly: each should give its own page.

    ``answers`` are those of the module ``image_probe``, one a server, in the servers' order.
    """
    said = []
    for server, answer in zip(servers, answers):
        if answer["status"] == 200 and answer["server"] == server:
            continue
        if answer["status"] == 0:
            seen = f"it did not answer: {answer['error']}"
        else:
            seen = f"the answer was {answer['status']} from {answer['server'] or 'somebody without a name'}"
        said.append(
            f"{server}, asked directly at {answer['url']}, should answer 200 under its own name; {seen}."
        )
    return said


def upload_targets(plan: Mapping[str, Any]) -> list[str]:
    """Where to upload so that every group gets an image, as the last argument of ``fdfs_upload_file``.

    An empty one leaves it to a tracker, as the article does. ``plan`` is ``image_cluster_plan``.
    """
    first: dict[str, str] = {}
    for host in plan["roles"]["image_servers"]:
        member = plan["members"][host]
        first.setdefault(member["group"], f"{member['address']}:{STORAGE_PORT}")
    return ["", *first.values()] if len(first) > 1 else [""]


def wrong_answers(answers: Sequence[Mapping[str, Any]], images: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Those of the answers of ``image_probe`` that are not the image whose name was asked for.

    ``images`` gives the SHA-256 of each file id; a URL ends with a file id or with its bare name, and a token may follow.
    """
    sums = {file_id.rsplit("/", 1)[-1]: sha256 for file_id, sha256 in images.items()}
    return [
        each for each in answers if each["sha256"] != sums.get(each["url"].split("?")[0].rsplit("/", 1)[-1])
    ]


def links(paths: Sequence[str], secret: str, made: int) -> list[str]:
    """File ids and bare names as a reader asks for them: with FastDFS's token (fdfs_http_gen_token) where there is a secret.

    ``made`` is the time of the token in seconds since 1970. A bare name lies in the first directory of the first store path.
    """
    if not secret:
        return list(paths)
    ids = [path.split("/", 1)[1] if "/" in path else f"M00/00/00/{path}" for path in paths]
    tokens = [hashlib.md5(f"{each}{secret}{made}".encode()).hexdigest() for each in ids]
    return [f"{path}?token={token}&ts={made}" for path, token in zip(paths, tokens)]
