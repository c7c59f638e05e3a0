"""What happens to readers and writers when a director or an image server goes away, on purpose or not.

Counts and order are asserted, and no seconds but where a bound is many times what the timers make (figures: make bench-ha).
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
# Seconds, more than ten times what the timers make of the loss of a director, and three times of that of an image server.
TAKEN_OVER = 12
EJECTED = 20


def serves6(directors, node) -> str:
    """What a reader in the directors' own network is answered at the IPv6 VIP."""
    vip = next(vip for vip in directors.vips if ":" in vip)
    return node("tracker1").run(f"curl -s -m 10 -o /dev/null -w '%{{http_code}}' 'http://[{vip}]/'").stdout


def served_without(seen, server: str) -> None:
    assert seen.losses() == {}
    assert server not in seen.report["new"]["servers"]


@pytest.fixture(scope="module")
def dead(directors, power, reading, writing, wait):
    """A director whose power was cut while it carried the VIP, and what a reader and a writer saw meanwhile."""
    holder = directors.settle()
    # What site.yml has just written for the first time may be in memory only, for half a minute. After a cut in it, it has to run again.
    directors.pair[holder].check_output("sync")
    with writing() as written, reading() as seen:
        power.off(holder)
        wait(lambda: directors.holders(holder), "the other director carries the VIP", TAKEN_OVER)
        time.sleep(2)
    yield holder, seen, written
    power.on(holder)


def test_a_dead_directors_vips_are_on_the_other_and_readers_are_served_again(dead, directors, node, reading):
    holder, seen, _ = dead
    assert directors.carried(directors.holder(holder)) == set(directors.vips)
    assert serves6(directors, node) == "200"
    assert seen.report["new"]["gap"] < TAKEN_OVER
    with reading() as later:
        pass
    assert later.losses() == {}
    assert later.report["new"]["ok"] > 10


def test_a_dead_director_costs_no_upload(dead):
    *_, written = dead
    assert written.acknowledged > 0
    assert written.failed == 0
    assert written.missing() == {}


def test_a_director_that_comes_back_takes_nothing(dead, directors, power, reading, wait):
    holder, *_ = dead
    with reading(downloads=20) as seen:
        power.on(holder)
        wait(
            lambda: directors.pair[holder].run("systemctl is-active keepalived").rc == 0,
            "keepalived runs again",
        )
        time.sleep(5)
    assert directors.settle() != holder
    assert seen.losses() == {}


def test_a_planned_switchover_fails_no_request_and_breaks_no_download(directors, begin, node, reading):
    holder = directors.settle()
    assert serves6(directors, node) == "200"
    with reading(downloads=50, rate=5000) as seen:
        played = begin(PROJECT / "playbooks" / "switchover.yml")()
    assert played.status == 0, played.said
    assert directors.carried(holder) == set()
    assert directors.carried(directors.settle()) == set(directors.vips)
    assert serves6(directors, node) == "200"
    assert "new" not in seen.losses(), seen.losses()
    assert "downloads" not in seen.losses(), seen.losses()


def test_after_a_partition_there_is_one_holder_and_the_readers_network_knows_it(directors, node, wait):
    directors.settle()
    with directors.parted():
        wait(lambda: len(directors.holders()) == 2, "the partition makes two holders", TAKEN_OVER)
    wait(lambda: directors.known_to(node("router1")), "the router knows the one holder", 2 * TAKEN_OVER)


def test_directors_that_stood_still_agree_again(directors, power, reading, wait):
    """As when the machines below them were suspended: one that wakes takes over, and hears in the same moment that it must not."""
    directors.settle()
    for _ in range(3):
        for name in directors.pair:
            power.freeze(name)
        time.sleep(5)
        for name in directors.pair:
            power.thaw(name)
        wait(lambda: len(directors.holders()) == 1, "there is one holder", TAKEN_OVER)
        time.sleep(2)
    directors.settle()
    with reading() as seen:
        pass
    assert seen.losses() == {}


@pytest.mark.parametrize("way", ["stops", "freezes"])
def test_a_dead_image_server_is_removed_and_then_nobody_waits_for_it(
    directors, node, hostvars, power, reading, way, wait
):
    server, address = "image2", hostvars("image2")["ansible_host"]
    holder = directors.settle()
    if way == "stops":
        node(server).check_output("systemctl stop nginx")
    else:
        power.freeze(server)
    try:
        wait(lambda: directors.weight(holder, address) is None, f"{server} is removed", EJECTED)
        wait(
            lambda: directors.weight(directors.other(), address) is None,
            f"{server} is removed there, too",
            EJECTED,
        )
        with reading() as seen:
            time.sleep(2)
        served_without(seen, server)
    finally:
        if way == "stops":
            node(server).check_output("systemctl start nginx")
        else:
            power.thaw(server)
    wait(lambda: directors.weight(holder, address) == 1, f"{server} is back", EJECTED)


# Asks that server again and again on one connection, until it is closed.
KEEPER = """
import http.client, sys, time
vip, server = sys.argv[1:]
def ask(link):
    link.request("GET", "/")
    answer = link.getresponse()
    answer.read()
    return answer.headers["X-Image-Server"]
while ask(link := http.client.HTTPConnection(vip, timeout=15)) != server:
    link.close()
link.auto_open = False
print("open", flush=True)
try:
    while ask(link) == server:
        time.sleep(0.05)
except (http.client.HTTPException, OSError):
    pass
"""


@pytest.fixture
def keeper(nodes, vips, wait):
    """keeper("image2"): a reader that has a connection to that server and would go on asking on it for ever; its unit on the reader's host."""
    reader = nodes("image_readers")[0]

    def start(server: str):
        reader.check_output(f"cat >/var/tmp/keeper.py <<'EOF'\n{KEEPER}\nEOF")
        told = "--property=StandardOutput=file:/var/tmp/keeper.out"
        run = f"systemd-run --quiet --collect {told} --unit=keeper python3 /var/tmp/keeper.py {vips[0]} {server}"
        reader.check_output(f"rm -f /var/tmp/keeper.out; {run}")
        wait(lambda: reader.run("cat /var/tmp/keeper.out").stdout == "open\n", f"it is connected to {server}")
        return reader.service("keeper")

    yield start
    reader.run("systemctl stop keeper")


@pytest.fixture
def drain(begin):
    """drain("image2", "--check") plays drain.yml."""
    return lambda server, *words: begin(
        PROJECT / "playbooks" / "drain.yml", "-e", f"server={server}", *words
    )()


def test_a_drain_lets_downloads_end_and_sends_nobody_new(directors, drain, begin, hostvars, keeper, reading):
    server, address = "image2", hostvars("image2")["ansible_host"]
    holder = directors.settle()
    kept = keeper(server)
    with reading(downloads=20, rate=60000) as seen:
        checked = drain(server, "--check")
        assert checked.status == 0, checked.said
        assert [directors.weight(name, address) for name in directors.pair] == [1, 1]
        assert kept.is_running and directors.active(holder, address) > 1
        played = drain(server, "-e", "timeout=120")
        # Whoever reads, reads elsewhere by now.
        assert directors.active(holder, address) == 0
        assert not kept.is_running
        with_weight = [directors.weight(name, address) for name in directors.pair]
    assert played.status == 0, played.said
    assert with_weight == [0, 0]
    assert seen.losses(closing=True) == {}
    with reading() as seen:
        time.sleep(1)
    served_without(seen, server)
    again = drain(server)
    assert (again.status, sum(again.changed.values())) == (0, 0)
    assert f"{server} is drained already" in again.said
    last = drain("image1")
    assert last.status != 0
    assert "has no image server left to send readers to" in " ".join(last.said.split())
    assert set(last.changed.values()) == {0}
    back = begin(PROJECT / "playbooks" / "undrain.yml", "-e", f"server={server}")()
    assert back.status == 0, back.said
    assert [directors.weight(name, address) for name in directors.pair] == [1, 1]


def test_a_drain_that_was_interrupted_is_completed(directors, drain, begin, hostvars, keeper, node, wait):
    server, address = "image2", hostvars("image2")["ansible_host"]
    directors.settle()
    kept = keeper(server)
    node(server).check_output("touch /var/lib/nginx-image/drain")
    wait(lambda: [directors.weight(name, address) for name in directors.pair] == [0, 0], "both have seen it")
    assert kept.is_running
    assert drain(server, "-e", "timeout=120").status == 0
    assert not kept.is_running
    assert begin(PROJECT / "playbooks" / "undrain.yml", "-e", f"server={server}")().status == 0


def test_all_servers_are_drained_at_once_where_that_is_asked_for(directors, drain, begin, hostvars):
    directors.settle()
    both = "image1,image2"
    addresses = [hostvars(server)["ansible_host"] for server in both.split(",")]

    def weights() -> set[int | None]:
        return {directors.weight(name, address) for name in directors.pair for address in addresses}

    refused = drain(both)
    assert refused.status != 0
    assert "Without image1 and image2, director1 has no image server left" in " ".join(refused.said.split())
    assert weights() == {1}
    played = drain(both, "-e", "force=true")
    assert played.status == 0, played.said
    assert weights() == {0}
    back = begin(PROJECT / "playbooks" / "undrain.yml", "-e", f"server={both}")()
    assert back.status == 0, back.said
    assert weights() == {1}


def test_a_drain_of_nobody_is_refused(drain):
    played = drain("image3")
    assert played.status != 0
    assert "-e server=image3 names no image server: write -e server= with one of image1, image2." in " ".join(
        played.said.split()
    )


def test_forged_adverts_from_a_strangers_address_move_nothing(directors, node, hostvars):
    directors.settle()
    before = directors.transitions()
    targets = " ".join(hostvars(name)["ansible_host"] for name in directors.pair)
    sent = node("tracker1").check_output(f"python3 - {targets} <<'EOF'\n{FORGER}\nEOF")
    assert sent == "1000"
    time.sleep(2)
    assert directors.transitions() == before


# VRRP version 3 adverts of priority 255 for the router id 51, with the TTL and the checksum (RFC 5798, 5.2.8) that they must have.
FORGER = """
import socket, struct, sys, time
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.connect((sys.argv[1], 9))
source = own.getsockname()[0]
link = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
link.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
sent = 0
for _ in range(500):
    for target in sys.argv[1:]:
        body = struct.pack("!BBBBHH4s", 0x31, 51, 255, 1, 30, 0, socket.inet_aton("10.205.0.100"))
        pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, 112, len(body))
        value = checksum(pseudo + body)
        link.sendto(body[:6] + struct.pack("!H", value) + body[8:], (target, 0))
        sent += 1
    time.sleep(0.002)
print(sent)
"""


def test_busy_directors_stay_what_they_are(directors):
    directors.settle()
    before = directors.transitions()
    directors.busy(60)
    time.sleep(62)
    assert directors.transitions() == before
