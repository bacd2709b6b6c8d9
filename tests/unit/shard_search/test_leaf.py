"""The leaf: what searches of one shard find, what they read, and what happens when reading fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import orjson
import pytest

from functions.shard_search import handler
from functions.shard_search.cache import ShardCache
from functions.shard_search.service import ShardSearch, bounded
from shardlake.contracts.shard import (
    LeafAnswer,
    LeafHit,
    LeafReply,
    LeafRequest,
    LeafSearch,
    LeafStats,
    Overwrites,
    ShardRef,
)
from shardlake.contracts.shard_wire import decode_request, decode_vector, encode_reply, encode_request
from shardlake.errors import DeadlineExceeded, ErrorKind, FormatError, InvalidInput, NotFound, Unavailable
from shardlake.limits import MAX_OVERWRITES_BYTES, MAX_PENDING_SEGMENTS
from shardlake.store.base import ObjectStore
from shardlake.testing import CorruptStore, CountingStore, FlakyStore, ManualClock, MissingStore, WrappedStore
from shardlake.types import Depth
from tests.lake import Lake, ref, unit_rows
from tests.leaf_searches import change, leaf_search

WIDENING = (Depth(0.1, 3), Depth(0.9, 2, 0.01, 0.2))

QUERY = unit_rows(1, 8, 77)[0]
FLAT_QUERY = unit_rows(1, 2, 78)[0]
SCAN = leaf_search(space="v", query=QUERY, k=10, nprobe=8, candidates=200)
EXACT = leaf_search(space="v", query=QUERY, k=10, exact=True)
FLAT = leaf_search(space="w", query=FLAT_QUERY, k=10)
BY_ID = leaf_search(k=10)
FILTERED = change(SCAN, filter=["lt", "number", 300])
KINDS = {"scan": SCAN, "exact": EXACT, "flat": FLAT, "by id": BY_ID, "filtered": FILTERED}


def _service(store: ObjectStore, clock: ManualClock | None = None, max_bytes: int = 1 << 30) -> ShardSearch:
    return ShardSearch(ShardCache(store, max_bytes=max_bytes), clock=clock or ManualClock(), memory_mb=1024)


def _ask(
    service: ShardSearch, lake: Lake, *searches: LeafSearch, shard: int = 0, timeout_ms: float = 1000
) -> LeafReply:
    return service.search(LeafRequest(shards=(ref(lake.shards[shard]),), searches=searches, timeout_ms=timeout_ms))


def _one(service: ShardSearch, lake: Lake, search: LeafSearch, shard: int = 0) -> LeafAnswer:
    (answer,) = _ask(service, lake, search, shard=shard).answers
    return answer


def _hits(answer: LeafAnswer) -> list[tuple[str, float]]:
    assert answer.error is None, answer.error
    return [(hit.id, hit.score) for hit in answer.hits]


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_finds_the_same_in_a_warm_container_as_in_a_cold_one(leaf_lake: Lake, kind: str) -> None:
    warm = _service(leaf_lake.store)
    for search in KINDS.values():
        _one(warm, leaf_lake, search)

    assert _hits(_one(warm, leaf_lake, KINDS[kind])) == _hits(_one(_service(leaf_lake.store), leaf_lake, KINDS[kind]))


def test_a_warm_container_reads_nothing_that_it_has(leaf_lake: Lake) -> None:
    store = CountingStore(leaf_lake.store)
    service = _service(store)
    cold = _one(service, leaf_lake, SCAN)
    reads = store.object_reads
    warm = _one(service, leaf_lake, SCAN)

    assert store.object_reads == reads
    assert (warm.stats.object_reads, warm.stats.bytes_read) == (0, 0)
    assert (cold.stats.object_reads, cold.stats.bytes_read) == (reads, store.bytes_read)
    assert warm.stats.codes_scanned == cold.stats.codes_scanned > 0


def test_a_cold_scan_of_lists_that_the_shard_chooses_is_four_rounds_of_reads_at_most(leaf_lake: Lake) -> None:
    store = CountingStore(leaf_lake.store)

    _one(_service(store), leaf_lake, SCAN)

    assert store.operations == {"get_ranges": 4}, "tail, centroids, lists, items"


def test_only_the_first_answer_of_a_container_says_it_was_cold(leaf_lake: Lake) -> None:
    service = _service(leaf_lake.store)

    assert [_ask(service, leaf_lake, BY_ID).cold_start for _ in range(3)] == [True, False, False]


def test_vectors_come_back_as_they_were_stored(leaf_lake: Lake) -> None:
    vectors = unit_rows(1300, 8)
    for search in (SCAN, EXACT, FILTERED, BY_ID):
        asked = replace(search, include_vectors=("v",))
        for hit in _one(_service(leaf_lake.store), leaf_lake, asked).hits:
            assert hit.vectors is not None
            np.testing.assert_allclose(hit.vectors["v"], vectors[int(hit.id)], atol=1e-6)


def test_a_payload_comes_only_when_attributes_are_asked_for(leaf_lake: Lake) -> None:
    service = _service(leaf_lake.store)
    for search in KINDS.values():
        full = _one(service, leaf_lake, search)
        bare = _one(service, leaf_lake, replace(search, attributes=False))
        assert [orjson.loads(hit.payload)["id"] for hit in full.hits] == [hit.id for hit in full.hits]
        assert [hit.payload for hit in bare.hits] == [b""] * len(bare.hits)
        assert _hits(full) == _hits(bare)


def test_an_item_without_a_vector_in_a_space_is_never_found_there(leaf_lake: Lake) -> None:
    for shard in (0, 1):
        answer = _one(_service(leaf_lake.store), leaf_lake, change(FLAT, k=1000), shard=shard)
        assert answer.hits
        assert all(int(hit.id) % 3 for hit in answer.hits)


@pytest.mark.parametrize("k", [1, 7, 600, 1000])
@pytest.mark.parametrize("kind", ["scan", "exact", "filtered", "by id", "flat"])
def test_there_are_k_hits_or_as_many_as_match(leaf_lake: Lake, kind: str, k: int) -> None:
    for shard in (0, 1):
        rows = leaf_lake.opened(shard).search(change(BY_ID, k=2000)).hits
        numbers = [int(hit.id) for hit in rows]
        matches = {"filtered": sum(n < 300 for n in numbers), "flat": sum(n % 3 > 0 for n in numbers)}
        for nprobe in (1, 8):
            search = change(KINDS[kind], k=k, nprobe=nprobe, candidates=5)
            found = _one(_service(leaf_lake.store), leaf_lake, search, shard=shard).hits
            assert len(found) == min(k, matches.get(kind, len(numbers)))


def test_lists_that_hold_fewer_rows_than_k_are_not_the_end(leaf_lake: Lake) -> None:
    for lists in ((0,), (3, 1)):
        answer = _one(_service(leaf_lake.store), leaf_lake, change(SCAN, lists=lists, k=500, candidates=500))
        assert len(answer.hits) == 500


def test_filters_work_while_scanning_when_many_rows_pass(big_lake: Lake) -> None:
    query = unit_rows(1, 8, 5)[0]
    asked = leaf_search(space="v", query=query, k=20, nprobe=64, candidates=400, filter=["eq", "half", True])
    answer = _one(_service(big_lake.store), big_lake, asked)
    exact = _one(_service(big_lake.store), big_lake, change(asked, exact=True))

    assert answer.strategy == "scan"
    assert all(orjson.loads(hit.payload)["attributes"]["half"] for hit in answer.hits)
    assert len({h.id for h in answer.hits} & {h.id for h in exact.hits}) >= 19


def test_the_way_is_chosen_by_how_many_rows_pass(leaf_lake: Lake) -> None:
    none = change(SCAN, filter=["gt", "number", 10_000])
    ways = {
        "none-pass": none,
        "rows": FILTERED,
        "scan": SCAN,
        "exact": EXACT,
        "by-id": BY_ID,
    }

    found = {_one(_service(leaf_lake.store), leaf_lake, search).strategy for search in ways.values()}

    assert found == set(ways)


def test_an_unknown_space_or_attribute_is_that_search_s_error_alone(leaf_lake: Lake) -> None:
    wrong_space = change(SCAN, space="nope")
    wrong_filter = change(SCAN, filter=["eq", "nope", 1])
    answers = _ask(_service(leaf_lake.store), leaf_lake, wrong_space, SCAN, wrong_filter, BY_ID).answers

    assert isinstance(answers[0].error, NotFound)
    assert isinstance(answers[2].error, InvalidInput)
    assert len(answers[1].hits) == len(answers[3].hits) == 10


# When reading fails -------------------------------------------------------------------------------


class _Clocked(WrappedStore):
    """A store whose reads take time; they stop where the deadline is over."""

    def __init__(self, inner: ObjectStore, clock: ManualClock, *, reads: int) -> None:
        super().__init__(inner)
        self._clock = clock
        self.left = reads

    def after(self, operation: str, key: str) -> None:
        """Lets the time of all reads pass with the last one allowed."""
        self.left -= 1
        if self.left == 0:
            self._clock.advance(60)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reads", [1, 2, 3])
def test_a_search_that_ran_out_of_time_anywhere_spoils_no_later_one(leaf_lake: Lake, kind: str, reads: int) -> None:
    clock = ManualClock()
    service = _service(_Clocked(leaf_lake.store, clock, reads=reads), clock)
    expected = _hits(_one(_service(leaf_lake.store), leaf_lake, KINDS[kind]))

    first = _one(service, leaf_lake, KINDS[kind])
    later = _one(service, leaf_lake, KINDS[kind])

    assert first.error is None or isinstance(first.error, DeadlineExceeded)
    assert _hits(later) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fails_at", [0, 1, 2, 3, 4])
def test_a_read_that_failed_once_spoils_no_later_search(leaf_lake: Lake, kind: str, fails_at: int) -> None:
    reads = iter(range(1000))
    store = FlakyStore(leaf_lake.store, when=lambda operation, key: next(reads) == fails_at)
    service = _service(store)
    expected = _hits(_one(_service(leaf_lake.store), leaf_lake, KINDS[kind]))

    answers = [_one(service, leaf_lake, KINDS[kind]) for _ in range(3)]

    assert sum(answer.error is not None for answer in answers) <= 1
    for answer in answers:
        assert isinstance(answer.error, Unavailable) if answer.error else _hits(answer) == expected


def test_no_time_left_is_said_before_anything_is_read(leaf_lake: Lake) -> None:
    store = CountingStore(leaf_lake.store)

    (answer,) = _ask(_service(store), leaf_lake, SCAN, timeout_ms=0).answers

    assert isinstance(answer.error, DeadlineExceeded)
    assert store.operations == {}


def _offsets(lake: Lake) -> dict[str, tuple[int, str]]:
    """Returns, by part of the first shard, a byte in it and the search that reads it."""
    opened = lake.opened()
    header = opened.header
    blocks = header.directory.blocks
    nearest = int(opened.space("v").lists.rank_lists(QUERY, 1, opened.reader(LeafStats())).lists[0])
    first = _one(_service(lake.store), lake, BY_ID).hits[0].id
    item_chunk = header.item_extent(0)
    return {
        "a list": (header.list_extent("v", nearest).offset + 5, "scan"),
        "exact vectors": (header.exact_extent("v", nearest).offset + 5, "exact"),
        "values of a bucket": (int(header.arrays["postings/number/values"][0, 0]), "filtered"),
        "a bitmap": (int(header.arrays["postings/colour/table"][1, 0]), "red ones"),
        "postings": (blocks["postings/colour/table"].offset, "red ones"),
        "id ranks": (blocks["id_rank"].offset, "by id"),
        "row lists": (blocks["row_lists/w"].offset, "flat"),
        "items": (item_chunk.offset + item_chunk.bytes - 1, "everything"),
        "centroids": (blocks["centroids/v"].offset, "scan"),
        "codewords": (blocks["codewords/v"].offset, "scan"),
        "the directory": (lake.shards[0].bytes - 60, first and "scan"),
        "the footer": (lake.shards[0].bytes - 1, "scan"),
    }


PARTS = [
    "a list", "exact vectors", "values of a bucket", "a bitmap", "postings",
    "id ranks", "row lists", "items", "centroids", "codewords",
    "the directory", "the footer",
]  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_a_flipped_byte_is_an_error_and_never_a_wrong_hit_and_a_repaired_object_is_read_again(
    leaf_lake: Lake, part: str
) -> None:
    offset, kind = _offsets(leaf_lake)[part]
    red = change(SCAN, filter=["eq", "colour", "red"])
    search = {**KINDS, "everything": change(BY_ID, k=1000), "red ones": red}[kind]
    expected = _hits(_one(_service(leaf_lake.store), leaf_lake, search))
    store = _Switchable(leaf_lake.store, CorruptStore(leaf_lake.store, key=leaf_lake.shards[0].key, offset=offset))
    service = _service(store)

    broken = _one(service, leaf_lake, search)
    other = _one(service, leaf_lake, search, shard=1)
    store.inner = leaf_lake.store
    repaired = _one(service, leaf_lake, search)

    assert isinstance(broken.error, FormatError)
    assert broken.hits == ()
    assert other.error is None
    assert _hits(repaired) == expected


class _Switchable(WrappedStore):
    """A store whose inner one a test exchanges."""

    def __init__(self, _healthy: ObjectStore, damaged: ObjectStore) -> None:
        super().__init__(damaged)


def test_a_missing_shard_is_not_found_and_the_others_answer(leaf_lake: Lake) -> None:
    service = _service(MissingStore(leaf_lake.store, key=leaf_lake.shards[0].key))

    assert isinstance(_one(service, leaf_lake, SCAN).error, NotFound)
    assert len(_one(service, leaf_lake, SCAN, shard=1).hits) == 10


@pytest.mark.parametrize("change", [{"tail_offset": 0}, {"bytes": 10}, {"tail_offset": 1 << 40}, {"bytes": 1 << 40}])
def test_a_shard_map_that_lies_is_a_format_error(leaf_lake: Lake, change: dict[str, int]) -> None:
    wrong = replace(ref(leaf_lake.shards[0]), **change)
    (answer,) = _service(leaf_lake.store).search(
        LeafRequest(shards=(wrong,), searches=(SCAN,), timeout_ms=1000)
    ).answers  # fmt: skip

    assert isinstance(answer.error, FormatError) or change == {"tail_offset": 0}


# What a container keeps ---------------------------------------------------------------------------


def test_a_container_keeps_no_more_than_its_bound_and_at_least_the_last_shard(leaf_lake: Lake) -> None:
    store = CountingStore(leaf_lake.store)
    service = _service(store, max_bytes=1)
    for shard in (0, 1, 0, 1):
        _one(service, leaf_lake, SCAN, shard=shard)
    tails = store.operations["get_ranges"]
    _one(service, leaf_lake, SCAN, shard=1)

    assert tails == 4 * 4, "each was opened anew"
    assert store.operations["get_ranges"] == tails + 1, "the last one is kept whatever its size, but for its items"


def test_within_its_bound_a_container_keeps_every_shard(leaf_lake: Lake) -> None:
    store = CountingStore(leaf_lake.store)
    service = _service(store)
    for shard in (0, 1, 0, 1):
        _one(service, leaf_lake, SCAN, shard=shard)

    assert store.operations["get_ranges"] == 2 * 4


# The message --------------------------------------------------------------------------------------


SHARD = {"shard_id": 1, "key": "k", "bytes": 1, "tail_offset": 0}
ASKED: dict[str, Any] = {"shards": [SHARD], "searches": [], "timeout_ms": 1}


def test_a_request_that_names_what_it_may_is_none_that_is_refused() -> None:
    request = decode_request(ASKED | {"shards": [SHARD] * MAX_PENDING_SEGMENTS})

    assert {ref.sequence for ref in request.shards} == {0}
    assert request.overwrites == ()


def test_a_request_says_the_same_after_its_journey() -> None:
    request = LeafRequest(
        shards=(
            ShardRef(shard_id=3, key="k", bytes=9, tail_offset=5, sequence=7),
            ShardRef(shard_id=4, key="l", bytes=9, tail_offset=5),
        ),
        searches=(
            SCAN,
            FILTERED,
            BY_ID,
            replace(
                change(SCAN, lists=(1, 2), widening=(Depth(0.1, 3), Depth(0.9, 2, 0.01, 0.2))), include_vectors=("v",)
            ),
        ),
        timeout_ms=12.5,
        overwrites=(Overwrites(key="o", bytes=1, sequence=7), Overwrites(key="p", bytes=1 << 20, sequence=9)),
    )

    arrived = decode_request(orjson.loads(encode_request(request)))

    assert (arrived.shards, arrived.overwrites) == (request.shards, request.overwrites)
    for was, came in zip(request.searches, arrived.searches, strict=True):
        assert replace(came, vectors=()) == replace(was, vectors=())
        for source, back in zip(was.vectors, came.vectors, strict=True):
            assert (back.query == source.query).all()
            names = [spec.name for spec in fields(source) if spec.name != "query"]
            assert [getattr(back, name) for name in names] == [getattr(source, name) for name in names]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"shards": {}},
        {"shards": None, "searches": [], "timeout_ms": 1},
        {"shards": [SHARD], "searches": [1], "timeout_ms": 1},
        {"shards": [], "searches": [], "timeout_ms": 1},
        {"shards": [SHARD] * (MAX_PENDING_SEGMENTS + 1), "searches": [], "timeout_ms": 1},
        {"shards": [SHARD, SHARD], "searches": [], "timeout_ms": 1, "warm": {"budget_ms": 1, "budget_bytes": 1}},
        {"shards": [SHARD | {"sequence": "x"}], "searches": [], "timeout_ms": 1},
        ASKED | {"overwrites": [1]},
        ASKED | {"overwrites": [{"key": "o", "bytes": 0, "sequence": 1}]},
        ASKED | {"overwrites": [{"key": "o", "bytes": MAX_OVERWRITES_BYTES + 1, "sequence": 1}]},
        ASKED | {"overwrites": [{"key": "o", "bytes": 1, "sequence": 2}, {"key": "p", "bytes": 1, "sequence": 1}]},
        ASKED | {"overwrites": [{"key": "o", "bytes": 1, "sequence": 1}, {"key": "p", "bytes": 1, "sequence": 1}]},
        ASKED | {"overwrites": [{"key": "o", "bytes": 1, "sequence": s} for s in range(MAX_PENDING_SEGMENTS + 1)]},
    ],
)
def test_an_event_that_is_no_request_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        decode_request(event)


def test_the_handler_answers_a_wrong_event_with_an_error_and_never_raises() -> None:
    class Context:
        aws_request_id = "r"

    answer = orjson.loads(handler.handler({"shard": 1}, Context()))

    assert answer["error"]["kind"] == "invalid-request"


def test_a_reply_embeds_stored_items_as_they_are() -> None:
    vector = np.array([1, 2], np.float32)
    hits = (LeafHit("é", 0.5, '{"id":"é","attributes":{}}'.encode()), LeafHit("b", 0.25, b"", {"v": vector}))
    error = Unavailable("gone", kind=ErrorKind.STORE_UNAVAILABLE)
    reply = LeafReply(answers=(LeafAnswer(hits=hits, strategy="scan"), LeafAnswer(error=error)))

    body = orjson.loads(encode_reply(reply))

    assert body["answers"][0]["hits"][0] == ["é", 0.5, {"id": "é", "attributes": {}}, None, [], None]
    assert decode_vector(body["answers"][0]["hits"][1][3]["v"]).tolist() == [1, 2]
    assert body["answers"][1] == {"error": {"kind": "store-unavailable", "message": "gone", "retryable": True}}


@pytest.mark.parametrize("text", ["!!", "AAA=", "A"])
def test_a_vector_that_is_no_vector_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_vector(text)

    assert caught.value.kind is ErrorKind.INVALID_VECTOR


def test_an_answer_too_large_to_travel_is_said_to_be_so_by_each_search() -> None:
    reply = LeafReply(answers=(LeafAnswer(), LeafAnswer()), cold_start=True)

    assert bounded(reply, 10, 10) is reply
    kept = bounded(reply, 11, 10)
    kinds: Callable[[LeafAnswer], object] = lambda answer: answer.error and answer.error.kind  # noqa: E731
    assert [kinds(answer) for answer in kept.answers] == [ErrorKind.ANSWER_TOO_LARGE] * 2
    assert kept.cold_start
