"""Expired rows in a container: what finding them reads, what is kept, and what goes on as if there were none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.shard_search.service import ShardSearch
from shardlake.contracts.shard import Expiry, LeafAnswer, LeafSearch, LeafStats
from shardlake.deadline import Deadline
from shardlake.engine.hidden import LiveRows
from shardlake.engine.shard import OpenShard
from shardlake.errors import ErrorKind, FormatError, InvalidInput
from shardlake.testing import CorruptStore, CountingStore, ManualClock
from shardlake.types import AttributeType
from tests.lake import item, schema, space, unit_rows
from tests.leaf_searches import change, leaf_search
from tests.pending import Log, container, ids_of

ROWS, SECOND = 3000, 1_000_000
# Without ttl: the leaf goes by what it is told, and the build is to take in what ended long ago.
SCHEMA = schema(space(8), attributes={"ends": AttributeType.DATETIME, "number": AttributeType.INT})
VECTORS = unit_rows(ROWS, 8, 3)
SCAN = leaf_search("v", unit_rows(1, 8, 77)[0], k=10, nprobe=8, candidates=60)
BY_ID = LeafSearch(k=ROWS)
EVEN = LeafSearch(k=ROWS, filter=["lt", "number", 1500])


def _ends(row: int) -> str:
    """Returns when a row ends: row 0 at second 1000, and one more each second; rows that 7 divides never do."""
    at = 1000 + row
    return f"1970-01-01T{at // 3600:02d}:{at // 60 % 60:02d}:{at % 60:02d}Z"


def left(second: int) -> list[str]:
    """Returns the ids of what has not ended at a second."""
    return [f"{row:08d}" for row in range(ROWS) if not row % 7 or 1000 + row > second]


@pytest.fixture(scope="module")
def built() -> Log:
    """One shard of 3,000 items, of which one ends each second."""
    log = Log(SCHEMA)
    times = [{} if not row % 7 else {"ends": _ends(row)} for row in range(ROWS)]
    log.hold([item(f"{n:08d}", {"v": v}, number=n, **times[n]) for n, v in enumerate(VECTORS)], 5)
    return log


@pytest.fixture
def log(built: Log) -> Log:
    """The shard, with a store of its own."""
    copy = Log(SCHEMA, shards=list(built.shards))
    copy.store.objects.update(built.store.objects)
    return copy


def at(second: float) -> tuple[str, int]:
    return "ends", int(second * SECOND)


def _one(service: ShardSearch, log: Log, search: LeafSearch, second: float | None = None) -> LeafAnswer:
    asked = replace(log, expired=None if second is None else at(second))
    (answer,) = service.search(asked.request(search)).answers
    return answer


def _opened(service: ShardSearch, log: Log) -> OpenShard:
    return service._cache._shards[log.shards[0].key]


def _live(service: ShardSearch, log: Log, second: float) -> LiveRows | None:
    expiry = Expiry(attribute="ends", moment_us=int(second * SECOND), shards=(0,))
    deadline = Deadline.after(1e6, clock=ManualClock())
    return service._cache.live(_opened(service, log), log.shards[0], (), expiry, deadline, LeafStats())


# What is found ------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", [999, 1000, 1001, 1500.5, 2600, 4000, 10_000])
def test_a_row_is_gone_at_its_moment_and_there_before_it(log: Log, second: float) -> None:
    service = container(log.store)

    assert ids_of(_one(service, log, BY_ID, second)) == left(int(second))
    answer = _one(service, log, EVEN, second)
    assert ids_of(answer) == [name for name in left(int(second)) if int(name) < 1500]
    assert answer.stats.rows_passing == len(answer.hits)
    nearest = ids_of(_one(service, log, SCAN, second))
    assert len(nearest) == 10
    assert set(nearest) <= set(left(int(second)))


def test_what_is_overwritten_and_what_has_expired_are_hidden_together(log: Log) -> None:
    log.overwrite([f"{row:08d}" for row in range(0, ROWS, 2)], 6)

    found = ids_of(_one(container(log.store), log, BY_ID, 2000))

    assert found == [name for name in left(2000) if int(name) % 2]


def test_a_shard_that_is_not_named_is_searched_as_if_there_were_no_time(log: Log) -> None:
    service = container(log.store)
    request = replace(log, expired=at(9000)).request(BY_ID)
    assert request.expiry is not None
    (other,) = service.search(replace(request, expiry=replace(request.expiry, shards=(8, 9)))).answers

    assert len(ids_of(other)) == ROWS


# What it costs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("search", [SCAN, EVEN, change(SCAN, filter=["lt", "number", 1500])])
def test_where_nothing_has_expired_the_answer_is_that_without_time(log: Log, search: LeafSearch) -> None:
    plain = _one(container(log.store), log, search)
    service = container(log.store)
    answer = _one(service, log, search, 999)

    assert (answer.hits, answer.strategy) == (plain.hits, plain.strategy)
    assert answer.stats.codes_scanned == plain.stats.codes_scanned
    assert _live(service, log, 999) is None


def test_few_expired_rows_change_neither_strategy_nor_depth_of_a_search(log: Log) -> None:
    plain, answer = _one(container(log.store), log, SCAN), _one(container(log.store), log, SCAN, 1100)

    assert (answer.strategy, answer.stats.codes_scanned) == (plain.strategy, plain.stats.codes_scanned)
    assert answer.stats.lists_probed == plain.stats.lists_probed


def test_a_second_search_reads_nothing_whatever_the_moment(log: Log) -> None:
    store = CountingStore(log.store)
    service = container(store)
    _one(service, log, change(SCAN, k=ROWS), 1500)
    reads = store.object_reads
    same = _one(service, log, SCAN, 1500)
    assert (store.object_reads, same.stats.object_reads) == (reads, 0)

    for second in range(1501, 1600):
        _one(service, log, SCAN, second)
    assert store.object_reads <= reads + 2, "the values of a bucket that the moment has moved into"


def test_answers_to_filters_are_kept_as_time_goes_on(log: Log) -> None:
    service = container(log.store)
    _one(service, log, EVEN, 1500)
    opened = _opened(service, log)
    held = opened.attributes.resident_bytes
    assert EVEN.filter is not None
    kept = opened.attributes.passing(EVEN.filter, opened.reader(LeafStats()))

    for second in range(1501, 1540):
        _one(service, log, EVEN, second)

    assert opened.attributes.passing(EVEN.filter, opened.reader(LeafStats())) is kept
    assert opened.attributes.resident_bytes <= held + 16_384, "nothing is kept of a moment but what was read"


def test_as_long_as_the_same_rows_have_expired_what_was_made_of_them_stays(log: Log) -> None:
    service = container(log.store)
    _one(service, log, BY_ID, 1500)
    first = _live(service, log, 1500)

    assert _live(service, log, 1500.5) is first is not None
    assert _live(service, log, 5000) is not first
    last = _live(service, log, 5000)
    assert _live(service, log, 9000) is last, "all that ever will have"


def test_what_is_known_of_expired_rows_counts_into_the_bytes_of_a_shard(log: Log) -> None:
    service = container(log.store)
    _one(service, log, SCAN)
    held = _opened(service, log).resident_bytes
    _one(service, log, SCAN, 1500)

    assert _opened(service, log).resident_bytes >= held + 2 * ROWS


# What is wrong ------------------------------------------------------------------------------------


def test_times_that_are_damaged_fail_the_search_and_the_shard_is_read_afresh(log: Log) -> None:
    whole = container(log.store)
    _one(whole, log, BY_ID, 1500)
    read = list(_opened(whole, log).attributes._read._entries)
    assert read

    for offset in read:
        service = container(CorruptStore(log.store, key=log.shards[0].key, offset=offset))
        answer = _one(service, log, BY_ID, 1500)
        assert isinstance(answer.error, FormatError)
        assert not service._cache.holds(log.shards[0].key)


def test_an_attribute_that_the_shard_does_not_have_is_said(log: Log) -> None:
    asked = replace(log, expired=("nothing", 5))
    (answer,) = container(log.store).search(asked.request(BY_ID)).answers

    assert isinstance(answer.error, InvalidInput)
    assert answer.error.kind is ErrorKind.INVALID_FILTER
