"""The figures of docs/performance.md on reading and writing images, all from one run on the hosts of `make demo`.

Not collected by the scenario (its name does not begin with test_): `make bench-http` runs it and prints tables.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
BENCH = PROJECT / "tests" / "bench"
ROUNDS = int(os.environ.get("IMAGEOPS_ROUNDS", "5"))
SECONDS = int(os.environ.get("IMAGEOPS_SECONDS", "3"))
MANY = int(os.environ.get("IMAGEOPS_UPLOADS", "100000"))
SIZES = {"4 KB": 4096, "17 KB": 17408, "100 KB": 102400}
# On the hosts; gone with them.
FOLDER = "/opt/imageops-bench"
TOOL = f"PYTHONPATH={FOLDER} python3 {FOLDER}/images.py"
# Both have the store as /group1/M00, as our site has.
BARE = f"""server {{
    listen 8081;
    root {FOLDER}/root;
    location / {{ try_files $uri $uri/ =404; }}
}}
"""
TUNED = """user www-data;
worker_processes auto;
pid /run/bench-PORT.pid;
error_log /dev/null;
events { worker_connections 16384; multi_accept on; }
http {
    include /etc/nginx/mime.types;
    SENDING
    access_log off;
    keepalive_requests 1000000;
    open_file_cache max=8000 inactive=60s;
    open_file_cache_valid 60s;
    server {
        listen PORT reuseport backlog=4096;
        root FOLDER/root;
    }
}
"""
SERVERS = {"(a) our site": 80, "(b) distribution's": 8081, "(c) hand-tuned": 8082, "(c) with sendfile": 8083}
SENDING = {8082: "sendfile off; output_buffers 1 128k;", 8083: "sendfile on; tcp_nopush on;"}


def table(*rows: list) -> None:
    head, *body = [[str(cell) for cell in row] for row in rows]
    print()
    for row in [head, ["---"] + ["---:"] * (len(head) - 1), *body]:
        print("| " + " | ".join(row) + " |", flush=True)


def give(host, *files: Path) -> None:
    """The bench's tools and the collection's FastDFS client on a host of the lab."""
    reached = ["ssh", "-F", str(PROJECT / ".ansible" / "lab" / "ssh_config"), host.name]
    package = "ansible_collections/imageops/lvs_fastdfs/plugins/module_utils/fastdfs"
    packed = subprocess.run(
        ["tar", "--create", "--dereference", "--exclude=__pycache__", package],
        cwd=PROJECT / ".ansible" / "collections",
        check=True,
        capture_output=True,
    )
    tar = f"mkdir -p {FOLDER} && tar --extract --directory {FOLDER}"
    subprocess.run([*reached, tar], input=packed.stdout, check=True)
    for file in files:
        subprocess.run([*reached, f"cat >{FOLDER}/{file.name}"], input=file.read_bytes(), check=True)


def tool(host, words: str) -> dict:
    done = host.run(f"{TOOL} {words}")
    assert done.rc == 0, done.stderr
    if "stalled" in done.stderr:
        print(
            f"{words}: {done.stderr.count('stalled')} connections were not answered for five seconds",
            flush=True,
        )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def reader(node):
    host = node("reader1")
    give(host, BENCH / "images.py", BENCH / "requests.lua")
    host.check_output("apt-get update -q && apt-get install -q -y --no-install-recommends wrk")
    return host


@pytest.fixture(scope="module")
def writer(node):
    give(node("tracker1"), BENCH / "images.py")
    return node("tracker1")


@pytest.fixture(scope="module")
def images(writer, reader, node, wait, hostvars):
    """Files with the ids of 400 images of each size that both image servers have; by the size's name."""
    files = {}
    for name, size in SIZES.items():
        files[name] = f"{FOLDER}/{size}.ids"
        writer.check_output(f"rm -f {files[name]}")
        tool(
            writer,
            f"upload {hostvars('tracker1')['ansible_host']} --size {size} --count 400 --ids {files[name]}",
        )
        ids = writer.check_output(f"cat {files[name]}")
        for host in (reader, node("image1"), node("image2")):
            host.check_output(f"mkdir -p {FOLDER} && cat >{files[name]} <<'END'\n{ids}\nEND")
        paths = f"sed 's|^group1/M00|/data/fastdfs/data|' {files[name]} | xargs ls"
        for host in (node("image1"), node("image2")):
            wait(lambda: host.run(paths).rc == 0, f"{host.name} has the images")  # noqa: B023
    return files


@pytest.fixture(scope="module")
def server(node):
    """image1, with two bare nginx beside our site."""
    host = node("image1")
    give(host, BENCH / "images.py")
    host.check_output(f"mkdir -p {FOLDER}/root/group1 && ln -sfn /data/fastdfs/data {FOLDER}/root/group1/M00")
    original = host.check_output("cat /etc/nginx/nginx.conf.set-aside").replace(
        "/run/nginx.pid", "/run/bench-bare.pid"
    )
    bare = original.replace("/etc/nginx/conf.d/*.conf", f"{FOLDER}/bare.site").replace(
        "include /etc/nginx/sites-enabled/*;", ""
    )
    for path, text in {
        "bare.site": BARE,
        "bare.conf": bare.replace(
            "access_log /var/log/nginx/access.log", "access_log /var/log/nginx/bench.log"
        ),
        **{
            f"tuned-{port}.conf": TUNED.replace("PORT", str(port))
            .replace("SENDING", sending)
            .replace("FOLDER", FOLDER)
            for port, sending in SENDING.items()
        },
    }.items():
        host.check_output(f"cat >{FOLDER}/{path} <<'END'\n{text}\nEND")
    others = ["bare", *(f"tuned-{port}" for port in SENDING)]
    for name in others:
        unit = f"systemd-run --quiet --collect --unit=bench-{name} --property=LimitNOFILE=20000"
        host.check_output(f"{unit} nginx -c {FOLDER}/{name}.conf -g 'daemon off;'")
    yield host
    host.check_output(
        f"systemctl stop {' '.join(f'bench-{name}' for name in others)}; rm -rf {FOLDER} /var/log/nginx/bench.log"
    )


def ask(reader, address: str, port: int, ids: str, new: bool, seconds: int = SECONDS) -> dict:
    """What wrk saw: one thread, 16 connections."""
    said = reader.check_output(
        f"wrk -t 1 -c 16 -d {seconds} --latency -s {FOLDER}/requests.lua http://{address}:{port} -- {ids} {'close' if new else ''}"
    )
    seen = json.loads(said.splitlines()[-1])
    # wrk counts every connection that the server closes as one that failed to be read.
    assert new or seen["failed"] == 0, said
    return {**seen, "rate": seen["requests"] / seen["seconds"]}


def test_warm_images_are_served_beside_a_bare_nginx(reader, server, images, hostvars):
    address = hostvars("image1")["ansible_host"]
    rows = [["images, connections", *(f"{name}, req/s" for name in SERVERS), "(a) : (b)", "(a) : (c)"]]
    for size, ids in images.items():
        for new in (False, True):
            rates: dict[str, list[float]] = {name: [] for name in SERVERS}
            for _ in range(ROUNDS + 1):
                for name, port in SERVERS.items():
                    rates[name].append(ask(reader, address, port, ids, new)["rate"])
            # The first round warms up. The ratios are those of neighbours in time.
            a, b, c, with_sendfile = (values[1:] for values in rates.values())
            ratios = [statistics.median(x / y for x, y in zip(a, other)) for other in (b, c)]
            rows.append(
                [
                    f"{size}, {'new' if new else 'kept'}",
                    *(f"{statistics.median(values):,.0f}" for values in (a, b, c, with_sendfile)),
                    *(f"{ratio:.2f}" for ratio in ratios),
                ]
            )
    table(*rows)


def test_a_hot_image_is_neither_opened_nor_looked_at(reader, server, images, hostvars):
    server.check_output("apt-get update -q && apt-get install -q -y --no-install-recommends strace")
    address = hostvars("image1")["ansible_host"]
    ask(reader, address, 80, images["17 KB"], new=False, seconds=2)
    workers = server.check_output("pgrep -P $(systemctl show nginx --property=MainPID --value)").split()
    server.check_output(
        f"systemd-run --quiet --collect --unit=bench-strace strace -c -f -o {FOLDER}/calls "
        + " ".join(f"-p {pid}" for pid in workers)
    )
    seen = ask(reader, address, 80, images["17 KB"], new=False, seconds=2)
    server.check_output(f"systemctl kill --signal=INT bench-strace; sleep 1; test -s {FOLDER}/calls")
    counted = [line.split() for line in server.check_output(f"cat {FOLDER}/calls").splitlines()]
    calls = {words[-1]: int(words[3]) for words in counted if len(words) >= 5 and words[3].isdigit()}
    opened = sum(
        count
        for call, count in calls.items()
        if call in ("open", "openat", "stat", "fstat", "newfstatat", "statx")
    )
    table(
        ["system calls of hot images", *(call for call in calls if call != "total"), "open and stat"],
        [
            f"{seen['requests']:,} requests",
            *(f"{count:,}" for call, count in calls.items() if call != "total"),
            opened,
        ],
    )
    # A cached file is believed for 30 seconds: one fstat each may fall into the measurement.
    assert opened <= 400 < seen["requests"]


def disk_reads(host) -> int:
    """Reads that the machine's disks have completed."""
    files = "$(ls -d /sys/block/*/stat | grep -v /loop)"
    return int(host.check_output(f"awk '{{ reads += $1 }} END {{ print reads }}' {files}"))


def test_a_cold_image_takes_one_disk_read(reader, server, images, hostvars):
    rows = [
        [
            "images not in memory, one connection",
            *(f"{name}, ms" for name in SERVERS),
            "disk reads of (a) an image",
        ]
    ]
    address = hostvars("image1")["ansible_host"]
    for size, ids in images.items():
        medians, reads = [], []
        for port in SERVERS.values():
            server.check_output(f"{TOOL} forget /data/fastdfs/data --ids {ids}")
            before = disk_reads(server)
            seen = tool(reader, f"read http {address} {port} --ids {ids}")
            medians.append(seen["p50"] * 1000)
            reads.append((disk_reads(server) - before) / seen["count"])
        rows.append([size, *(f"{median:.2f}" for median in medians), f"{reads[0]:.2f}"])
    table(*rows)


def test_fastdfs_own_protocol_beside_http(writer, server, images, hostvars):
    address = hostvars("image1")["ansible_host"]
    rows = [
        [
            "one client program, kept connections",
            "(a) our site, req/s",
            "(d) FastDFS's download, req/s",
            "(a) : (d)",
        ]
    ]
    for size, ids in images.items():
        for clients in (1, 8):
            rates: dict[str, list[float]] = {"http 80": [], "fdfs 23000": []}
            for _ in range(ROUNDS):
                for way, seen in rates.items():
                    protocol, port = way.split()
                    words = f"read {protocol} {address} {port} --ids {ids} --clients {clients} --seconds {SECONDS}"
                    seen.append(tool(writer, words)["per_second"])
            a, d = rates.values()
            ratio = statistics.median(x / y for x, y in zip(a, d))
            name = f"{size}, {clients} client{'s' if clients > 1 else ''}"
            rows.append(
                [name, f"{statistics.median(a):,.0f}", f"{statistics.median(d):,.0f}", f"{ratio:.2f}"]
            )
    table(*rows)


def through(director) -> int:
    """Bytes that came in for virtual services since the director booted."""
    return int(director.check_output("cat /proc/net/ip_vs_stats").splitlines()[2].split()[3], 16)


def test_through_the_vip_beside_straight_to_the_server(reader, server, images, vips, hostvars, node):
    director, address = node("director1"), hostvars("image1")["ansible_host"]
    rows = [
        [
            "images, connections",
            "straight, req/s",
            "through the VIP, req/s",
            "VIP : straight",
            "bytes through the director",
        ]
    ]
    for size, ids in images.items():
        for new in (False, True):
            straight, over, shares = [], [], []
            for _ in range(ROUNDS):
                straight.append(ask(reader, address, 80, ids, new)["rate"])
                before = through(director)
                seen = ask(reader, vips[0], 80, ids, new)
                # The kernel adds up every two seconds.
                director.check_output("sleep 3")
                over.append(seen["rate"])
                shares.append((through(director) - before) / seen["bytes"])
            rows.append(
                [
                    f"{size}, {'new' if new else 'kept'}",
                    f"{statistics.median(straight):,.0f}",
                    f"{statistics.median(over):,.0f}",
                    f"{statistics.median(x / y for x, y in zip(over, straight)):.2f}",
                    f"{statistics.median(shares):.1%}",
                ]
            )
    table(*rows)


def test_a_miss_costs_one_hop(reader, server, images, hostvars):
    """image1 is asked for what it has, then for what only image2 has."""
    rows = [["images, one connection", "here, ms", "from a peer, ms", "peer : here"]]
    address = hostvars("image1")["ansible_host"]
    for size, ids in images.items():
        here = min(
            (tool(reader, f"read http {address} 80 --ids {ids}") for _ in range(3)),
            key=lambda seen: seen["p50"],
        )
        paths = f"sed 's|^group1/M00|/data/fastdfs/data|' {ids}"
        server.check_output(f"{paths} | xargs rm -f; systemctl reload nginx")
        there = min(
            (tool(reader, f"read http {address} 80 --ids {ids}") for _ in range(3)),
            key=lambda seen: seen["p50"],
        )
        rows.append(
            [
                size,
                f"{here['p50'] * 1000:.2f}",
                f"{there['p50'] * 1000:.2f}",
                f"{there['p50'] / here['p50']:.2f}",
            ]
        )
    table(*rows)


def test_uploads_beside_a_bare_file_system(writer, server, hostvars):
    tracker = hostvars("tracker1")["ansible_host"]
    # Nothing is deleted between the rounds: for a minute, ext4 looks for an inode that is none of those just deleted.
    server.check_output("mkdir -p /data/fastdfs/bench")
    rows = [["17 KB images", "FastDFS, uploads/s", "create, write, close, files/s", "FastDFS : plain"]]
    for clients in (1, 8):
        fast, plain = [], []
        for _ in range(ROUNDS):
            words = f"--size 17408 --clients {clients} --seconds {SECONDS}"
            fast.append(tool(writer, f"upload {tracker} {words}")["per_second"])
            plain.append(tool(server, f"plain /data/fastdfs/bench {words}")["per_second"])
        ratio = statistics.median(x / y for x, y in zip(fast, plain))
        name = f"{clients} client{'s' if clients > 1 else ''}"
        rows.append(
            [name, f"{statistics.median(fast):,.0f}", f"{statistics.median(plain):,.0f}", f"{ratio:.2f}"]
        )
    server.check_output("rm -rf /data/fastdfs/bench")
    table(*rows)


def test_uploads_stay_flat(writer, hostvars):
    tracker = hostvars("tracker1")["ansible_host"]
    step = MANY // 10
    rates = [
        tool(writer, f"upload {tracker} --size 17408 --clients 8 --count {step}")["per_second"]
        for _ in range(10)
    ]
    table(
        ["8 clients, after", *(f"{step * (number + 1):,}" for number in range(10))],
        ["uploads/s", *(f"{rate:,.0f}" for rate in rates)],
    )
