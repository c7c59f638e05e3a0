# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ``fastdfs_file`` as Ansible calls it, with servers that behave or do not, and with whole clusters on loopback."""

from __future__ import annotations

import base64
import os
import re
import socket
import time
from pathlib import Path

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs import files, wire
from ansible_collections.imageops.lvs_fastdfs.plugins.modules import (
    fastdfs_file,
    fastdfs_info,
    fastdfs_member,
)
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils.tracker_data import tracker_data_problems
from fake_fastdfs import CLOSE, HANG, answer
from fdfs_cluster import wait_for
from fdfs_fixtures import needs_real

CONTENT = bytes(range(256)) * 10
CRC = wire.crc32(CONTENT)


def id_of(content, mark=0, crc=None, source="127.0.0.1"):
    """A file id as a storage would name this content."""
    crc = wire.crc32(content) if crc is None else crc
    stem = wire.STEM.pack(socket.inet_aton(source), 1700000000, len(content) | mark, crc)
    return f"group1/M00/00/00/{base64.b64encode(stem, b'-_').decode()[:27]}1234567"


FILE = id_of(CONTENT)
APPENDER = id_of(CONTENT, 1 << 58)


class Storage:
    """A storage that has one file, and behaves but for what a test sets: `answers` by command, `content`."""

    def __init__(self, serve, content=CONTENT):
        self.content, self.answers, self.taken = content, {}, FILE
        self.server = serve(self.respond)
        host, port = self.server.address
        self.target = (b"group1", host.encode(), port)
        self.status = 7
        self.tracker = serve(self.track)
        self.trackers = [f"127.0.0.1:{self.tracker.address[1]}"]
        self.members = [host]

    def asked(self):
        return [command for command, _body in self.server.seen]

    def respond(self, command, body):
        if command in self.answers:
            return self.answers[command]
        if command == wire.UPLOAD:
            return [answer(b"group1".ljust(16, b"\0") + self.taken.split("/", 1)[1].encode())]
        if self.content is None:
            return [answer(status=2)]
        if command == wire.QUERY_FILE_INFO:
            return [answer(wire.FILE_INFO.pack(len(self.content), 1700000001, 5, b"127.0.0.1"))]
        if command == wire.DOWNLOAD:
            offset, length = int.from_bytes(body[:8], "big"), int.from_bytes(body[8:16], "big")
            return [answer(self.content[offset : offset + length])]
        self.content = None
        return [answer()]

    def track(self, command, body):
        if command in self.answers:
            return self.answers[command]
        if command == wire.LIST_GROUPS:
            return [answer(wire.GROUP.pack(b"group1", *[1] * 11))]
        if command == wire.LIST_STORAGES:
            records = [
                wire.STORAGE.pack(self.status, *[host.encode()] * 2, *[b""] * 3, *[0] * 10, bytes(348), 0)
                for host in self.members
            ]
            return [answer(b"".join(records))]
        if body and not body.startswith(b"group1\0"):
            return [answer(status=2)]
        if command in (wire.QUERY_STORE, wire.QUERY_STORE_OF_GROUP):
            return [answer(wire.STORE_TARGET.pack(*self.target, 0))]
        return [answer(wire.TARGET.pack(*self.target))]


@pytest.fixture
def storage(serve, monkeypatch):
    """It gets asked for its file in several parts."""
    monkeypatch.setattr(files, "PART", 1000)
    return Storage(serve)


@pytest.fixture
def src(tmp_path):
    path = tmp_path / "image.jpg"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def do(run, storage):
    """do(state…): the module's result with this storage."""
    return lambda **values: run(fastdfs_file, **{"trackers": storage.trackers, "timeout": 5, **values})


def test_an_upload_returns_the_id_with_size_and_crc(do, storage, src):
    result = do(src=str(src), group="group1")
    assert (result["changed"], result["file_id"], result["size"], result["crc32"]) == (
        True,
        FILE,
        len(CONTENT),
        CRC,
    )
    assert result["from_id"]["source"] == "127.0.0.1" and result["from_storage"] is None
    assert storage.tracker.seen == [(wire.QUERY_STORE_OF_GROUP, b"group1".ljust(16, b"\0"))]
    [(command, body)] = storage.server.seen
    assert command == wire.UPLOAD and body[9:15] == b"jpg\0\0\0" and body[15:] == CONTENT


@pytest.mark.parametrize(
    "name, given, sent",
    [("a.jpeg", None, b"jpeg"), ("a", None, b""), ("a.toolong", None, b""), ("a.b c", None, b""), (".jpg", None, b""),
     ("a.jpg", "png", b"png"), ("a.jpg", "", b"")],
)  # fmt: skip
def test_the_extension_is_that_of_the_file_or_the_one_that_is_given(do, storage, tmp_path, name, given, sent):
    (tmp_path / name).write_bytes(CONTENT)
    assert do(src=str(tmp_path / name), extension=given)["changed"]
    assert storage.server.seen[0][1][9:15].rstrip(b"\0") == sent


def test_an_upload_that_the_storage_names_otherwise_is_an_error_with_the_id(do, storage, src):
    for storage.taken in (id_of(CONTENT[1:]), id_of(CONTENT, crc=7), APPENDER):
        result = do(src=str(src))
        assert result["failed"] and storage.taken in result["msg"] and "delete this file id" in result["msg"]


def test_check_mode_uploads_nothing_and_still_finds_what_is_wrong(do, storage, src):
    result = do(src=str(src), check=True)
    assert (result["changed"], result["file_id"], result["size"], result["crc32"]) == (
        True,
        None,
        len(CONTENT),
        CRC,
    )
    assert storage.server.seen == []
    for check in (True, False):
        assert do(src=str(src), group="group9", check=check)["msg"] == (
            f"group group9 is not known; trackers asked: {storage.trackers[0]}; groups known: group1"
        )
        assert "is no extension for FastDFS" in do(src=str(src), extension="a/b", check=check)["msg"]
        assert "is no name of a group" in do(src=str(src), group="no group", check=check)["msg"]
        assert (
            do(src=str(src.parent / "none"), check=check)["msg"]
            == f"{src.parent / 'none'}: No such file or directory"
        )
    assert storage.server.seen == []


def test_with_a_file_id_present_compares_and_changes_nothing(do, storage, src):
    for check in (False, True):
        result = do(src=str(src), file_id=FILE, check=check)
        assert (result["changed"], result["file_id"], result["crc32"]) == (False, FILE, CRC)
        assert result["from_storage"]["size"] == len(CONTENT)
    assert set(storage.asked()) == {wire.QUERY_FILE_INFO, wire.DOWNLOAD}
    # what is stored is damaged, in its last part
    storage.content = CONTENT[:-9] + b"X" + CONTENT[-8:]
    result = do(src=str(src), file_id=FILE)
    assert re.fullmatch(
        rf"storage \S+ sent {FILE} damaged: 2560 bytes with CRC \d+ came, the id tells .* {CRC}",
        result["msg"],
    )
    storage.content = CONTENT[:-1]
    result = do(src=str(src), file_id=FILE)
    assert re.fullmatch(rf"storage \S+ holds 2559 bytes of {FILE}, whose id tells 2560", result["msg"])


def test_another_local_file_is_told_from_the_stored_one_without_reading_it(do, storage, src):
    src.write_bytes(CONTENT[1:])
    result = do(src=str(src), file_id=FILE)
    assert result["msg"] == (
        f"{FILE} is not {src}: it has 2560 bytes with CRC {CRC}, "
        f"the local file 2559 bytes with CRC {wire.crc32(CONTENT[1:])}"
    )
    assert wire.DOWNLOAD not in storage.asked()


def test_a_file_whose_id_tells_nothing_is_compared_by_its_content(do, storage, src):
    assert do(src=str(src), file_id=APPENDER)["crc32"] == CRC
    storage.content = CONTENT + b"appended"
    assert f"{APPENDER} is not {src}: it has 2568 bytes" in do(src=str(src), file_id=APPENDER)["msg"]
    storage.content = b"X" + CONTENT[1:]
    assert f"{APPENDER} is not {src}: it has 2560 bytes" in do(src=str(src), file_id=APPENDER)["msg"]


def test_info_alone_does_not_read(do, storage):
    result = do(file_id=FILE)
    assert result["from_id"] == {
        "group": "group1", "source": "127.0.0.1", "timestamp": 1700000000, "size": len(CONTENT), "crc32": CRC,
        "appender": False, "slave": False,
    }  # fmt: skip
    assert result["from_storage"] == {
        "address": "127.0.0.1:%d" % storage.server.address[1], "size": len(CONTENT), "timestamp": 1700000001, "crc32": 5,
        "source": "127.0.0.1",
    }  # fmt: skip
    assert (result["changed"], result["size"], result["crc32"]) == (False, len(CONTENT), CRC)
    assert storage.asked() == [wire.QUERY_FILE_INFO]
    untold = do(file_id=APPENDER)
    assert (untold["size"], untold["crc32"], untold["from_id"]["appender"]) == (len(CONTENT), None, True)
    storage.content = None
    assert "it knows no such file" in do(file_id=FILE)["msg"]


def test_fetched_is_there_at_once_or_not_at_all(do, storage, tmp_path):
    dest = tmp_path / "here" / "image.jpg"
    dest.parent.mkdir()
    values = {"file_id": FILE, "dest": str(dest), "state": "fetched"}
    assert do(check=True, **values)["changed"] and not dest.exists()
    result = do(**values)
    assert (result["changed"], result["size"], result["crc32"], dest.read_bytes()) == (
        True,
        len(CONTENT),
        CRC,
        CONTENT,
    )
    asked = len(storage.tracker.seen)
    for check in (False, True):
        assert do(check=check, **values)["changed"] is False
    assert len(storage.tracker.seen) == asked

    dest.write_bytes(b"old")
    dest.chmod(0o640)
    for content, part in (
        (b"X" + CONTENT[1:], None),
        (CONTENT[1:], None),
        (CONTENT, [answer(b"x" * 500, length=1000), CLOSE]),
        (CONTENT, [answer()]),
    ):
        storage.content = content
        storage.answers = {} if part is None else {wire.DOWNLOAD: part}
        result = do(**values)
        assert result["failed"] and FILE in result["msg"]
        assert (dest.read_bytes(), os.listdir(dest.parent)) == (b"old", ["image.jpg"])
    storage.content, storage.answers = CONTENT, {}
    assert do(**values)["changed"] and dest.read_bytes() == CONTENT
    assert dest.stat().st_mode & 0o777 == 0o640


def test_fetched_is_written_beside_its_destination(do, storage, tmp_path):
    beside = []

    def respond(command, body):
        beside.append(len(os.listdir(tmp_path)))
        return storage.respond(command, body)

    storage.server.respond = respond
    assert do(file_id=FILE, dest=str(tmp_path / "dest"), state="fetched")["changed"]
    assert beside == [0, 1, 1, 1] and os.listdir(tmp_path) == ["dest"]


def test_fetched_of_a_file_whose_id_tells_nothing(do, storage, tmp_path):
    dest = tmp_path / "image.jpg"
    values = {"file_id": APPENDER, "dest": str(dest), "state": "fetched"}
    assert do(**values)["changed"] and do(check=True, **values)["changed"] is False
    inode = dest.stat().st_ino
    assert do(**values)["changed"] is False and dest.stat().st_ino == inode
    storage.content = CONTENT + b"appended"
    assert do(check=True, **values)["changed"] and dest.read_bytes() == CONTENT
    assert do(**values)["changed"] and dest.read_bytes() == storage.content


@pytest.mark.parametrize("name", ["missing/image.jpg", "."])
def test_a_destination_that_cannot_be_is_refused_before_anybody_is_asked(do, storage, tmp_path, name):
    result = do(file_id=FILE, dest=str(tmp_path / name), state="fetched")
    assert "must be the path of a file in a directory that is there" in result["msg"]
    assert storage.tracker.seen == []


def test_absent_deletes_once(do, storage):
    assert do(file_id=FILE, state="absent", check=True)["changed"] and storage.content is not None
    assert do(file_id=FILE, state="absent")["changed"] and storage.content is None
    for check in (False, True):
        assert do(file_id=FILE, state="absent", check=check)["changed"] is False


@pytest.mark.parametrize("check", [False, True])
def test_absent_does_not_believe_a_peer_while_the_source_may_come_back(do, storage, check):
    file = id_of(CONTENT, source="127.0.0.9")
    values = {"file_id": file, "state": "absent", "check": check}
    storage.members, storage.content, storage.status = ["127.0.0.1", "127.0.0.9"], None, 5
    result = do(**values)
    assert result["failed"] and result["msg"] == (
        f"storage 127.0.0.1:{storage.server.address[1]} has no {file}, "
        "but 127.0.0.9, which took its upload, is OFFLINE and may have it"
    )
    storage.status = 4  # it left the group
    assert do(**values)["changed"] is False
    storage.members, storage.status = ["127.0.0.1"], 7
    assert do(**values)["changed"] is False


@pytest.mark.parametrize(
    "group, active, message",
    [
        ("group9", 1, "group group9 is not known; trackers asked: {}; groups known: group1"),
        ("group1", 0, "no storage of group1 is ACTIVE, of 3; trackers asked: {}"),
    ],
)
@pytest.mark.parametrize("state", files.STATES)
def test_why_no_storage_is_named(do, storage, tmp_path, state, group, active, message):
    listed = [3 if name == "storage_count" else active for name in wire.GroupInfo._fields[1:]]
    storage.answers = {command: [answer(status=2)] for command in (102, 103)}
    storage.answers[wire.LIST_GROUPS] = [answer(wire.GROUP.pack(b"group1", *listed))]
    more = {"dest": str(tmp_path / "dest")} if state == "fetched" else {}
    result = do(file_id=FILE.replace("group1", group), state=state, **more)
    assert result["failed"] and result["msg"] == message.format(*storage.trackers)


HOSTILE = {
    "hangs": ([HANG], r"hung for \d\.\d s"),
    "closes": ([CLOSE], r"closed the connection after 0 of 10 bytes"),
    "speaks HTTP": ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], r"answered garbage: .*"),
    "promises 2^62 bytes": ([answer(length=2**62)], r"answered garbage: a length of 4611686018427387904 bytes .*"),
}  # fmt: skip


@pytest.mark.parametrize("parts, happened", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("command", [101, 102, 103, 11, 12, 14, 22])
def test_a_server_that_does_not_behave_is_named(do, storage, src, tmp_path, command, parts, happened):
    storage.answers = {command: parts}
    role = storage.tracker if command > 100 else storage.server
    values = {
        101: {"src": str(src)},
        11: {"src": str(src)},
        103: {"file_id": FILE, "state": "absent"},
        12: {"file_id": FILE, "state": "absent"},
        14: {"file_id": FILE, "state": "fetched", "dest": str(tmp_path / "dest")},
    }.get(command, {"file_id": FILE})
    result = do(timeout=1 if HANG in parts else 5, **values)
    name = "tracker" if command > 100 else "storage"
    assert result["failed"]
    assert re.fullmatch(rf"{name} 127\.0\.0\.1:{role.address[1]}, asked .*, {happened}", result["msg"])
    assert os.listdir(tmp_path) == ["image.jpg"]


@pytest.mark.parametrize("size, file", [(-1, FILE), (2**62, FILE), (-1, APPENDER)])
def test_a_size_that_cannot_be_is_not_fetched(do, storage, tmp_path, size, file):
    storage.answers = {wire.QUERY_FILE_INFO: [answer(wire.FILE_INFO.pack(size, 0, 0, b""))]}
    result = do(file_id=file, state="fetched", dest=str(tmp_path / "dest"))
    assert result["failed"] and f"holds {size} bytes of {file}" in result["msg"]
    assert wire.DOWNLOAD not in storage.asked()


@pytest.mark.parametrize(
    "values, message",
    [
        ({}, "state is present but any of the following are missing: src, file_id"),
        ({"state": "fetched", "file_id": FILE}, "state is fetched but all of the following are missing: dest"),
        ({"state": "absent"}, "state is absent but all of the following are missing: file_id"),
        ({"file_id": FILE, "dest": "/x"}, "dest: means nothing with state=present"),
        ({"state": "absent", "file_id": FILE, "src": "/x"}, "src: means nothing with state=absent"),
        ({"state": "fetched", "file_id": FILE, "dest": "/x", "group": "g"}, "group: means nothing with state=fetched"),
        ({"file_id": FILE, "group": "group1"}, "group: is for an upload, and file_id names a file that is there already"),
        ({"file_id": "group1/M00/00/00/short.jpg"}, "'group1/M00/00/00/short.jpg' is no file id: those look like"),
        ({"file_id": "../../etc/passwd"}, "'../../etc/passwd' is no file id: those look like"),
        ({"file_id": FILE, "timeout": 0}, "timeout: must be seconds from 0.1 to 86400, not 0.0"),
        ({"file_id": FILE, "trackers": []}, "trackers: is empty; name one tracker at least"),
    ],
)  # fmt: skip
def test_options_that_cannot_be(do, storage, values, message):
    assert do(**values)["msg"].startswith(message)
    assert storage.tracker.seen == storage.server.seen == []


def stop(run, tracker, daemon):
    """Stop a storage; returns once its tracker knows."""
    daemon.stop()
    wanted = {"storages": [daemon.address], "status": "OFFLINE"}
    result = run(fastdfs_info, trackers=[tracker], wait_for=wanted, poll_interval=0.1)
    assert "msg" not in result, result["msg"]


def test_a_real_or_simulated_cluster_from_upload_to_delete(run, cluster, prefix, src, tmp_path):
    tracker = cluster.tracker(prefix)
    storages = [cluster.storage(prefix, number) for number in (21, 22)]
    cluster.wait_active(prefix, *storages, seconds=60)

    def do(**values):
        return run(fastdfs_file, trackers=[tracker.address], **values)

    large = bytes(range(256)) * 5000  # more than one part
    src.write_bytes(large)
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    for path in (src, empty):
        content = path.read_bytes()
        up = do(src=str(path), group="group1")
        assert (up["changed"], up["size"], up["crc32"]) == (True, len(content), wire.crc32(content)), up
        file = up["file_id"]
        assert file.endswith(".jpg") == (path is src)
        assert abs(up["from_id"]["timestamp"] - time.time()) < 60
        assert do(src=str(path), file_id=file)["changed"] is False
        info = do(file_id=file)["from_storage"]
        assert (info["size"], info["crc32"]) == (len(content), wire.crc32(content))
        assert info["source"] in [storage.address for storage in storages]
        assert cluster.download(prefix, file) == content
        dest = tmp_path / "dest"
        values = {"file_id": file, "dest": str(dest), "state": "fetched"}
        assert do(**values)["changed"] and dest.read_bytes() == content
        assert do(**values)["changed"] is False
        assert do(file_id=file, state="absent", check=True)["changed"]
        assert do(file_id=file, state="absent")["changed"]
        assert do(file_id=file, state="absent")["changed"] is False
        assert do(file_id=file, state="absent", check=True)["changed"] is False
        # The other storage follows, and the tracker may name that one.
        wait_for(
            lambda file=file: "it knows no such file" in do(file_id=file).get("msg", ""),
            40,
            "the delete on both",
        )
    assert do(src=str(src), group="group9")["msg"] == (
        f"group group9 is not known; trackers asked: {tracker.address}:22122; groups known: group1"
    )

    # Damage on the disks is found. The tracker may name either storage.
    file = do(src=str(src))["file_id"]
    [taker] = [each for each in storages if each.address == wire.file_id(file).source]
    wait_for(lambda: all(each.file(file).exists() for each in storages), 40, "the file on both")
    for each in storages:
        each.file(file).write_bytes(b"X" + large[1:])
    assert "damaged: 1280000 bytes with CRC" in do(src=str(src), file_id=file)["msg"]
    for each in storages:
        each.file(file).write_bytes(large[1:])
    assert "holds 1279999 bytes of" in do(file_id=file)["msg"]

    # While the source is away, nobody else knows for sure that a file is not there.
    stop(run, tracker.address, taker)
    values = {"file_id": file, "state": "absent"}
    assert do(**values)["changed"]
    assert re.search(
        rf"has no {file}, but {taker.address}, which took its upload, is OFFLINE and may have it",
        do(**values)["msg"],
    )
    for each in storages:
        stop(run, tracker.address, each)
    assert (
        do(**values)["msg"]
        == f"no storage of group1 is ACTIVE, of 2; trackers asked: {tracker.address}:22122"
    )


@needs_real
def test_a_real_cluster_with_storage_ids(run, cluster, real, src):
    ids = cluster.directory / "storage_ids.conf"
    addresses = [f"{cluster.network}.{number}" for number in (21, 22)]
    ids.write_text("".join(f"{number} group1 {host}\n" for number, host in enumerate(addresses, 100021)))
    settings = {"use_storage_id": "true", "storage_ids_filename": ids, "id_type_in_filename": "id"}
    trackers = [cluster.tracker(real, **settings).address]
    storages = {str(number): cluster.storage(real, number - 100000) for number in (100021, 100022)}
    # one by its id, one by its address
    waited = run(fastdfs_info, trackers=trackers, wait_for={"storages": ["100021", addresses[1]]})
    assert "msg" not in waited, waited["msg"]
    vain = run(
        fastdfs_info,
        trackers=trackers,
        wait_for={"storages": ["100022"], "status": "OFFLINE"},
        wait_timeout=0,
    )
    assert vain["msg"].endswith(f"storage {addresses[1]} (id 100022) of group1 is ACTIVE")

    up = run(fastdfs_file, trackers=trackers, src=str(src))
    source = up["from_id"]["source"]
    values = {"trackers": trackers, "file_id": up["file_id"], "state": "absent"}
    info = run(fastdfs_file, trackers=trackers, file_id=up["file_id"])
    assert info["from_storage"]["source"] == storages[source].address
    wait_for(
        lambda: all(each.file(up["file_id"]).exists() for each in storages.values()), 40, "both to have it"
    )
    stop(run, trackers[0], storages[source])
    assert run(fastdfs_file, **values)["changed"]
    assert (
        f"but {storages[source].address}, which took its upload, is OFFLINE"
        in run(fastdfs_file, **values)["msg"]
    )


def listed(cluster, hosts):
    """The storages with these ids and hosts are in storage_ids.conf; returns that as the role has it."""
    lines = {number: f"{cluster.network}.{host}" for number, host in hosts.items()}
    text = "".join(f"{number} group1 {address}\n" for number, address in lines.items())
    (cluster.directory / "storage_ids.conf").write_text(text)
    return [{"id": number, "group": "group1", "address": address} for number, address in lines.items()]


def with_ids(cluster, prefix):
    """A started tracker that goes by storage_ids.conf."""
    ids = cluster.directory / "storage_ids.conf"
    return cluster.tracker(prefix, use_storage_id="true", storage_ids_filename=ids, id_type_in_filename="id")


def addresses(run, tracker, *storages):
    """Address by id, once these storages are ACTIVE."""
    waited = run(
        fastdfs_info, trackers=[tracker.address], wait_for={"storages": list(storages)}, wait_timeout=60
    )
    assert "msg" not in waited, waited["msg"]
    return {each["id"]: each["address"] for each in waited["groups"][0]["storages"]}


def test_a_storage_with_an_id_may_get_another_address(run, cluster, prefix, src):
    """What site.yml does to a cluster whose storage has moved: new list, tracker and storage start again."""
    listed(cluster, {1: 21, 16777215: 22})
    tracker = with_ids(cluster, prefix)
    stays, moves = storages = [cluster.storage(prefix, host) for host in (21, 22)]
    addresses(run, tracker, "1", "16777215")

    def uploaded():
        """The id of a new file of each storage, once both have it."""
        found = {}
        for _try in range(9):
            up = run(fastdfs_file, trackers=[tracker.address], src=str(src))
            files = [each.file(up["file_id"]) for each in storages]
            wait_for(lambda files=files: all(map(Path.exists, files)), 40, "both to have it")
            found[up["from_id"]["source"]] = up["file_id"]
            if len(found) == len(storages):
                return found
        raise AssertionError(f"uploads to {', '.join(found)} only")

    old = uploaded()
    assert sorted(old) == ["1", "16777215"]
    _stays, moved = listed(cluster, {1: 21, 16777215: 23})
    tracker.stop()
    tracker.start()
    moves.stop()
    moves.address = moves.settings["bind_addr"] = moved["address"]
    moves.start()
    assert addresses(run, tracker, "1", moved["address"]) == {"1": stays.address, "16777215": moves.address}
    for file in old.values():
        assert cluster.download(prefix, file) == src.read_bytes()
    # Either way, and without a word to the storage that stays where it is.
    new = uploaded()["16777215"]
    info = run(fastdfs_file, trackers=[tracker.address], file_id=new)
    assert info["from_storage"]["source"] == moves.address


@needs_real
def test_a_real_tracker_goes_on_with_the_ids_that_it_knows(run, cluster, real):
    both = listed(cluster, {1: 21, 2: 22})
    tracker = with_ids(cluster, real)
    stays, leaves = [cluster.storage(real, host) for host in (21, 22)]
    addresses(run, tracker, "1", "2")

    def said(ids, after=0):
        names = ("storage_servers_new.dat", "storage_changelog.dat")
        texts = [(tracker.base / "data" / name).read_text() for name in names]
        return tracker_data_problems(*texts, ids, "it", int(time.time()) + after)

    assert said(both) == []
    assert "it knows storages by ids (" in said([])[0]
    only = listed(cluster, {1: 21})
    assert "it knows the storage 2 of group1" in said(only)[0]
    tracker.stop()
    tracker.run()
    wait_for(lambda: "check storage id fail" in tracker.log(), what="its refusal")
    listed(cluster, {1: 21, 2: 22})
    tracker.start()
    addresses(run, tracker, "1", "2")
    stop(run, tracker.address, leaves)
    assert run(fastdfs_member, trackers=[tracker.address], group="group1", storage="2")["changed"]
    # The tracker breaks when a storage tells it of one that is not in the list, unless it knows that that left. Here heart-beats are 1 s apart.
    assert "run this again in" in said(only)[0]
    assert said(only, after=90) == []
    time.sleep(4)
    listed(cluster, {1: 21})
    tracker.stop()
    tracker.start()
    assert addresses(run, tracker, "1") == {"1": stays.address}
