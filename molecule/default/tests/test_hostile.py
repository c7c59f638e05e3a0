"""What a host that is in no list can do to the cluster: read images, and nothing else."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from traffic import give, until

ROLE = Path(__file__).parents[1] / "role.yml"
STORE = "/data/fastdfs"
TEXT = "nobody-may-read-this-4c1e"
# Whatever listens on the hosts is looked at, too.
PORTS = "1-1024,2049,3306,5432,6379,8000-8100,8443,8848,8888,9000,9100,10250,11211,22122,23000,23001,27017"
WRITERS = ("fastdfs_trackers", "fastdfs_storages", "fastdfs_clients")


@pytest.fixture(scope="module")
def groups(nodes):
    """Names of the hosts of every group."""
    known = ("lvs_directors", "image_servers", *WRITERS, "image_readers")
    return {group: [host.name for host in nodes(group)] for group in known}


@pytest.fixture(scope="module")
def everybody(groups, node):
    return {name: node(name) for names in groups.values() for name in names}


@pytest.fixture(scope="module")
def reader(nodes):
    return nodes("image_readers")[0]


@pytest.fixture(scope="module")
def read_ports(groups, hostvars):
    return hostvars(groups["lvs_directors"][0]).get("image_cluster_ports", [80])


@pytest.fixture(scope="module")
def narrow(begin, groups, reader, hostvars):
    """Only one host may read images: the network that the inventory names holds every host of the lab."""
    hosts = ":".join(groups["lvs_directors"] + groups["image_servers"])
    asked = {"role": "firewall", "role_hosts": hosts}
    one = {"image_cluster_reader_networks": [f"{hostvars(reader.name)['ansible_host']}/32"]}
    run = begin(ROLE, "--extra-vars", json.dumps(asked | one))()
    assert run.status == 0, run.said
    yield
    run = begin(ROLE, "--extra-vars", json.dumps(asked))()
    assert run.status == 0, run.said


@pytest.fixture(scope="module")
def scanned(narrow, everybody, groups, hostvars, vips):
    """Source to target to the ports that are open. A VIP is a target for hosts that do not carry it."""

    def listening(host) -> set[str]:
        lines = host.check_output("ss -Hltn").splitlines()
        return {line.split()[3].rsplit(":", 1)[1] for line in lines if "127.0.0." not in line.split()[3]}

    def scan(name: str) -> dict[str, set[int]]:
        targets = {other: hostvars(other)["ansible_host"] for other in everybody if other != name}
        if name not in groups["lvs_directors"] + groups["image_servers"]:
            targets |= {f"VIP {vip}": vip for vip in vips}
        # All of them look for what any of them has.
        words = " ".join(f"{address} {wanted}" for address in targets.values())
        told = json.loads(everybody[name].check_output(f"{program[name]} scan {words}"))
        return {
            target: {int(port) for port, answer in told[address].items() if answer == "open"}
            for target, address in targets.items()
        }

    wanted = ",".join([PORTS, *sorted(set().union(*map(listening, everybody.values())))])
    program = {name: give(host, "stranger") for name, host in everybody.items()}
    with ThreadPoolExecutor(len(everybody)) as pool:
        return dict(zip(everybody, pool.map(scan, everybody)))


def test_exactly_the_expected_ports_are_open_from_every_host_to_every_other(scanned, groups, read_ports):
    def within(name: str, *of: str) -> bool:
        return any(name in groups[group] for group in of)

    def expected(source: str, target: str) -> set[int]:
        ports = {22}
        if target.startswith("VIP ") and within(source, "image_readers"):
            ports |= set(read_ports)
        if within(target, "image_servers"):
            ports |= set(read_ports) if within(source, "image_readers") else set()
            # Health checks, and images that have not arrived there yet.
            ports |= {read_ports[0]} if within(source, "lvs_directors", "image_servers") else set()
        if within(source, *WRITERS):
            ports |= {22122} if within(target, "fastdfs_trackers") else set()
            ports |= {23000} if within(target, "fastdfs_storages") else set()
        return ports

    wrong = {
        f"{source} to {target}": {"open": sorted(found), "expected": sorted(expected(source, target))}
        for source, targets in scanned.items()
        for target, found in targets.items()
        if found != expected(source, target)
    }
    assert wrong == {}


@pytest.fixture(scope="module")
def image(nodes, node):
    """Id and content's sum of an image that is on every image server, among files that nobody may read."""
    client = nodes("fastdfs_clients")[0]
    client.check_output("head -c 100000 /dev/urandom >/var/tmp/hostile.jpg")
    file_id = client.check_output("fdfs_upload_file /etc/fdfs/client.conf /var/tmp/hostile.jpg")
    path = f"{STORE}/data/{file_id.split('/', 2)[2]}"
    folder = path.rsplit("/", 1)[0]
    secrets = [f"{each}/attacked-secret" for each in ("/data", STORE, f"{STORE}/data", folder)]
    secrets += [f"{folder}/.attacked-secret", f"{path}-m"]
    for server in nodes("image_servers"):
        until(lambda server=server: server.file(path).exists, f"{file_id} is not on {server.name}")
        server.check_output(f"for file in {' '.join(secrets)}; do echo {TEXT} >$file; chmod 644 $file; done")
        # What keeps them from readers is not their mode.
        assert server.run(f"runuser -u www-data -- cat {' '.join(secrets)}").rc == 0
    yield file_id, client.check_output("sha256sum /var/tmp/hostile.jpg").split()[0]
    for server in nodes("image_servers"):
        server.run(f"rm -f {' '.join(secrets)}")
    client.run(f"fdfs_delete_file /etc/fdfs/client.conf {file_id}; rm /var/tmp/hostile.jpg")


def stored(nodes, file_id: str) -> set[str]:
    """The sums of that file's content on the storages."""
    path = f"{STORE}/data/{file_id.split('/', 2)[2]}"
    return {host.check_output(f"sha256sum {path}").split()[0] for host in nodes("fastdfs_storages")}


# FastDFS's own list, which the simulator does not have.
ALONE = pytest.param("with allow_hosts alone", marks=pytest.mark.real_fastdfs)


@pytest.fixture(scope="module", params=["with the firewall", ALONE])
def tried(request, reader, nodes, image, hostvars):
    """What trackers and storages answered to a host that is no member: daemon to command to status."""
    program = give(reader, "stranger")
    daemons = {
        "tracker": (nodes("fastdfs_trackers")[0], 22122),
        "storage": (nodes("fastdfs_storages")[0], 23000),
    }
    alone = request.param == "with allow_hosts alone"
    # A storage that joins has to have as many directories as the others.
    count = daemons["storage"][0].check_output(
        "sed -n 's/^subdir_count_per_path = //p' /etc/fdfs/storage.conf"
    )
    told = {}
    try:
        for kind, (host, port) in daemons.items():
            if alone:
                host.check_output("systemctl stop firewall-image")
            address = hostvars(host.name)["ansible_host"]
            seen = json.loads(reader.check_output(f"{program} scan {address} {port}"))[address][str(port)]
            assert seen == ("open" if alone else "silent")
            lines = reader.check_output(f"{program} {kind} {address} {port} {image[0]} {count}").splitlines()
            told[kind] = {each["command"]: each["status"] for each in map(json.loads, lines)}
    finally:
        for host, _ in daemons.values():
            host.check_output("systemctl start firewall-image")
    return told


@pytest.mark.parametrize("kind", ["tracker", "storage"])
def test_fastdfs_answers_no_command_of_a_stranger(tried, kind):
    assert len(tried[kind]) > 5
    assert set(tried[kind].values()) == {None}, tried[kind]


def test_no_storage_joins_from_outside_and_no_image_is_lost(tried, nodes, hostvars, image):
    assert tried["tracker"]["join"] is None and tried["storage"]["delete"] is None
    listed = nodes("fastdfs_clients")[0].check_output("fdfs_monitor /etc/fdfs/client.conf list 2>/dev/null")
    members = {line.split()[2] for line in listed.splitlines() if "ip_addr = " in line}
    assert members == {hostvars(host.name)["ansible_host"] for host in nodes("fastdfs_storages")}
    assert stored(nodes, image[0]) == {image[1]}


def health(host) -> tuple[str, str]:
    """nginx's first process, and how many others of it broke so far."""
    pid = host.check_output("systemctl show nginx --property=MainPID --value")
    return pid, host.run("grep -c 'exited on signal' /var/log/nginx/error.log").stdout.strip()


@pytest.fixture(scope="module")
def tls(begin_role, nodes, certificates):
    """The first image server has a certificate."""
    certificate, key = certificates[0]
    asked = {"nginx_image_tls_certificate": certificate, "nginx_image_tls_key": key}
    name = nodes("image_servers")[0].name
    run = begin_role("nginx", name, nginx_image_ports=[80, 443], **asked)()
    assert run.status == 0, run.said
    yield
    run = begin_role("nginx", name)()
    assert run.status == 0, run.said


@pytest.fixture(
    scope="module",
    params=["straight", "through the VIP", pytest.param("over TLS", marks=pytest.mark.long)],
)
def attacks(request, reader, nodes, hostvars, vips, image):
    """What an image server answered to each attack; the slow ones, which take their time, come straight and without TLS only."""
    servers = nodes("image_servers")
    port, over = 80, ""
    if request.param == "over TLS":
        request.getfixturevalue("tls")
        port, over = 443, "--tls"
    before = {host.name: health(host) for host in servers}
    straight = request.param == "straight"
    address = vips[0] if request.param == "through the VIP" else hostvars(servers[0].name)["ansible_host"]
    kinds = ("traversal", "name", "method", "header", "range", "query", "malformed", "smuggled", "oversized")
    words = "" if straight else " ".join(f"--kind {kind}" for kind in kinds)
    attacker = give(reader, "attacker")
    lines = reader.check_output(
        f"{attacker} {address} {port} /{image[0]} {over} --secret {TEXT} --secret root:x:0: {words}"
    )
    assert {host.name: health(host) for host in servers} == before
    return [json.loads(line) for line in lines.splitlines()]


def test_there_are_hundreds_of_attacks(attacks):
    assert len(attacks) > 200


def test_no_attack_gives_out_what_is_no_image(attacks):
    assert [each for each in attacks if each["leaked"] or each["strange"]] == []


def test_every_attack_is_answered_as_http_has_it(attacks):
    assert [each for each in attacks if not set(each["statuses"]) <= set(each["wanted"])] == []
    # Nothing broke: 501 and 505 are HTTP's words for what a server does not know.
    assert [each for each in attacks if set(each["statuses"]) & {500, 502, 503, 504}] == []


def test_clients_that_waste_a_connection_lose_it(attacks):
    slow = [each for each in attacks if each["kind"] == "slow"]
    assert [each for each in slow if each["ended"] not in ("closed", "reset")] == []


def test_readers_are_served_as_before(attacks, reader, vips, image):
    assert (attacks[-1]["kind"], attacks[-1]["statuses"]) == ("plain", [200])
    sums = {
        reader.check_output(f"curl -s --max-time 5 http://{vips[0]}/{image[0]} | sha256sum").split()[0]
        for _ in range(4)
    }
    assert sums == {image[1]}
