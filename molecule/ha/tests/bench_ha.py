"""The figures of docs/performance.md: how long readers miss something, with ten rounds or more of each event.

Not collected by the scenario (its name does not begin with test_): `make bench-ha` runs it on the scenario's hosts and prints tables.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
ROUNDS = int(os.environ.get("IMAGEOPS_ROUNDS", "10"))
# Seconds between adverts, and the lowest priority of the two (plugins/plugin_utils/cluster.py): the one that takes over later.
PROFILES = {"standard": 1.0, "fast": 0.3, "faster": 0.1}
PRIORITIES = {"director1": 250, "director2": 230}
# Prints the longest time between two adverts that a host was sent, in seconds.
LISTENER = """
import socket, sys, time
link = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
link.settimeout(0.1)
end, last, longest = time.monotonic() + float(sys.argv[1]), None, 0.0
while time.monotonic() < end:
    try:
        link.recv(100)
    except socket.timeout:
        continue
    now = time.monotonic()
    longest = max(longest, now - (last or now))
    last = now
print(longest)
"""


def percentile(values: list[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, round(share * (len(ranked) - 1)))]


def row(name: str, values: list[float], *more: object) -> None:
    figures = [statistics.median(values), percentile(values, 0.95), max(values)]
    cells = [name, len(values), *(f"{figure:.2f} s" for figure in figures), *more]
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(title: str, *more: str) -> None:
    print(f"\n| {title} | rounds | p50 | p95 | max | {' | '.join(more)} |")
    print("|---|---:|---:|---:|---:|" + "---|" * len(more), flush=True)


@pytest.fixture(scope="module", params=os.environ.get("IMAGEOPS_PROFILES", "fast,faster").split(","))
def profile(request, begin):
    played = begin(PROJECT / "playbooks" / "site.yml", "-e", f"image_cluster_failover={request.param}")()
    assert played.status == 0, played.said
    return request.param


def test_a_director_is_killed_and_comes_back(profile, directors, power, reading, wait):
    gaps, over, lost_later = [], [], 0
    for _ in range(ROUNDS):
        holder = directors.settle()
        other = directors.other()
        advert = PROFILES[profile]
        formula = 3 * advert + advert * (256 - PRIORITIES[other]) / 256
        with reading() as seen:
            power.off(holder)
            wait(lambda: directors.carries(other), "taken over")  # noqa: B023
            time.sleep(1)
        gaps.append(seen.report["new"]["gap"])
        over.append(gaps[-1] - formula)
        with reading() as seen:
            power.on(holder)
            time.sleep(5)
        lost_later += seen.failures("new") + seen.failures("kept") + seen.report["kept"]["again"]
    head(
        f"a director is killed, timers {profile}",
        "over the formula (p50)",
        "failed requests while it comes back",
    )
    row("gap of new connections", gaps, f"{statistics.median(over):+.2f} s", lost_later)


def test_the_vips_are_moved_on_purpose(profile, directors, begin, reading):
    gaps, failed, broken, started = [], 0, 0, 0
    for _ in range(ROUNDS):
        directors.settle()
        with reading(downloads=20, rate=4000) as seen:
            assert begin(PROJECT / "playbooks" / "switchover.yml")().status == 0
        gaps.append(seen.report["new"]["gap"])
        failed += seen.failures("new")
        broken += sum(seen.report["downloads"]["broken"].values())
        started += seen.report["downloads"]["started"]
    head(f"planned switchover, timers {profile}", "failed new requests", "broken downloads")
    row("gap of new connections", gaps, failed, f"{broken} of {started}")


def test_a_partition_heals(profile, directors, node, wait):
    seconds = []
    for _ in range(ROUNDS):
        directors.settle()
        with directors.parted():
            wait(lambda: len(directors.holders()) == 2, "two holders")
        seconds.append(wait(lambda: directors.known_to(node("router1")), "the router knows the one holder"))
    head(f"a partition between the directors heals, timers {profile}", "asked every 0.2 s over ssh")
    row("seconds to one holder that the readers' router knows", seconds, "")


def test_directors_are_busy(profile, directors):
    """The directors' own CPUs: the machine below them has others."""
    holder, other = directors.settle(), directors.other()
    before = directors.transitions()
    listen = ["python3", "-c", f"'{LISTENER}'", "60"]
    longest = []
    for _ in range(ROUNDS):
        directors.busy(62)
        longest.append(float(directors.pair[other].check_output(" ".join(listen))))
        time.sleep(3)
    head(f"60 s with every CPU of the directors busy, timers {profile}", "transitions")
    changes = sum(len(lines) for lines in directors.transitions().values()) - sum(map(len, before.values()))
    row(f"longest time between two adverts of {holder}", longest, changes)


def test_a_server_is_drained(profile, directors, begin, reading):
    seconds, lost, late = [], 0, 0
    for _ in range(ROUNDS):
        directors.settle()
        with reading(downloads=20, rate=60000) as seen:
            began = time.monotonic()
            assert begin(PROJECT / "playbooks" / "drain.yml", "-e", "server=image2")().status == 0
            seconds.append(time.monotonic() - began)
        losses = seen.losses(closing=True)
        lost += bool(losses)
        if losses:
            print(f"lost: {losses}", flush=True)
        with reading() as seen:
            pass
        late += "image2" in seen.report["new"]["servers"]
        assert begin(PROJECT / "playbooks" / "undrain.yml", "-e", "server=image2")().status == 0
    head(
        f"an image server is drained under downloads of 5 s, timers {profile}",
        "rounds with losses",
        "with readers afterwards",
    )
    row("seconds of drain.yml", seconds, lost, late)


def test_an_image_server_dies(profile, directors, node, hostvars, power, reading, wait):
    address = hostvars("image2")["ansible_host"]
    for way in ("its nginx stops", "it freezes"):
        seconds, errors = [], []
        for _ in range(ROUNDS):
            holder = directors.settle()
            wait(lambda: directors.weight(holder, address) == 1, "image2 is back")  # noqa: B023
            with reading() as seen:
                if way == "it freezes":
                    power.freeze("image2")
                else:
                    node("image2").check_output("systemctl stop nginx")
                seconds.append(wait(lambda: directors.weight(holder, address) is None, "image2 is removed"))  # noqa: B023
            errors.append(seen.failures("new"))
            if way == "it freezes":
                power.thaw("image2")
            else:
                node("image2").check_output("systemctl start nginx")
        head(f"an image server dies ({way}), timers {profile}", "failed of 50 new requests a second (p50)")
        row("seconds to its removal", seconds, statistics.median(errors))
