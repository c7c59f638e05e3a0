"""What the image site does on request: TLS, links that expire, a limit for each address, a log in JSON; and whose nginx.conf it is."""

from __future__ import annotations

import hashlib
import json
import re
import time

import pytest

SECRET = "0123456789abcdefghij"
LIFETIME = 600
SITE = "/etc/nginx/conf.d/nginx_image.conf"
FOREIGN = "/etc/nginx/sites-enabled/shop"
LOG = "/var/log/nginx/image_access.log"


def asked(certificate: str, key: str) -> dict:
    return {
        "nginx_image_ports": [80, 443],
        "nginx_image_tls_certificate": certificate,
        "nginx_image_tls_key": key,
        "nginx_image_token_secret": SECRET,
        "nginx_image_token_lifetime": LIFETIME,
        "nginx_image_connections_per_address": 2,
        "nginx_image_access_log": "json",
    }


def pid(host) -> str:
    return host.check_output("systemctl show nginx --property=MainPID --value")


@pytest.fixture(scope="module")
def image(nodes, wait):
    """Id of an image that both image servers have."""
    client = nodes("fastdfs_clients")[0]
    client.check_output("head -c 17000 /dev/urandom >/var/tmp/options.jpg")
    file = client.check_output("fdfs_upload_file /etc/fdfs/client.conf /var/tmp/options.jpg")
    path = file.replace("group1/M00", "/data/fastdfs/data")
    wait(
        lambda: all(host.file(path).exists for host in nodes("image_servers")),
        f"{file} is on every image server",
    )
    yield file
    client.check_output(f"fdfs_delete_file /etc/fdfs/client.conf {file}; rm -f /var/tmp/options.jpg")


@pytest.fixture(scope="module")
def options(begin_role, certificates):
    """The run that gave both image servers everything that can be asked for."""
    run = begin_role("nginx", "image1:image2", **asked(*certificates[0]))()
    assert run.status == 0, run.said
    return run


@pytest.fixture(scope="module")
def changes(options, begin_role, certificates, node):
    """image1 gets another certificate, image2 one with somebody else's key; and nginx's pids before."""
    before = {name: pid(node(name)) for name in ("image1", "image2")}
    ends = [
        begin_role("nginx", "image1", **asked(*certificates[1])),
        begin_role("nginx", "image2", **asked(certificates[1][0], certificates[0][1])),
    ]
    return [end() for end in ends], before


@pytest.fixture(scope="module")
def main(changes, begin_role, node):
    """image1 is what it was. The runs on image2: it gives up nginx.conf, then leaves it alone for somebody else's site, then takes it again."""
    with_site = {}
    host = node("image2")
    ends = [begin_role("nginx", "image1"), begin_role("nginx", "image2", nginx_image_manage_main="never")]
    with_site["restored"], with_site["never"] = [end() for end in ends]
    states = {"never": state(host)}
    host.check_output(f"echo 'server {{ listen 8088; return 200 shop; }}' >{FOREIGN}")
    with_site["auto beside a site"] = begin_role("nginx", "image2")()
    states["auto beside a site"] = state(host)
    host.check_output(f"rm {FOREIGN}")
    with_site["auto"] = begin_role("nginx", "image2")()
    states["auto"] = state(host)
    return with_site, states


def state(host) -> dict:
    """Whose nginx.conf it is, and what follows from that."""
    packaged = host.run("dpkg --verify nginx-common | grep -q ' /etc/nginx/nginx.conf$'").rc == 1
    return {
        "packaged": packaged,
        "reuseport": "reuseport" in host.file(SITE).content_string,
        "sandbox": host.check_output("systemctl show nginx --property=ProtectSystem --value"),
        "accepted": host.run("nginx -t -q").rc == 0,
    }


def curl(host, address: str, *options: str) -> str:
    return host.check_output(f"curl -sk --max-time 20 {' '.join(options)} '{address}'")


def status(host, address: str, *options: str) -> str:
    return curl(host, address, "-o /dev/null -w '%{http_code}'", *options)


def link(file: str, at: int, secret: str = SECRET, base: str = "http://127.0.0.1") -> str:
    """As FastDFS makes it: the id without its group, the secret, the time."""
    token = hashlib.md5(f"{file.split('/', 1)[1]}{secret}{at}".encode()).hexdigest()
    return f"{base}/{file}?token={token}&ts={at}"


def now(host) -> int:
    return int(host.check_output("date +%s"))


def test_a_link_gives_the_image_until_it_expires(options, node, image):
    host = node("image1")
    address = link(image, now(host) - LIFETIME + 30)
    head = curl(host, address, "-o /dev/null -D -").lower()
    kept = re.search("cache-control: private, max-age=([0-9]+), immutable", head)
    # No longer than the token is good.
    assert " 200 " in head and 15 < int(kept[1]) <= 30
    assert status(host, address, "--head") == "200"
    bare = link(image, now(host)).replace(image.rsplit("/", 1)[0] + "/", "")
    # A bare name is one of the first directory.
    assert status(host, bare) == ("200" if "/M00/00/00/" in image else "403")


@pytest.mark.parametrize(
    "forged",
    [
        lambda file, at: f"http://127.0.0.1/{file}",
        lambda file, at: link(file, at).replace("token=", "token=0"),
        lambda file, at: link(file, at, secret="FastDFS1234567890"),
        lambda file, at: link(file, at, secret=""),
        lambda file, at: link(file, at - LIFETIME),
        lambda file, at: link(file, at + 60),
        lambda file, at: link(file, 0),
        lambda file, at: link(file, -1),
        lambda file, at: link(file, at).replace(f"ts={at}", f"ts={at}.0"),
        lambda file, at: link(file, at).replace(f"ts={at}", f"ts=0{at}"),
        lambda file, at: link(file, at).replace(f"ts={at}", f"ts={at + 1}"),
        lambda file, at: link(file, at) + f"&ts={at}",
        lambda file, at: link(file, at) + "&token=",
        lambda file, at: link(file, at).replace(f"ts={at}", "ts=%zz"),
        lambda file, at: link(file, at).replace("token=", "token=%ff%00"),
        lambda file, at: (
            link(file, at).upper().replace("HTTP://127.0.0.1/" + file.upper(), "http://127.0.0.1/" + file)
        ),
        lambda file, at: (
            link(file[:-5] + ("0" if file[-5] != "0" else "1") + file[-4:], at).split("?")[0]
            + "?"
            + link(file, at).split("?")[1]
        ),
    ],
)
def test_a_forged_link_gives_nothing(options, node, image, forged):
    host = node("image1")
    address = forged(image, now(host))
    head = curl(host, address, "-o /dev/null -D -").lower()
    assert " 403 " in head.splitlines()[0] and "cache-control: no-store" in head, (address, head)


def test_a_peer_is_asked_with_the_same_token(options, node, image):
    host = node("image1")
    path = image.replace("group1/M00", "/data/fastdfs/data")
    # What is kept open would still be given out.
    host.check_output(f"mv {path} /var/tmp/options.jpg; systemctl reload nginx; sleep 1")
    try:
        head = curl(host, link(image, now(host)), "-o /dev/null -D -").lower()
        assert " 200 " in head and "x-image-source: image2" in head, head
        assert status(host, f"http://127.0.0.1/{image}") == "403"
    finally:
        host.check_output(f"mv /var/tmp/options.jpg {path}")


def test_https_with_http2_and_no_old_protocol(options, node, image):
    host = node("image1")
    address = link(image, now(host), base="https://127.0.0.1")
    assert curl(host, address, "-o /dev/null -w '%{http_version} %{http_code}'") == "2 200"
    assert curl(host, address, "--http1.1 -o /dev/null -w '%{http_version} %{http_code}'") == "1.1 200"
    assert host.run(f"curl -sk --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 '{address}'").rc == 35


def test_secrets_are_root_s_and_nobody_is_told(options, node, certificates):
    for host in (node("image1"), node("image2")):
        for name in ("nginx_image_secret.conf", "nginx_image.key"):
            for path in (f"/etc/nginx/{name}", f"/var/lib/nginx-image/accepted/{name}"):
                assert (host.file(path).user, host.file(path).mode) == ("root", 0o600)
            assert host.file(path).sha256sum not in options.said
    assert SECRET not in options.said
    assert certificates[0][1].splitlines()[1] not in options.said


def test_the_log_is_json_and_has_no_token(options, node, image):
    host = node("image1")
    address = link(image, now(host))
    curl(host, address, "-o /dev/null", "-A", "'a \"quoted\" agent'")
    # Bytes that are no UTF-8.
    curl(
        host,
        f"{address.partition('?')[0].rpartition('/')[0]}/%ff%fe",
        "-o /dev/null",
        "-A",
        "\"$(printf '\\377')\"",
    )
    time.sleep(6)
    lines = [json.loads(line) for line in host.check_output(f"tail -n 5 {LOG}").splitlines()]
    assert any(
        (line["uri"], line["status"], line["agent"]) == (f"/{image}", 200, 'a "quoted" agent')
        for line in lines
    )
    # Before there was a secret, anybody could write anything into a query.
    assert host.run(f"grep '^{{' {LOG} | grep -qE 'token=|ts='").rc == 1


def test_one_address_has_so_many_images_at_a_time(options, node, image):
    host = node("image1")
    path = image.replace("group1/M00", "/data/fastdfs/data")
    host.check_output(
        f"mv {path} /var/tmp/options.jpg; truncate -s 64M {path}; chmod 644 {path}; systemctl reload nginx; sleep 1"
    )
    try:
        address = link(image, now(host))
        slow = f"curl -s --limit-rate 100k --max-time 4 -o /dev/null -w '%{{http_code}}\\n' '{address}'"
        codes = host.run(f"for each in 1 2 3 4; do {slow} & sleep 0.3; done; wait").stdout.split()
        assert sorted(codes) == ["200", "200", "429", "429"]
    finally:
        host.check_output(f"mv /var/tmp/options.jpg {path}; systemctl reload nginx")
    assert status(host, link(image, now(host))) == "200"


def test_a_link_out_of_the_store_gives_nothing(options, node, image):
    host = node("image1")
    name = image[:-5] + ("0" if image[-5] != "0" else "1") + image[-4:]
    path = name.replace("group1/M00", "/data/fastdfs/data")
    host.check_output(f"ln -s /etc/hostname {path}")
    try:
        assert status(host, link(name, now(host))) == "403"
    finally:
        host.check_output(f"rm {path}")


def served(host) -> str:
    """The subject of the certificate that this server shows."""
    return host.check_output(
        "echo | openssl s_client -connect 127.0.0.1:443 2>/dev/null | openssl x509 -noout -subject | sed 's/.*= *//'"
    )


def test_another_certificate_is_a_reload(changes, node):
    (changed, _), before = changes
    assert changed.status == 0, changed.said
    assert served(node("image1")) == "second"
    assert pid(node("image1")) == before["image1"]


def test_somebody_else_s_key_is_refused_and_the_old_pair_stays(changes, node):
    (_, refused), before = changes
    host = node("image2")
    assert refused.status != 0
    assert "key values mismatch" in refused.said and "the configuration before is back" in refused.said
    assert served(host) == "first" and pid(host) == before["image2"]
    host.check_output("nginx -t -q && systemctl reload nginx")
    assert served(host) == "first"


def test_nginx_conf_is_the_role_s_only_where_nobody_else_has_a_site(main):
    runs, states = main
    assert [run.status for run in runs.values()] == [0, 0, 0, 0], [run.said for run in runs.values()]
    left = {"packaged": True, "reuseport": False, "sandbox": "no", "accepted": True}
    assert states["never"] == left
    assert states["auto beside a site"] == left
    assert states["auto"] == {"packaged": False, "reuseport": True, "sandbox": "strict", "accepted": True}


def test_nothing_is_left_of_what_is_not_asked_for_any_more(main, node):
    for host in (node("image1"), node("image2")):
        assert host.run("ls /etc/nginx/nginx_image*").rc != 0
        assert host.check_output("ss -Hltn sport = :443") == ""
