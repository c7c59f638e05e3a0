"""The client and servers that behave, or do what broken and hostile ones do. Real sockets on loopback."""

from __future__ import annotations

import io
import re
import socket
import struct
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs import client as fastdfs
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs import wire

sys.path.insert(0, str(Path(__file__).parent))
from fake_fastdfs import CLOSE, HANG, RESET, answer, closed_address

FILE = wire.file_id("group1/M00/00/00/f6_SFWsE3XqAAkn7AAAADEtWdew009.jpg")
GROUP = wire.GROUP.pack(b"group1", *range(11))


@pytest.fixture
def ask():
    """ask(server…, timeout=…): a client of these trackers."""
    clients = []

    def make(*servers, timeout=10.0):
        trackers = [wire.Address(*getattr(server, "address", server)) for server in servers]
        clients.append(fastdfs.Client(trackers, timeout))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def target_of(server, path_index=None):
    host, port = server.address
    if path_index is None:
        return answer(wire.TARGET.pack(b"group1", host.encode(), port))
    return answer(wire.STORE_TARGET.pack(b"group1", host.encode(), port, path_index))


def cluster_of(serve, *parts):
    """(tracker, storage): the tracker names the storage for everything."""
    storage = serve(*parts)
    tracker = serve(
        lambda command, _body: [target_of(storage, 3 if command in (wire.QUERY_STORE, 104) else None)]
    )
    return tracker, storage


def test_a_tracker_is_asked_over_one_connection(serve, ask):
    server = serve(answer(GROUP + GROUP))
    client = ask(server)
    assert [group.name for group in client.list_groups()] == ["group1", "group1"]
    assert client.list_groups()[1].free_mb == 1
    assert server.seen == [(91, b""), (91, b"")]
    assert server.connections == 1


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again(serve, ask):
    server = serve(answer(GROUP))
    client = ask(server)
    client.list_groups()
    server.close_connections()
    client.list_groups()
    assert server.connections == 2


def test_a_connection_with_an_answer_that_nobody_asked_for_is_not_used_again(serve, ask):
    server = serve(answer(GROUP), b"more")
    client = ask(server)
    for _ in range(2):
        client.list_groups()
        # Until the surplus is here, nobody can know of it.
        time.sleep(0.2)
    assert server.connections == 2


def test_an_upload_goes_where_the_tracker_says_and_is_the_content(serve, ask):
    tracker, storage = cluster_of(serve, answer(b"group1".ljust(16, b"\0") + FILE.name.encode()))
    content = bytes(range(256)) * 5000
    assert ask(tracker).upload(content, "jpg") == FILE
    assert tracker.seen == [(wire.QUERY_STORE, b"")]
    assert storage.seen == [(11, struct.pack(">Bq", 3, len(content)) + b"jpg\0\0\0" + content)]


def test_an_upload_of_a_file_begins_where_the_file_stands(serve, ask):
    tracker, storage = cluster_of(serve, answer(b"group1".ljust(16, b"\0") + FILE.name.encode()))
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    ask(tracker).upload(file, group="group1")
    assert tracker.seen == [(104, b"group1".ljust(16, b"\0"))]
    assert storage.seen[0][1][15:] == b"456789"


def test_an_upload_to_a_named_storage_asks_no_tracker(serve, ask):
    _tracker, storage = cluster_of(serve, answer(b"group1".ljust(16, b"\0") + FILE.name.encode()))
    target = wire.Target("group1", wire.Address(*storage.address))
    assert ask().upload(b"x", "jpg", target=target) == FILE
    assert storage.seen == [(11, b"\xff" + struct.pack(">q", 1) + b"jpg\0\0\0x")]


def test_download_info_and_delete_go_to_the_storage_that_the_tracker_names(serve, ask):
    replies = {14: b"content", 22: wire.FILE_INFO.pack(7, 1, -1, b"192.0.2.1"), 12: b""}
    tracker, storage = cluster_of(serve, lambda command, _body: [answer(replies[command])])
    client = ask(tracker)
    assert client.download(FILE) == b"content"
    assert client.file_info(FILE) == wire.FileInfo(7, 1, 0xFFFFFFFF, "192.0.2.1")
    assert client.delete(FILE) is None
    assert [command for command, _body in tracker.seen] == [102, 102, 103]
    assert [command for command, _body in storage.seen] == [14, 22, 12]
    direct = ask()
    assert direct.download(FILE, 2, 7, storage=wire.Address(*storage.address)) == b"content"
    assert storage.seen[-1][1].startswith(struct.pack(">qq", 2, 7))


def test_without_a_tracker_what_needs_one_is_refused(ask):
    with pytest.raises(wire.WireError, match="no tracker is given"):
        ask().list_groups()


HOSTILE = {
    "closes at once": ([CLOSE], "closed", r"closed the connection after 0 of 10 bytes"),
    "resets": ([RESET], "closed", r"closed the connection early: Connection reset by peer"),
    "closes in the header": ([b"\0\0\0\0\0", CLOSE], "closed", r"closed the connection after 5 of 10 bytes"),
    "closes in the body": (
        [answer(b"x" * 50, length=105), CLOSE],
        "closed",
        r"closed the connection after 50 of 105 bytes",
    ),
    "speaks HTTP": (
        [b"HTTP/1.1 400 Bad Request\r\n\r\n", CLOSE],
        "garbage",
        r"answered garbage: command 32 instead of 100",
    ),
    "asks back": ([answer(command=91)], "garbage", r"answered garbage: command 91 instead of 100"),
    "says a length of 2^62": (
        [answer(length=2**62)],
        "garbage",
        r"answered garbage: a length of 4611686018427387904 bytes where at most 53760 can be",
    ),
    "says a negative length": (
        [answer(length=-5)],
        "garbage",
        r"answered garbage: a length of -5 bytes where at most 53760 can be",
    ),
    "says half a group": (
        [answer(GROUP[:50])],
        "garbage",
        r"answered garbage: 50 bytes, which is no multiple of 105",
    ),
    "names a group in no letters": (
        [answer(b"\xff" + GROUP[1:])],
        "garbage",
        r"answered garbage: a string that is not ASCII",
    ),
    "says nothing": ([HANG], "hung", r"hung for \d+\.\d s"),
    "stops in the middle": ([answer(GROUP)[:60], HANG], "hung", r"hung for \d+\.\d s"),
    "does not know": (
        [answer(status=2)],
        "status",
        r"refused: it knows no such file or group, or no storage of it is ACTIVE \(status 2\)",
    ),
    "has no space": (
        [answer(status=28)],
        "status",
        r"refused: no storage has space left above the reserved space \(status 28\)",
    ),
    "does not understand": (
        [answer(status=22), CLOSE],
        "status",
        r"refused: it takes the request for invalid \(status 22\)",
    ),
    "refuses at a length of 2^62": ([answer(status=2, length=2**62)], "status", r"refused: .*\(status 2\)"),
}


@pytest.mark.parametrize("parts, kind, happened", HOSTILE.values(), ids=HOSTILE)
def test_a_failure_is_one_sentence(serve, ask, parts, kind, happened):
    server = serve(*parts)
    client = ask(server, timeout=2 if HANG in parts else 10)
    with pytest.raises(fastdfs.FastdfsError) as caught:
        client.list_groups()
    begin = re.escape(f"tracker 127.0.0.1:{server.address[1]}, asked for its groups, ")
    assert re.fullmatch(begin + happened, str(caught.value))
    assert caught.value.kind == kind
    assert bool(caught.value.status) == (kind == "status")
    # Such a connection is not used again.
    server.respond = lambda _command, _body: [answer(GROUP)]
    assert len(client.list_groups()) == 1
    assert server.connections == 2


@pytest.mark.parametrize(
    "host, port, wrong",
    [
        (b"a..b", 1, "'a..b' for the address"),
        (b"evil.example", 1, "'evil.example' for the address"),
        (b"", 1, "'' for the address"),
        (b"192.0.2.1", 2**40, "1099511627776 for the port"),
        (b"192.0.2.1", 0, "0 for the port"),
        (b"192.0.2.1", -1, "-1 for the port"),
    ],
)
def test_a_tracker_cannot_send_a_client_to_what_is_no_storage(serve, ask, host, port, wrong):
    for_reads = ask(serve(answer(wire.TARGET.pack(b"group1", host, port))))
    with pytest.raises(fastdfs.FastdfsError, match=f"answered garbage: {wrong}"):
        for_reads.download(FILE)
    for_uploads = ask(serve(answer(wire.STORE_TARGET.pack(b"group1", host, port, 0))))
    with pytest.raises(fastdfs.FastdfsError, match=f"answered garbage: {wrong}"):
        for_uploads.upload(b"content")


def test_nobody_there_is_one_sentence(ask):
    host, port = closed_address()
    with pytest.raises(fastdfs.FastdfsError) as caught:
        ask((host, port)).list_groups()
    assert (
        str(caught.value)
        == f"tracker 127.0.0.1:{port}, asked for its groups, could not be reached: Connection refused"
    )
    assert caught.value.kind == "refused"


def test_a_storage_that_promises_2_to_the_62_bytes_costs_no_memory(serve, ask):
    storage = serve(answer(b"x" * 1000, length=2**62), HANG)
    small = serve(answer(b"x" * 1000, length=wire.MAX_CONTENT), CLOSE)
    client = ask()
    tracemalloc.start()
    try:
        with pytest.raises(fastdfs.FastdfsError, match="garbage: a length of 4611686018427387904 bytes"):
            client.download(FILE, storage=wire.Address(*storage.address))
        with pytest.raises(fastdfs.FastdfsError, match="closed the connection after 1000 of 4294967296"):
            client.download(FILE, storage=wire.Address(*small.address))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_part_may_not_be_longer_than_asked_for(serve, ask):
    storage = serve(answer(b"x" * 6))
    with pytest.raises(fastdfs.FastdfsError, match="a length of 6 bytes where at most 5 can be"):
        ask().download(FILE, 0, 5, storage=wire.Address(*storage.address))


def test_the_timeout_holds_for_drops_that_keep_coming(serve, ask):
    # Each byte comes in time, all of them do not.
    def drip(_command, _body):
        for byte in answer(GROUP):
            time.sleep(0.05)
            yield bytes([byte])

    begin = time.monotonic()
    with pytest.raises(fastdfs.FastdfsError, match=r"hung for \d+\.\d s"):
        ask(serve(drip), timeout=0.3).list_groups()
    assert time.monotonic() - begin < 5


def test_the_timeout_holds_for_the_tracker_and_the_storage_together(serve, ask):
    storage = serve(HANG)

    def slowly(_command, _body):
        time.sleep(1)
        yield target_of(storage)

    begin = time.monotonic()
    with pytest.raises(fastdfs.FastdfsError, match=r"storage .* hung") as caught:
        ask(serve(slowly), timeout=2).download(FILE)
    hung = float(re.search(r"hung for ([\d.]+) s", str(caught.value))[1])
    assert hung < 1.9
    assert time.monotonic() - begin < 10


def test_the_timeout_holds_for_an_upload_that_nobody_reads(ask):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = wire.Target("group1", wire.Address(*silent.getsockname()))
        with pytest.raises(fastdfs.FastdfsError, match=r"asked to take a file of 50000000 bytes, hung for"):
            ask(timeout=0.3).upload(bytes(50_000_000), target=target)


def test_the_next_tracker_is_asked_when_one_does_not_answer(serve, ask):
    for parts in ([CLOSE], [answer(command=1)], [HANG], [answer(status=2)]):
        bad, good = serve(*parts), serve(answer(GROUP))
        assert len(ask(bad, good, timeout=6).list_groups()) == 1
        assert (len(bad.seen), len(good.seen)) == (1, 1)
    assert len(ask(closed_address(), good).list_groups()) == 1


def test_the_first_tracker_is_asked_first(serve, ask):
    first, second = serve(answer(GROUP)), serve(answer(GROUP))
    ask(first, second).list_groups()
    assert (len(first.seen), len(second.seen)) == (1, 0)


def test_when_no_tracker_answers_each_is_named_and_a_status_counts(serve, ask):
    gone = closed_address()
    with pytest.raises(fastdfs.FastdfsError) as caught:
        ask(gone, serve(answer(status=2))).query_store("group9")
    assert str(caught.value).count("; ") == 1
    assert f"tracker 127.0.0.1:{gone[1]}, asked for a storage to upload to in group9, could not" in str(
        caught.value
    )
    assert (caught.value.kind, caught.value.status) == ("status", 2)


def test_a_content_that_shrinks_is_an_error(serve, ask):
    class Shrinking(io.BytesIO):
        def read(self, size=-1):
            return b""

    tracker, _storage = cluster_of(serve, answer())
    with pytest.raises(ValueError, match="the content ended 5 bytes before"):
        ask(tracker).upload(Shrinking(b"12345"))
