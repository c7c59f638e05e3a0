"""The wire format and file ids, without any network. The known values come from real FastDFS 5.05."""

from __future__ import annotations

import base64
import random
import socket
import struct
import zlib

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs import wire
from hypothesis import given
from hypothesis import strategies as st

KNOWN = "group1/M00/00/00/f6_SFWsE3XqAAkn7AAAADEtWdew009.jpg"
KNOWN_FILE = wire.file_id(KNOWN)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
GROUPS = st.text(LETTERS, min_size=1, max_size=16)
# An address that ends in 0 would be read as a storage's id.
ADDRESSES = st.tuples(*[st.integers(0, 255)] * 3, st.integers(1, 255)).map(lambda o: "{}.{}.{}.{}".format(*o))
NUMBERS = st.integers(-(2**63), 2**63 - 1)
EXTENSIONS = st.text(LETTERS, max_size=6)
STATUSES = st.sampled_from(sorted(wire.STATUS_NAMES))


def name(source: bytes, timestamp: int, marked: int, crc: int, rest: str, path=0, high=0, low=0) -> str:
    """A file's name as upstream's storage_gen_filename makes it."""
    raw = source + struct.pack(">IQI", timestamp, marked, crc)
    stem = base64.b64encode(raw, b"-_").decode().rstrip("=")
    return f"M{path:02X}/{high:02X}/{low:02X}/{stem}{rest}"


def below_4_gib(size: int, noise: int) -> int:
    """COMBINE_RAND_FILE_SIZE: the upper half is random with its highest bit set."""
    return (0x80000000 | noise & 0x007FFFFF) << 32 | size


def rest(extension: str, random_digits: str = "1234567") -> str:
    dotted = f".{extension}" if extension else ""
    return random_digits[: 7 - len(dotted)] + dotted


def test_a_file_id_of_the_real_one_is_read():
    expected = wire.FileId(
        group="group1",
        name="M00/00/00/f6_SFWsE3XqAAkn7AAAADEtWdew009.jpg",
        path_index=0,
        source="127.175.210.21",
        timestamp=1795480954,
        size=12,
        crc32=1263957484,
        appender=False,
        slave=False,
        trunk=False,
    )
    assert (wire.file_id(KNOWN), str(KNOWN_FILE)) == (expected, KNOWN)


@given(
    group=GROUPS,
    source=ADDRESSES,
    timestamp=st.integers(0, 2**32 - 1),
    size=st.one_of(st.integers(0, 2**32 - 1), st.integers(2**32, 2**40)),
    noise=st.integers(0, 2**23 - 1),
    crc=st.integers(0, 2**32 - 1),
    extension=EXTENSIONS,
    place=st.tuples(*[st.integers(0, 255)] * 3),
)
def test_file_ids_tell_what_upstream_put_into_them(
    group, source, timestamp, size, noise, crc, extension, place
):
    marked = size if size >> 32 else below_4_gib(size, noise)
    made = name(socket.inet_aton(source), timestamp, marked, crc, rest(extension), *place)
    file = wire.file_id(f"{group}/{made}")
    assert (file.group, file.name, file.path_index) == (group, made, place[0])
    assert (file.source, file.timestamp, file.size, file.crc32) == (source, timestamp, size, crc)
    assert (file.appender, file.slave, file.trunk) == (False, False, False)


@given(st.integers(1, wire.MAX_STORAGE_ID))
def test_a_storage_with_an_id_is_named_by_it(number):
    made = name(number.to_bytes(4, "little"), 1, below_4_gib(1, 1), 1, "1234567")
    assert wire.file_id(f"group1/{made}").source == str(number)


def test_the_names_of_appender_and_slave_files_tell_no_size():
    source = socket.inet_aton("192.0.2.9")
    appender = wire.file_id("group1/" + name(source, 1, below_4_gib(0, 1) | 1 << 58, 7, "1234567"))
    assert (appender.appender, appender.slave, appender.size, appender.crc32) == (True, False, None, None)
    slave = wire.file_id("group1/" + name(source, 1, below_4_gib(5, 1), 7, "1234_150x150.jpg"))
    assert (slave.appender, slave.slave, slave.size, slave.crc32) == (False, True, None, None)
    assert slave.source == appender.source == "192.0.2.9"


def test_a_file_in_a_trunk_has_a_longer_name_and_is_no_slave():
    marked = below_4_gib(77, 1) | 1 << 59
    source = socket.inet_aton("192.0.2.9")
    file = wire.file_id("group1/" + name(source, 1, marked, 7, "A" * 16 + "123.jpg"))
    assert (file.trunk, file.slave, file.size, file.crc32) == (True, False, 77, 7)
    slave = wire.file_id("group1/" + name(source, 1, marked, 7, "A" * 16 + "123_150x150.jpg"))
    assert (slave.trunk, slave.slave, slave.size) == (True, True, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "group1",
        "group1/M00/00/00/short.jpg",
        KNOWN[7:],
        "/" + KNOWN,
        KNOWN.replace("M00", "m00"),
        KNOWN.replace("/00/00/", "/00/zz/"),
        KNOWN.replace("/00/00/", "/../00/"),
        KNOWN + "\n",
        KNOWN + "/x",
        KNOWN + "x" * 100,
        KNOWN.replace("f6_", "f6*"),
        "a group/" + KNOWN[7:],
        "g" * 17 + "/" + KNOWN[7:],
    ],
)
def test_what_is_no_file_id_is_refused(text):
    with pytest.raises(wire.WireError, match="no file id"):
        wire.file_id(text)


@given(st.text(max_size=80))
def test_any_text_is_a_file_id_or_refused(text):
    try:
        assert str(wire.file_id(text)) == text
    except wire.WireError:
        pass


@pytest.mark.parametrize(
    ("content", "crc"),
    [(b"", 0), (b"a", 397917763), (b"FastDFS 5.05", 1263957484), (bytes(range(256)), 1602018980)],
)
def test_the_crc_is_upstreams(content, crc):
    assert wire.crc32(content) == crc


def test_the_crc_is_not_zlibs():
    content = random.Random(1).randbytes(100)
    assert wire.crc32(content) != zlib.crc32(content)


@given(st.binary(max_size=300), st.integers(0, 300))
def test_the_crc_can_be_made_in_parts(content, cut):
    assert wire.crc32(content[cut:], wire.crc32(content[:cut])) == wire.crc32(content)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", ("192.0.2.1", 22122)),
        ("192.0.2.1:22199", ("192.0.2.1", 22199)),
        ("tracker.example:1", ("tracker.example", 1)),
    ],
)
def test_addresses_with_and_without_a_port(text, address):
    assert wire.address(text, 22122) == address


@pytest.mark.parametrize(
    "text",
    ["", ":22122", "a:", "a:0", "a:65536", "a:b", "a:-1", "2001:db8::1", "a:²", "a..b", "a b", "ä", "a\n"],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(wire.WireError, match="is no address: write host or host:port"):
        wire.address(text, 22122)


def test_requests_have_upstreams_bytes():
    named = b"group1" + bytes(10) + KNOWN_FILE.name.encode()
    expected = {
        wire.query_store(): bytes(7) + b"\0\x65\0",
        wire.query_store("group1"): bytes(7) + b"\x10\x68\0" + b"group1" + bytes(10),
        wire.query_fetch(KNOWN_FILE): bytes(7) + b"\x3c\x66\0" + named,
        wire.query_update(KNOWN_FILE): bytes(7) + b"\x3c\x67\0" + named,
        wire.query_file_info(KNOWN_FILE): bytes(7) + b"\x3c\x16\0" + named,
        wire.delete(KNOWN_FILE): bytes(7) + b"\x3c\x0c\0" + named,
        wire.download(KNOWN_FILE, 3, 5): bytes(7) + b"\x4c\x0e\0" + struct.pack(">qq", 3, 5) + named,
        wire.list_groups(): bytes(7) + b"\0\x5b\0",
        wire.list_storages("group1"): bytes(7) + b"\x10\x5c\0" + b"group1" + bytes(10),
        wire.tracker_status(): bytes(7) + b"\0\x40\0",
    }
    assert {request: request.packet() for request in expected} == expected


@given(st.integers(0, 2**40), EXTENSIONS, st.integers(0, 255))
def test_an_upload_announces_its_content(size, extension, path_index):
    packet = wire.upload(size, extension, path_index).packet(size)
    length, command, status = wire.HEADER.unpack(packet[:10])
    assert (length, command, status) == (15 + size, 11, 0)
    assert struct.unpack(">Bq", packet[10:19]) == (path_index, size)
    assert packet[19:].rstrip(b"\0") == extension.encode()
    assert len(packet) == 25


@pytest.mark.parametrize("group", ["", "g" * 17, "group 1", "group/1", "gröup", "group1\n"])
def test_a_group_that_cannot_be_is_not_asked_for(group):
    for request in (wire.query_store, wire.list_storages):
        with pytest.raises(wire.WireError, match="is no name of a group: write 1 to 16 letters or digits"):
            request(group)


@pytest.mark.parametrize("extension", ["toolong", ".jpg", "j/g", "jpg\n"])
def test_an_extension_that_cannot_be_is_refused(extension):
    with pytest.raises(wire.WireError, match="write up to six letters or digits, no dot"):
        wire.upload(1, extension)


@pytest.mark.parametrize("part", [(-1, 0), (0, -1)])
def test_a_part_before_the_beginning_is_refused(part):
    with pytest.raises(wire.WireError, match="must not be negative"):
        wire.download(KNOWN_FILE, *part)


@given(GROUPS, ADDRESSES, st.integers(1, 65535), st.integers(0, 255))
def test_targets_round_trip(group, host, port, path_index):
    body = wire.STORE_TARGET.pack(group.encode(), host.encode(), port, path_index)
    assert wire.store_target(body) == wire.Target(group, wire.Address(host, port), path_index)
    assert wire.target(body[:-1]) == wire.Target(group, wire.Address(host, port))


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**40), st.integers(-(2**31), 2**31 - 1), ADDRESSES)
def test_file_infos_round_trip(size, timestamp, signed_crc, source):
    body = wire.FILE_INFO.pack(size, timestamp, signed_crc, source.encode())
    assert wire.file_info(body) == wire.FileInfo(size, timestamp, signed_crc % 2**32, source)


@given(st.lists(st.tuples(GROUPS, *[NUMBERS] * 11), max_size=4))
def test_groups_round_trip(groups):
    body = b"".join(wire.GROUP.pack(group.encode(), *numbers) for group, *numbers in groups)
    assert [tuple(group) for group in wire.groups(body)] == groups


STORAGE = st.tuples(
    STATUSES,
    st.tuples(ADDRESSES, ADDRESSES, GROUPS, ADDRESSES, st.text(LETTERS, max_size=6)),
    st.tuples(*[NUMBERS] * 10),
    st.tuples(*[st.integers(0, 2**31 - 1)] * 3, *[NUMBERS] * 42),
    st.booleans(),
)


@given(st.lists(STORAGE, max_size=3))
def test_storages_round_trip(records):
    body = b"".join(
        wire.STORAGE.pack(status, *(t.encode() for t in texts), *numbers, wire.STAT.pack(*stat), trunk)
        for status, texts, numbers, stat, trunk in records
    )
    for storage, (status, texts, numbers, stat, trunk) in zip(wire.storages(body), records):
        fields = tuple(storage)
        assert fields[0] == wire.STATUS_NAMES[status]
        assert fields[1:6] == texts
        assert fields[6:16] == numbers
        assert (*storage.counters.values(), *fields[17:21]) == stat
        assert storage.trunk_server == trunk


def test_a_status_that_has_no_name_is_shown_as_its_number():
    body = wire.STORAGE.pack(8, *[b""] * 5, *[0] * 10, bytes(348), 0)
    assert wire.storages(body)[0].status == "unknown (8)"


def test_the_names_of_the_statistics_are_one_each():
    names = (*wire.COUNTERS, *wire.TIMES)
    assert len(set(names)) == len(wire.STAT.unpack(bytes(348)))
    assert wire.StorageInfo._fields[17:21] == wire.TIMES


DECODERS = [
    wire.target,
    wire.store_target,
    wire.uploaded,
    wire.file_info,
    wire.groups,
    wire.storages,
    wire.tracker,
    wire.nothing,
]


@pytest.mark.parametrize("decode", DECODERS)
@given(body=st.binary(max_size=700))
def test_an_answer_is_read_or_refused(decode, body):
    try:
        decode(body)
    except wire.WireError:
        pass


@pytest.mark.parametrize("decode", DECODERS)
def test_an_answer_of_another_size_is_refused(decode):
    with pytest.raises(wire.WireError):
        decode(b"x" * 613)


@pytest.mark.parametrize(("length", "limit"), [(-1, 100), (101, 100), (2**62, wire.MAX_CONTENT), (1, 0)])
def test_a_length_that_cannot_be_is_refused(length, limit):
    with pytest.raises(wire.WireError, match=f"a length of {length} bytes where at most {limit} can be"):
        wire.header(wire.HEADER.pack(length, 100, 0), limit)


def test_an_answer_that_is_none_is_refused():
    with pytest.raises(wire.WireError, match="command 80 instead of 100"):
        wire.header(b"HTTP/1.1 400 Bad Request"[:8] + b"P\0", 100)


@given(st.binary(min_size=10, max_size=10), st.integers(0, 2**40))
def test_any_header_is_within_the_limit_or_refused_or_a_status(raw, limit):
    try:
        head = wire.header(raw, limit)
    except wire.WireError:
        return
    assert head.status or 0 <= head.length <= limit


def test_the_meaning_of_a_status():
    assert wire.meaning(2) == "it knows no such file or group, or no storage of it is ACTIVE (status 2)"
    assert wire.meaning(28) == "no storage has space left above the reserved space (status 28)"
    assert wire.meaning(5) == "Input/output error (status 5)"
