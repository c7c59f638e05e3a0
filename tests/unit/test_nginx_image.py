"""The templates of the role nginx: what they refuse, and whom they name as servers of which group."""

from __future__ import annotations

import re

import pytest
import role_templates

GROUP2 = {"group": "group2", "servers": ["10.0.0.4", "10.0.0.5:8080"]}


def rendered(template: str, **variables) -> str:
    internal = {"numbers": {"version": "1.22.1", "memory": "2000", "processors": "2"}, "manages_main": True}
    paths = {name: f"/etc/nginx/{name}" for name in ("token", "secret", "certificate_used", "key_used")}
    values = {f"__nginx_image_{name}": value for name, value in (internal | paths).items()}
    return role_templates.rendered(
        "nginx", template, **{**values, "nginx_image_server_name": "image1", **variables}
    )


def asked(site: str, path: str) -> list[str]:
    """The servers that the site asks for ``path`` when it does not have it, as nginx would choose the location."""
    upstreams = {
        name: re.findall(r"(?m)^ +server (\S+) ", servers)
        for name, servers in re.findall(r"upstream (\w+) \{(.*?)\n\}", site, re.DOTALL)
    }
    for pattern, body in re.findall(r'location ~ "(.*?)" \{(.*?)\n    \}', site, re.DOTALL):
        if re.search(pattern.replace(r"\z", r"\Z"), path):
            (name,) = re.findall(r'set \$nginx_image_servers "(\w*)";', body)
            return upstreams.get(name, [])
    return []


PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
TLS = {
    "nginx_image_ports": [80, 443],
    "nginx_image_tls_certificate": "/etc/ssl/image.crt",
    "nginx_image_tls_key": "/etc/ssl/image.key",
}
NAME = "wKgKSlR8hGSAXQ8mAAAB" + "5Y2Q_0M123.jpg"
ORDINARY = NAME[:11] + "A" + NAME[12:]


@pytest.mark.parametrize("name", [ORDINARY, NAME, ORDINARY.replace("123.", "123_150x150.")])
@pytest.mark.parametrize(
    ("folder", "servers"),
    [
        ("/group1/M00/00/0A/", ["10.0.0.3:80"]),
        ("/group2/M00/00/0A/", ["10.0.0.4:80", "10.0.0.5:8080"]),
        # More store paths than this server has.
        ("/group2/M1F/00/0A/", ["10.0.0.4:80", "10.0.0.5:8080"]),
        ("/group3/M00/00/0A/", ["[fd00::6]:80"]),
        ("/group4/M00/00/0A/", []),
        ("/group2/M0/00/0A/", []),
        ("/group2/M00/00/", []),
        ("/group2/M00/00/0A/../", []),
        ("/", ["10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:8080", "[fd00::6]:80"]),
    ],
)
def test_a_file_is_asked_from_the_servers_of_its_group(name, folder, servers):
    others = [GROUP2, {"group": "group3", "servers": ["fd00::6"]}]
    site = rendered(
        "nginx_image.conf.j2",
        nginx_image_peers=["10.0.0.3"],
        nginx_image_other_groups=others,
        nginx_image_root_files=True,
    )
    assert asked(site, folder + name) == servers


@pytest.mark.parametrize("name", [f"{ORDINARY}-m", "fdfs_storaged.pid", ".hidden", ""])
def test_nothing_but_images_is_asked_from_another_group(name):
    site = rendered("nginx_image.conf.j2", nginx_image_other_groups=[GROUP2], nginx_image_root_files=True)
    assert asked(site, f"/group2/M00/00/00/{ORDINARY}") == ["10.0.0.4:80", "10.0.0.5:8080"]
    assert asked(site, f"/group2/M00/00/00/{name}") == asked(site, f"/{name}") == []


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, ""),
        ({"nginx_image_other_groups": [GROUP2]}, ""),
        (
            {"nginx_image_other_groups": [GROUP2 | {"group": "group;2"}]},
            'nginx_image_other_groups "group;2": a FastDFS group has 1 to 16 letters and digits.',
        ),
        (
            {"nginx_image_other_groups": [GROUP2 | {"group": "group1"}]},
            "is nginx_image_group: write this group's servers into nginx_image_peers.",
        ),
        (
            {"nginx_image_other_groups": [GROUP2, GROUP2]},
            '"group2" is there twice: write its servers into one',
        ),
        (
            {"nginx_image_other_groups": [GROUP2 | {"servers": []}]},
            '"group2" has no servers: write the addresses',
        ),
        (
            {"nginx_image_other_groups": [GROUP2 | {"servers": ["10.0.0.4;"]}]},
            'nginx_image_other_groups "10.0.0.4;" of "group2": write an address, with ":port"',
        ),
        (
            {"nginx_image_peers": ["10.0.0.4;"]},
            'nginx_image_peers "10.0.0.4;": write an address, with ":port"',
        ),
        (
            {"nginx_image_other_groups": [GROUP2], "nginx_image_health_address": "/group2/health"},
            "write a path such as /healthz, outside of /group1/ and /group2/.",
        ),
        (TLS, ""),
        (
            TLS
            | {
                "nginx_image_tls_certificate": PEM,
                "nginx_image_tls_key": PEM.replace("CERTIFICATE", "EC PRIVATE KEY"),
            },
            "",
        ),
        (TLS | {"nginx_image_tls_key": ""}, "nginx_image_tls_key is not: write the key"),
        (
            TLS | {"nginx_image_tls_certificate": ""},
            "nginx_image_tls_certificate is not: write the certificate",
        ),
        (TLS | {"nginx_image_tls_certificate": "image.pem"}, "tls_certificate is neither the absolute path"),
        (TLS | {"nginx_image_tls_key": PEM}, 'PEM text has a line "-----BEGIN PRIVATE KEY-----"'),
        (
            TLS | {"nginx_image_tls_key": PEM.replace("CERTIFICATE", "ENCRYPTED PRIVATE KEY")},
            "write it without one",
        ),
        (TLS | {"nginx_image_ports": [80, 8443]}, "(80, 8443) has none of nginx_image_tls_ports (443)."),
        (TLS | {"nginx_image_ports": [443, 80]}, "port 443 speaks TLS and is the first"),
        ({"nginx_image_token_secret": "FastDFS1234567890"}, "FastDFS's sample, which everybody knows"),
        ({"nginx_image_token_secret": "short"}, "is not 16 to 128 letters, digits"),
        ({"nginx_image_token_secret": "$remote_addr;}xxxxx"}, "is not 16 to 128 letters, digits"),
        ({"nginx_image_token_lifetime": 0}, 'nginx_image_token_lifetime "0": write a number from 1 to'),
        ({"nginx_image_workers": -1}, 'nginx_image_workers "-1": write a number from 0 to'),
    ],
)
def test_what_would_be_no_configuration_is_answered_by_one_sentence(variables, words):
    said = [line for line in rendered("problems.j2", **variables).splitlines() if line]
    assert len(said) == bool(words), said
    assert words in "".join(said)


@pytest.mark.parametrize(
    ("variables", "lines"),
    [
        (
            {},
            [
                "listen 80 default_server reuseport backlog=4096;",
                "listen [::]:80 default_server reuseport backlog=4096;",
            ],
        ),
        ({"__nginx_image_manages_main": False, "nginx_image_ipv6": False}, ["listen 80 default_server;"]),
        (
            {"nginx_image_ports": [80, 443], "nginx_image_ipv6": False, "__nginx_image_manages_main": False},
            ["listen 80 default_server;", "listen 443 default_server;"],
        ),
        (
            TLS | {"nginx_image_ipv6": False, "__nginx_image_manages_main": False},
            ["listen 80 default_server;", "listen 443 default_server ssl http2;"],
        ),
        (
            TLS
            | {
                "nginx_image_ipv6": False,
                "nginx_image_default_server": False,
                "__nginx_image_manages_main": False,
                "__nginx_image_numbers": {"version": "1.26.3"},
            },
            ["listen 80;", "listen 443 ssl;", "http2 on;"],
        ),
    ],
)
def test_a_port_speaks_tls_once_there_is_a_certificate(variables, lines):
    site = rendered("nginx_image.conf.j2", **variables)
    assert re.findall(r"(?m)^ +(listen [^;]*;|http2 on;)", site) == lines


@pytest.mark.parametrize(
    ("numbers", "entries"),
    [
        ({"memory": "2000", "processors": "2"}, 2048),
        # A kernel's update takes some memory more.
        ({"memory": "1900", "processors": "2"}, 2048),
        ({"memory": "400", "processors": "8"}, 1000),
        ({"memory": "500000", "processors": "2"}, 100000),
        ({"memory": "500000", "processors": "2", "files": "20000"}, 10000),
        ({"memory": "2000", "processors": "2", "files": "unlimited"}, 2048),
        ({}, 4096),
    ],
)
def test_the_cache_of_open_files_is_sized_from_memory(numbers, entries):
    site = rendered("nginx_image.conf.j2", __nginx_image_numbers=numbers)
    assert re.findall(r"open_file_cache max=(\d+)", site) == [str(entries)]


@pytest.mark.parametrize(
    ("log", "secret", "used"),
    [
        ("combined", "", "combined"),
        ("combined", "0123456789abcdefghij", "nginx_image_combined"),
        ("json", "", "nginx_image_json"),
        ("json", "0123456789abcdefghij", "nginx_image_json"),
    ],
)
def test_no_log_has_a_token_that_is_still_good(log, secret, used):
    site = rendered("nginx_image.conf.j2", nginx_image_access_log=log, nginx_image_token_secret=secret)
    assert re.findall(r"access_log /var/log/nginx/image_access.log (\w+)", site) == [used]
    formats = dict(re.findall(r"log_format (\w+) (.*?);\n", site, re.DOTALL))
    assert list(formats) == [used] * (used != "combined")
    # What has the query, and with it the token.
    assert (
        re.findall(r"\$(?:request|request_uri|args|query_string|arg_\w+)\b", "".join(formats.values())) == []
    )


def test_other_image_servers_are_not_counted_as_readers():
    site = rendered(
        "nginx_image.conf.j2",
        nginx_image_connections_per_address=8,
        nginx_image_peers=["10.0.0.3:8080", "fd00::6", "[fd00::7]:80", "image9.example"],
        nginx_image_other_groups=[GROUP2],
    )
    (block,) = re.findall(r"geo \$nginx_image_reader \{(.*?)\n\}", site, re.DOTALL)
    assert [line.strip() for line in block.strip().splitlines()] == [
        "default 1;",
        "10.0.0.3 0;",
        "fd00::6 0;",
        "fd00::7 0;",
        "10.0.0.4 0;",
        "10.0.0.5 0;",
    ]
    assert site.count("limit_conn nginx_image_clients 8;") == 4


def test_no_answer_says_the_version_and_no_directory_is_listed():
    site = rendered("nginx_image.conf.j2")
    assert re.findall(r"(?m)^ +server_tokens (\w+);", site) == ["off"]
    assert "autoindex" not in site
