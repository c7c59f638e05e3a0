"""Wire format and file ids, without any network. The known values come from real FastDFS 5.05."""

from __future__ import annotations

import random
import socket
import zlib

import pytest
from fdfs_simulator import wire

KNOWN_CRC = [(b"", 0), (b"a", 397917763), (b"FastDFS 5.05", 1263957484), (bytes(range(256)), 1602018980)]
KNOWN_ID = "group1/M00/00/00/f6_SFWsE3XqAAkn7AAAADEtWdew009.jpg"
KNOWN_FILE = wire.FileName("127.175.210.21", 1795480954, 12, 1263957484)
SIZES = {"BRIEF": 37, "GROUP": 105, "STORAGE": 612, "STAT": 348, "JOIN": 217, "HEADER": 10}


@pytest.mark.parametrize(("layout", "size"), SIZES.items())
def test_layouts_have_the_sizes_that_upstream_checks(layout, size):
    assert getattr(wire, layout).size == size


def test_every_number_of_the_statistics_has_one_name():
    assert len(set(wire.STAT_NAMES)) == len(wire.STAT_NAMES) == len(wire.STAT.unpack(bytes(348)))


@pytest.mark.parametrize(("content", "crc"), KNOWN_CRC)
def test_crc_is_upstreams(content, crc):
    assert wire.crc32(content) == crc


def test_crc_is_not_zlibs():
    content = random.Random(1).randbytes(100)
    assert wire.crc32(content) != zlib.crc32(content)


def test_a_real_file_id_is_read():
    file = wire.FileName.decode(KNOWN_ID)
    assert file == KNOWN_FILE


@pytest.mark.parametrize("size", [0, 1, 0xFFFFFFFF, 1 << 32, 5 << 32])
def test_file_ids_keep_what_they_carry(size):
    file = wire.FileName("192.168.10.74", 1700000000, size, 0xFFFFFFFF)
    name = file.encode()
    assert len(name) == 27
    assert wire.FileName.decode(f"group1/M00/0A/FF/{name}1234567") == file


def test_equal_files_get_unequal_names():
    file = wire.FileName("192.168.10.74", 1700000000, 5, 1)
    assert len({file.encode() for _ in range(50)}) > 45


@pytest.mark.parametrize("name", ["", "group1/M00/00/00/short.jpg", "group1/M00/00/00/" + "*" * 27])
def test_what_is_no_file_id_is_refused(name):
    with pytest.raises(ValueError, match=r"file id|base64|padding|padded|alphabet"):
        wire.FileName.decode(name)


def test_a_call_brings_the_answer_or_its_status():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(wire.HEADER.pack(3, wire.Cmd.RESPONSE, 0) + b"yes")
        assert wire.call(ours, wire.Cmd.ACTIVE_TEST, b"body") == b"yes"
        assert wire.receive(theirs) == (111, 0, b"body")
        theirs.sendall(wire.HEADER.pack(0, wire.Cmd.RESPONSE, 28))
        with pytest.raises(OSError, match="No space left") as caught:
            wire.call(ours, wire.Cmd.STORE)
        assert caught.value.errno == 28


def test_a_call_that_is_cut_off_fails():
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(wire.HEADER.pack(100, wire.Cmd.RESPONSE, 0) + b"half")
        theirs.close()
        with pytest.raises(ConnectionError):
            wire.call(ours, wire.Cmd.ACTIVE_TEST)
