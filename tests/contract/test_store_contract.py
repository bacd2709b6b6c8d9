"""The laws of the object store, for every adapter."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from shardlake.deadline import Deadline
from shardlake.errors import Conflict, DeadlineExceeded, ErrorKind, FormatError, InvalidInput, NotFound, Unavailable
from shardlake.limits import MIB
from shardlake.store.base import ByteRange, ObjectStore
from shardlake.testing import LostReplyStore, ManualClock, MemoryStore

BODY = bytes(range(256)) * 4


def test_what_is_put_is_what_is_got(store: ObjectStore) -> None:
    info = store.put("a/b", BODY)

    assert store.get("a/b", max_bytes=len(BODY)) == BODY
    assert (info.key, info.size_bytes) == ("a/b", len(BODY))
    assert store.head("a/b") == info


def test_a_key_is_any_text(store: ObjectStore) -> None:
    key = "inbox/films/with space+plus/ünïcode ☂/100%/a&b=c?d#e"
    store.put(key, b"x")

    assert store.get(key, max_bytes=1) == b"x"
    assert [info.key for info in store.list("inbox/films/with space+")] == [key]


def test_a_put_replaces(store: ObjectStore) -> None:
    store.put("k", b"first")
    store.put("k", b"second")

    assert store.get("k", max_bytes=100) == b"second"


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.put("k", b"")

    assert store.get("k", max_bytes=0) == b""
    assert store.get_suffix("k", 16) == (b"", 0)


def test_an_absent_object_is_not_found_by_any_reader(store: ObjectStore, tmp_path: Path) -> None:
    readers = [
        lambda: store.get("no", max_bytes=1),
        lambda: store.get_ranges("no", [ByteRange(0, 1)]),
        lambda: store.get_suffix("no", 1),
        lambda: store.open("no"),
        lambda: store.head("no"),
        lambda: store.download_file("no", tmp_path / "no"),
    ]
    for read in readers:
        with pytest.raises(NotFound) as caught:
            read()
        assert caught.value.kind is ErrorKind.OBJECT_NOT_FOUND
    assert not (tmp_path / "no").exists()


def test_a_get_refuses_what_is_larger_than_its_bound(store: ObjectStore) -> None:
    store.put("k", BODY)

    with pytest.raises(InvalidInput) as caught:
        store.get("k", max_bytes=len(BODY) - 1)
    assert caught.value.kind is ErrorKind.PAYLOAD_TOO_LARGE
    assert caught.value.context["size_bytes"] == len(BODY)


def test_ranges_come_in_the_order_asked(store: ObjectStore) -> None:
    store.put("k", BODY)
    ranges = [ByteRange(start, start + 7) for start in range(900, 0, -50)]

    assert store.get_ranges("k", ranges) == [BODY[span.start : span.stop] for span in ranges]


def test_many_ranges_come_at_once(store: ObjectStore) -> None:
    store.put("k", BODY)
    ranges = [ByteRange(start, start + 1) for start in range(200)]

    assert b"".join(store.get_ranges("k", ranges)) == BODY[:200]


def test_no_range_and_an_empty_range_read_nothing(store: ObjectStore) -> None:
    store.put("k", BODY)

    assert store.get_ranges("k", []) == []
    assert store.get_ranges("k", [ByteRange(5, 5), ByteRange(0, 2)]) == [b"", BODY[:2]]


@pytest.mark.parametrize(
    "span",
    [ByteRange(1023, 1025), ByteRange(1024, 1025), ByteRange(5000, 6000), ByteRange(-1, 4), ByteRange(9, 3)],
    ids=str,
)
def test_a_range_beyond_the_end_is_a_format_error(store: ObjectStore, span: ByteRange) -> None:
    store.put("k", BODY)

    with pytest.raises(FormatError) as caught:
        store.get_ranges("k", [ByteRange(0, 4), span])
    assert caught.value.kind is ErrorKind.MALFORMED_FILE


def test_ranges_of_the_object_that_is_meant(store: ObjectStore) -> None:
    store.put("k", BODY)
    etag = store.head("k").etag

    assert store.get_ranges("k", [ByteRange(0, 3), ByteRange(900, 905)], etag=etag) == [BODY[:3], BODY[900:905]]


@pytest.mark.parametrize("other", [BODY[::-1], b"short"], ids=["other", "shorter"])
def test_an_object_that_took_the_place_of_the_one_that_is_meant_is_not_read(store: ObjectStore, other: bytes) -> None:
    store.put("k", BODY)
    etag = store.head("k").etag
    store.put("k", other)

    with pytest.raises(NotFound) as caught:
        store.get_ranges("k", [ByteRange(900, 905)], etag=etag)
    assert caught.value.kind is ErrorKind.OBJECT_NOT_FOUND
    assert store.get_ranges("k", [ByteRange(0, 3)], etag=store.head("k").etag) == [other[:3]]


def test_a_suffix_is_the_end_and_says_the_size(store: ObjectStore) -> None:
    store.put("k", BODY)

    assert store.get_suffix("k", 10) == (BODY[-10:], len(BODY))
    assert store.get_suffix("k", len(BODY)) == (BODY, len(BODY))
    assert store.get_suffix("k", 99_999) == (BODY, len(BODY))


def test_a_stream_reads_as_a_file(store: ObjectStore) -> None:
    store.put("k", b"one\ntwo\n" + BODY)

    with store.open("k") as stream:
        assert stream.readline() == b"one\n"
        assert stream.read(4) == b"two\n"
        assert stream.read() == BODY
        assert stream.read() == b""


def test_put_if_absent_keeps_the_first_body(store: ObjectStore) -> None:
    store.put_if_absent("k", b"first")

    with pytest.raises(Conflict) as caught:
        store.put_if_absent("k", b"other")
    assert caught.value.kind is ErrorKind.OBJECT_EXISTS
    assert store.get("k", max_bytes=100) == b"first"


def test_put_if_absent_of_the_same_body_is_no_conflict(store: ObjectStore) -> None:
    first = store.put_if_absent("k", BODY)

    assert store.put_if_absent("k", BODY) == first


def test_put_if_absent_tells_bodies_of_one_length_apart(store: ObjectStore) -> None:
    store.put_if_absent("k", b"aaaa")

    with pytest.raises(Conflict):
        store.put_if_absent("k", b"aaab")


def test_put_if_absent_whose_reply_was_lost_can_be_repeated(store: ObjectStore) -> None:
    lossy = LostReplyStore(store)

    with pytest.raises(Unavailable):
        lossy.put_if_absent("k", BODY)
    assert lossy.put_if_absent("k", BODY).size_bytes == len(BODY)


def test_of_twenty_writers_one_puts_its_body(store: ObjectStore) -> None:
    def write(number: int) -> int | None:
        try:
            store.put_if_absent("k", b"body %d" % number)
        except Conflict:
            return None
        return number

    with ThreadPoolExecutor(20) as pool:
        winners = [number for number in pool.map(write, range(20)) if number is not None]

    assert len(winners) == 1
    assert store.get("k", max_bytes=100) == b"body %d" % winners[0]


def test_a_file_goes_up_and_comes_down_in_parts(store: ObjectStore, tmp_path: Path) -> None:
    body = BODY * (17 * MIB // len(BODY)) + b"end"  # one part and a little more
    (tmp_path / "up").write_bytes(body)

    info = store.upload_file("k", tmp_path / "up")
    store.download_file("k", tmp_path / "down")

    assert info.size_bytes == len(body)
    assert (tmp_path / "down").read_bytes() == body
    assert store.get_suffix("k", 3) == (b"end", len(body))


def test_an_object_in_parts_is_known_again_by_put_if_absent(store: ObjectStore, tmp_path: Path) -> None:
    body = BODY * (17 * MIB // len(BODY))  # its etag is no digest of its content
    (tmp_path / "up").write_bytes(body)
    store.upload_file("k", tmp_path / "up")

    assert store.put_if_absent("k", body).size_bytes == len(body)
    with pytest.raises(Conflict):
        store.put_if_absent("k", body[:-1] + b"?")


def test_a_list_is_in_key_order_and_below_its_prefix(store: ObjectStore) -> None:
    for key in ["p/b", "p/a", "p/a/c", "q/a", "p/é", "p/Z", "p"]:
        store.put(key, b"1")

    assert [info.key for info in store.list("p/")] == ["p/Z", "p/a", "p/a/c", "p/b", "p/é"]
    assert list(store.list("nothing/")) == []


def test_a_list_goes_on_behind_a_key(store: ObjectStore) -> None:
    for key in ("o/a", "o/a/c", "o/b", "o/c"):  # ASCII: LocalStack compares others as they are escaped
        store.put(key, b"")

    assert [info.key for info in store.list("o/", after="o/a")] == ["o/a/c", "o/b", "o/c"]
    assert [info.key for info in store.list("o/", after="o/a/b")] == ["o/a/c", "o/b", "o/c"]
    assert list(store.list("o/", after="p")) == []


def test_a_list_is_longer_than_a_page(store: ObjectStore) -> None:
    keys = [f"many/{number:04d}" for number in range(1_003)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b""), keys))

    assert [info.key for info in store.list("many/")] == keys


def test_deleting_is_repeatable(store: ObjectStore) -> None:
    store.put("k", BODY)

    store.delete("k")
    store.delete("k")

    assert list(store.list("")) == []


def test_nothing_is_read_when_no_time_is_left(store: ObjectStore) -> None:
    store.put("k", BODY)
    clock = ManualClock()
    deadline = Deadline.after(10, clock=clock)
    clock.advance(1)

    for read in (
        lambda: store.get("k", max_bytes=9_999, deadline=deadline),
        lambda: store.get_ranges("k", [ByteRange(0, 1)], deadline=deadline),
        lambda: store.get_suffix("k", 1, deadline=deadline),
    ):
        with pytest.raises(DeadlineExceeded):
            read()


def test_with_time_left_a_deadline_changes_nothing(store: ObjectStore) -> None:
    store.put("k", BODY)
    deadline = Deadline.after(20_000, clock=time.monotonic)

    assert store.get("k", max_bytes=9_999, deadline=deadline) == BODY
    assert store.get_ranges("k", [ByteRange(0, 3), ByteRange(3, 4)], deadline=deadline) == [BODY[:3], BODY[3:4]]
    assert store.get_suffix("k", 3, deadline=deadline) == (BODY[-3:], len(BODY))


def test_whoever_has_the_url_may_put_once_told_where(store: ObjectStore) -> None:
    key = "inbox/films/a b+c.jsonl"
    url = store.presign_put(key, expires_s=60)
    if isinstance(store, MemoryStore):
        assert key in url
        return

    answer = httpx.put(url, content=BODY)

    assert answer.status_code == 200
    assert answer.headers["etag"].strip('"') == store.head(key).etag
    assert store.get(key, max_bytes=len(BODY)) == BODY


def test_a_list_says_when_each_object_was_written(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # stores tell whole seconds
    store.put("when/a", b"1")

    (info,) = store.list("when/")

    assert info.written_at is not None
    assert before <= info.written_at <= datetime.now(UTC) + timedelta(seconds=2)
