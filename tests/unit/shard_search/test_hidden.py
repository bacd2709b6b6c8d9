"""Hidden rows in a container: what finding them reads, what is kept of them, and what happens when a file is broken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from functions.shard_search import hidden as hidden_module
from functions.shard_search.service import ShardSearch
from shardlake.contracts.shard import LeafAnswer, LeafHit, LeafReply, LeafSearch, LeafStats
from shardlake.engine import hidden as engine_hidden
from shardlake.engine import items as engine_items
from shardlake.errors import DeadlineExceeded, FormatError, NotFound, Unavailable
from shardlake.format import shard as shard_format
from shardlake.store.base import ObjectStore
from shardlake.testing import (
    CorruptStore,
    CountingStore,
    FlakyStore,
    ManualClock,
    MemoryBlocks,
    MissingStore,
    WrappedStore,
)
from shardlake.types import AttributeType, IndexType
from tests.lake import items_of, schema, space, unit_rows
from tests.leaf_searches import change, leaf_search
from tests.pending import Log, container, ids_of

ROWS, PAGE_BYTES = 3000, 4096
SCHEMA = schema(space(8), attributes={"number": AttributeType.INT})
SMALL = schema(space(8, index=IndexType.FLAT), attributes={"number": AttributeType.INT})
VECTORS = unit_rows(ROWS, 8, 3)
SCAN = leaf_search("v", unit_rows(1, 8, 77)[0], k=10, nprobe=8, candidates=60)
BY_ID = LeafSearch(k=ROWS)
HIDDEN = [f"{row:08d}" for row in range(0, 40, 4)]


@pytest.fixture(scope="module")
def built() -> Log:
    """One shard of 3,000 items, with many pages of ids, which holds the log up to 5."""
    log = Log(SCHEMA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_format, "ID_PAGE_BYTES", PAGE_BYTES)
        log.hold(items_of(VECTORS), 5)
    return log


@pytest.fixture
def log(built: Log) -> Log:
    """The shard, with a store of its own."""
    copy = Log(SCHEMA, shards=list(built.shards))
    copy.store.objects.update(built.store.objects)
    return copy


def _one(service: ShardSearch, log: Log, search: LeafSearch = SCAN) -> LeafAnswer:
    (answer,) = service.search(log.request(search)).answers
    return answer


def _hits(answer: LeafAnswer) -> tuple[LeafHit, ...]:
    assert answer.error is None, answer.error
    return answer.hits


def _reads(answer: LeafAnswer) -> tuple[int, int]:
    assert answer.error is None, answer.error
    return answer.stats.object_reads, answer.stats.bytes_read


# What it costs ------------------------------------------------------------------------------------


def test_a_second_search_with_the_same_overwrites_reads_nothing(log: Log) -> None:
    log.overwrite([*HIDDEN, "nobody"], 6)
    store = CountingStore(log.store)
    service = container(store)
    first = _one(service, log)
    reads = store.object_reads
    second = _one(service, log)

    assert _reads(first) == (store.object_reads, store.bytes_read)
    assert store.object_reads == reads
    assert (second.hits, _reads(second)) == (first.hits, (0, 0))


def test_one_more_file_costs_one_read_of_it_and_the_pages_of_its_ids_alone(log: Log) -> None:
    log.overwrite(HIDDEN, 6)
    store = CountingStore(log.store)
    service = container(store)
    _one(service, log, BY_ID)
    one = log.overwrite([f"{ROWS - 1:08d}"], 7)
    answer = _one(service, log, BY_ID)

    assert answer.stats.object_reads == 2, "the file, and the page of its id"
    assert one.bytes < answer.stats.bytes_read < one.bytes + 2 * PAGE_BYTES
    assert ids_of(answer) == [f"{row:08d}" for row in range(ROWS - 1) if f"{row:08d}" not in HIDDEN]


def test_all_new_files_come_in_one_round_and_their_ids_in_another(log: Log) -> None:
    for sequence in range(6, 12):
        log.overwrite([f"{sequence * 400 + row:08d}" for row in range(9)], sequence)
    rounds: list[set[str]] = []

    class Watching(WrappedStore):
        def before(self, operation: str, key: str) -> None:
            if not rounds or ("ids/" in key) != any("ids/" in one for one in rounds[-1]):
                rounds.append(set())
            rounds[-1].add(key)

    service = container(Watching(log.store))
    _one(service, replace(log, overwrites=[]))
    del rounds[:]
    _one(service, log)

    assert rounds == [{f"ids/{sequence}" for sequence in range(6, 12)}, {log.shards[0].key}]


def test_overwrites_that_hide_nothing_cost_nothing_once_that_is_known(log: Log) -> None:
    plain = _one(container(log.store), log)
    log.overwrite(["nobody"], 6)
    log.overwrite(HIDDEN, 5)  # in the shard already
    service = container(MissingStore(log.store, key="ids/5"))
    answer = _one(service, log)

    assert _hits(answer) == _hits(plain)
    opened = service._cache._shards[log.shards[0].key]
    assert opened.hidden.live(("ids/6",)) is None


def test_a_process_that_is_new_finds_the_files_on_its_disk(log: Log) -> None:
    log.overwrite(HIDDEN, 6)
    disk, store = MemoryBlocks(), CountingStore(log.store)
    first = _one(container(store, disk=disk), log)
    reads = store.object_reads
    again = _one(container(store, disk=disk), log)

    assert again.hits == first.hits
    assert (store.object_reads, again.stats.object_reads) == (reads, 0)
    assert again.stats.cache_bytes > log.overwrites[0].bytes


def test_what_hides_the_same_rows_keeps_what_was_made_of_them(log: Log) -> None:
    log.overwrite(HIDDEN, 6)
    service = container(log.store)
    _one(service, log)
    opened = service._cache._shards[log.shards[0].key]
    live = opened.hidden.live(("ids/6",))
    log.overwrite([HIDDEN[0], "nobody"], 7)
    _one(service, log)

    assert opened.hidden.live(("ids/6", "ids/7")) is live is not None


# What is kept -------------------------------------------------------------------------------------


def test_what_is_known_of_hidden_rows_counts_into_the_bytes_of_a_shard(log: Log) -> None:
    service = container(log.store)
    _one(service, log)
    opened = service._cache._shards[log.shards[0].key]
    held = opened.resident_bytes
    log.overwrite(HIDDEN, 6)
    _one(service, log)

    assert opened.resident_bytes >= held + ROWS


def test_rows_of_files_that_no_search_names_any_more_go_when_they_are_many(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_hidden, "KEPT_BYTES", 50)
    service = container(log.store)
    for sequence in range(6, 10):
        log.overwrites = []
        log.overwrite(HIDDEN, sequence)
        _one(service, log)
    opened = service._cache._shards[log.shards[0].key]

    assert opened.hidden.unknown(("ids/6", "ids/7", "ids/8", "ids/9")) == ["ids/6", "ids/7", "ids/8"]


def test_ids_are_read_some_at_a_time_where_they_are_many(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden_module, "GROUP_BYTES", 1)
    monkeypatch.setattr(hidden_module, "KEPT_BYTES", 0)
    for number, item_id in enumerate(HIDDEN):
        log.overwrite([item_id], 6 + number)

    assert not set(ids_of(_one(container(log.store), log, BY_ID))) & set(HIDDEN)


@pytest.mark.parametrize("whole", [0, 1 << 20])
def test_a_small_shard_finds_the_same_rows_by_a_map_of_all_its_ids(
    log: Log, monkeypatch: pytest.MonkeyPatch, whole: int
) -> None:
    monkeypatch.setattr(engine_items, "WHOLE_ROWS", whole)
    log.overwrite([f"{row:08d}" for row in range(-2000, ROWS, 3)], 6)
    service = container(log.store)

    left = [f"{row:08d}" for row in range(ROWS) if (row + 2000) % 3]
    assert ids_of(_one(service, log, BY_ID)) == left
    looked_up = _one(service, log, LeafSearch(ids=("00000000", "00000001", "-0000002", "00000002")))
    assert ids_of(looked_up) == [one for one in ("00000000", "00000001", "00000002") if one in left]


# When reading fails -------------------------------------------------------------------------------


class _Switchable(WrappedStore):
    """A store whose inner one a test exchanges."""


def _broken(log: Log, how: str) -> ObjectStore:
    key = log.overwrites[0].key
    if how == "damaged":
        return CorruptStore(log.store, key=key, offset=70)
    if how == "gone":
        return MissingStore(log.store, key=key)
    if how == "down":
        return FlakyStore(log.store, failures=2, when=lambda operation, at: at == key)
    log.overwrites[0] = replace(log.overwrites[0], bytes=log.overwrites[0].bytes + {"short": 1, "long": -1}[how])
    return log.store


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("damaged", FormatError),
        ("gone", NotFound),
        ("down", Unavailable),
        ("short", FormatError),
        ("long", FormatError),
    ],
)
def test_ids_that_cannot_be_read_fail_every_search_of_an_older_shard_and_cost_no_shard_its_place(
    log: Log, how: str, error: type[Exception]
) -> None:
    log.take(log.store.objects[log.shards[0].key], replace(log.shards[0], sequence=6))
    log.overwrite(HIDDEN, 6)
    whole = list(log.overwrites)
    service = container(_Switchable(_broken(log, how)))
    older, _, newer, _ = service.search(log.request(SCAN, replace(BY_ID, k=3))).answers
    held = [service._cache.holds(ref.key) for ref in log.shards]
    service._cache._overwritten._store = log.store
    log.overwrites = whole
    repaired = _one(service, replace(log, shards=log.shards[:1]), BY_ID)

    assert isinstance(older.error, error)
    assert older.hits == ()
    assert len(ids_of(newer)) == 10
    assert held == [True, True]
    assert not set(ids_of(repaired)) & set(HIDDEN)


def test_time_that_runs_out_while_ids_are_read_spoils_no_later_search(log: Log) -> None:
    log.overwrite(HIDDEN, 6)
    clock = ManualClock()

    class Slow(WrappedStore):
        def after(self, operation: str, key: str) -> None:
            clock.advance(60 if key.startswith("ids/") else 0)

    service = ShardSearch(hidden_cache(Slow(log.store)), clock=clock)
    (late,) = service.search(log.request(SCAN, left_ms=30_000)).answers
    later = _one(service, log)

    assert isinstance(late.error, DeadlineExceeded)
    assert ids_of(later) == ids_of(_one(container(log.store), log))


def hidden_cache(store: ObjectStore) -> Any:
    """Returns what a container keeps, over a store."""
    return container(store)._cache


# Many shards --------------------------------------------------------------------------------------

KINDS = {
    "vector": SCAN,
    "exact, filtered": change(SCAN, exact=True, filter=["gte", "number", 150], k=25),
    "by id": LeafSearch(k=12, filter=["lt", "number", 190]),
    "ranked": LeafSearch(k=12, rank=["neg", ["value", "number"]]),
    "with facets": change(SCAN, facets=(["number", "int", [0, 100, 4000], False],)),
}


@pytest.fixture(scope="module")
def deltas() -> Log:
    """Ten segments of 40 items; each overwrites the second half of the one before."""
    log = Log(SMALL)
    for number in range(10):
        items = items_of(VECTORS[40 * number : 40 * number + 40], first=20 * number)
        log.hold(items, number)
        log.overwrite([one.id for one in items], number)
    return log


def _of_shard(log: Log, reply: LeafReply, number: int) -> list[list[LeafAnswer]]:
    """Returns what each shard answers to one search."""
    count = len(reply.answers) // len(log.shards)
    return [list(reply.answers[start + number : start + number + 1]) for start in range(0, len(reply.answers), count)]


def test_many_shards_in_one_request_answer_the_best_of_what_each_answers_alone(deltas: Log) -> None:
    together = deltas.ask(*KINDS.values())
    alone = [deltas.ask(*KINDS.values(), shards=[number]) for number in range(len(deltas.shards))]

    for number, (kind, search) in enumerate(KINDS.items()):
        found = [answer for (answer,) in _of_shard(deltas, together, number)]
        each = [reply.answers[number] for reply in alone]
        by_id = kind == "by id"
        best = sorted(
            (hit for answer in each for hit in answer.hits), key=lambda hit: (0.0 if by_id else -hit.score, hit.id)
        )[: search.k]
        assert sorted(hit for answer in found for hit in answer.hits) == sorted(best)
        for answer, own in zip(found, each, strict=True):
            assert set(answer.hits) <= set(own.hits)
            assert list(answer.hits) == [hit for hit in own.hits if hit in answer.hits], "in the shard's own order"
            assert (answer.facets, answer.strategy) == (own.facets, own.strategy)
    assert sum(len(answer.hits) for answer in together.answers) == sum(search.k for search in KINDS.values())


def test_groups_ranks_and_items_looked_up_keep_what_every_shard_says(deltas: Log) -> None:
    source = SCAN.vectors[0]
    searches = [
        LeafSearch(vectors=(source,), k=2, group_by=("number", 1)),
        LeafSearch(vectors=(source, source), k=2, fusion="rrf"),
        LeafSearch(ids=tuple(f"{row:08d}" for row in range(0, 200, 10)), k=2),
    ]
    together = deltas.ask(*searches).answers
    alone = [deltas.ask(*searches, shards=[number]).answers for number in range(len(deltas.shards))]

    assert [a.hits for a in together] == [a.hits for answers in alone for a in answers]
    assert sum(len(answer.hits) for answer in together[2::3]) == 20


def test_a_shard_that_fails_says_so_to_every_search_and_is_forgotten_alone(deltas: Log) -> None:
    key, size = deltas.shards[3].key, deltas.shards[3].tail_offset
    service = container(CorruptStore(deltas.store, key=key, offset=size + 3))
    reply = service.search(deltas.request(SCAN, BY_ID))

    failed = [place for place, answer in enumerate(reply.answers) if answer.error is not None]
    assert failed == [6, 7]
    assert reply.opened == tuple(ref.shard_id for ref in deltas.shards if ref.key != key)
    assert service.search(deltas.request(SCAN)).opened == ()


def test_shards_that_no_time_is_left_for_say_so_and_those_before_them_answer(deltas: Log) -> None:
    clock = ManualClock()

    class Slow(WrappedStore):
        def before(self, operation: str, key: str) -> None:
            clock.advance(1 if key.startswith("shards/") else 0)

    service = ShardSearch(hidden_cache(Slow(deltas.store)), clock=clock)
    answers = service.search(deltas.request(SCAN, left_ms=20_000)).answers
    outcomes = [type(answer.error) for answer in answers]

    assert set(outcomes) == {type(None), DeadlineExceeded}
    assert outcomes == sorted(outcomes, key=lambda error: error is DeadlineExceeded)


def test_shards_beyond_the_bound_of_bytes_are_opened_again_and_answer_the_same(deltas: Log) -> None:
    service = container(deltas.store, max_bytes=1)
    first, again = (service.search(deltas.request(SCAN, BY_ID)) for _ in range(2))

    assert [answer.hits for answer in first.answers] == [answer.hits for answer in again.answers]
    assert sum(service._cache.holds(ref.key) for ref in deltas.shards) == 1
    assert sum(answer.stats.object_reads for answer in again.answers) > 0


def test_many_shards_that_are_held_are_searched_without_a_read(deltas: Log) -> None:
    store = CountingStore(deltas.store)
    service = container(store)
    service.search(deltas.request(*KINDS.values()))
    reads = store.object_reads
    again = service.search(deltas.request(*KINDS.values()))

    assert store.object_reads == reads
    assert sum((answer.stats.object_reads for answer in again.answers), LeafStats().object_reads) == 0
