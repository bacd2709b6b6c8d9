"""A shard that nothing is held of: what a search reads, what is believed of what it is told, what a warm-up leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import orjson
import pytest

from functions.shard_search import cache as cache_module
from functions.shard_search.cache import ShardCache
from functions.shard_search.service import ShardSearch
from shardlake.contracts.shard import LeafAnswer, LeafReply, LeafRequest, LeafSearch, WarmUp
from shardlake.contracts.shard_wire import decode_request, encode_reply, encode_request
from shardlake.engine import reading, spaces, warming
from shardlake.errors import ErrorKind, FormatError
from shardlake.store.base import ObjectStore
from shardlake.store.blocks import BlockStore
from shardlake.testing import CorruptStore, CountingStore, ManualClock, MemoryBlocks, MissingStore, WrappedStore
from tests.lake import Lake, ref, unit_rows
from tests.leaf_searches import change, leaf_search

QUERY = unit_rows(1, 8, 77)[0]
SCAN = leaf_search("v", QUERY, k=10, nprobe=2, candidates=200)
ALL_MS, ALL_BYTES = 1e6, 1 << 40


def _service(store: ObjectStore, disk: BlockStore | None = None, max_bytes: int = 1 << 30) -> ShardSearch:
    return ShardSearch(ShardCache(store, max_bytes=max_bytes, blocks=disk), clock=ManualClock())


def _told(lake: Lake, lists: list[int], search: LeafSearch = SCAN) -> LeafSearch:
    """Returns the search as a router would send it that knows where the lists lie."""
    header = lake.opened().header
    extents = [header.list_extent("v", number) for number in lists]
    places = tuple((extent.offset, extent.bytes, extent.checksum) for extent in extents)
    return change(search, lists=tuple(lists), extents=places)


def _ask(service: ShardSearch, lake: Lake, *searches: LeafSearch, warm: WarmUp | None = None) -> LeafReply:
    return service.search(LeafRequest(shards=(ref(lake.shards[0]),), searches=searches, timeout_ms=1000, warm=warm))


def _one(service: ShardSearch, lake: Lake, search: LeafSearch) -> LeafAnswer:
    (answer,) = _ask(service, lake, search).answers
    assert answer.error is None, answer.error
    return answer


def _hits(answer: LeafAnswer) -> list[tuple[str, float]]:
    return [(hit.id, hit.score) for hit in answer.hits]


# What a cold search reads -------------------------------------------------------------------------


def test_a_leaf_that_is_told_where_lists_lie_reads_tail_and_lists_in_one_round_and_then_the_items(
    leaf_lake: Lake,
) -> None:
    store = CountingStore(leaf_lake.store)
    service = _service(store)
    answer = _one(service, leaf_lake, _told(leaf_lake, [2, 5]))

    assert store.operations == {"get_ranges": 2}
    assert (answer.stats.object_reads, answer.stats.bytes_read) == (store.object_reads, store.bytes_read)
    assert _hits(answer) == _hits(_one(_service(leaf_lake.store), leaf_lake, change(SCAN, lists=(2, 5))))


def test_many_lists_are_read_some_at_a_time_so_that_what_is_held_beside_them_is_bounded(
    leaf_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = change(SCAN, nprobe=1 << 18)
    together, one_by_one = CountingStore(leaf_lake.store), CountingStore(leaf_lake.store)
    at_once = _one(_service(together), leaf_lake, everything)
    monkeypatch.setattr(spaces, "LOADED_BYTES", 1)

    answer = _one(_service(one_by_one), leaf_lake, everything)

    lists = leaf_lake.opened().header.spaces["v"].lists
    assert _hits(answer) == _hits(at_once)
    assert one_by_one.operations["get_ranges"] == together.operations["get_ranges"] + lists - 1


def test_the_lists_of_a_whole_batch_come_in_that_same_round(leaf_lake: Lake) -> None:
    store = CountingStore(leaf_lake.store)
    queries = unit_rows(6, 8, 5)
    searches = [_told(leaf_lake, [i, i + 1], change(SCAN, query=query)) for i, query in enumerate(queries)]
    answers = _ask(_service(store), leaf_lake, *searches).answers

    assert store.operations["get_ranges"] <= 1 + len(searches), "tail and lists, then each one's items"
    assert all(answer.error is None for answer in answers)
    assert sum(answer.stats.bytes_read for answer in answers) == store.bytes_read


def test_a_batch_that_would_read_too_much_ahead_reads_its_lists_as_it_comes_to_them(
    leaf_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "MAX_AHEAD_BYTES", 10)
    store = CountingStore(leaf_lake.store)
    _one(_service(store), leaf_lake, _told(leaf_lake, [2, 5]))

    assert store.operations == {"get_ranges": 3}


def test_no_centroid_is_read_but_those_of_the_lists_probed(leaf_lake: Lake) -> None:
    block = leaf_lake.opened().header.directory.block("centroids/v")
    spans: list[tuple[int, int]] = []

    class Watching(WrappedStore):
        def seen(self, key: str, offset: int, body: bytes) -> bytes:
            spans.append((offset, offset + len(body)))
            return body

    _one(_service(Watching(leaf_lake.store)), leaf_lake, _told(leaf_lake, [2, 5]))
    assert sum(stop - start for start, stop in spans) > 0
    assert block.offset >= leaf_lake.opened().header.directory.block("id_rank").offset, "they lie in the body"
    assert block.offset + block.bytes <= leaf_lake.shards[0].footer_offset


# What is believed of what is told -----------------------------------------------------------------

Lie = Callable[[tuple[int, int, int]], tuple[int, int, int]]
LIES: dict[str, Lie] = {
    "another place": lambda told: (told[0] + 64, told[1], told[2]),
    "another size": lambda told: (told[0], told[1] - 8, told[2]),
    "another checksum": lambda told: (told[0], told[1], told[2] ^ 1),
    "outside": lambda told: (1 << 50, told[1], told[2]),
    "below": lambda told: (-64, told[1], told[2]),
    "more than any block": lambda told: (told[0], 1 << 40, told[2]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_caller_that_is_wrong_about_a_list_is_told_so_and_spoils_no_later_search(leaf_lake: Lake, lie: str) -> None:
    told = _told(leaf_lake, [2, 5])
    (source,) = told.vectors
    assert source.extents is not None
    wrong = change(told, extents=(source.extents[0], LIES[lie](source.extents[1])))
    service = _service(leaf_lake.store, MemoryBlocks())

    (answer,) = _ask(service, leaf_lake, wrong).answers
    later = _one(service, leaf_lake, told)

    assert isinstance(answer.error, FormatError)
    assert _hits(later) == _hits(_one(_service(leaf_lake.store), leaf_lake, told))


@pytest.mark.parametrize("number", [-1, 10_000])
def test_a_list_that_the_shard_does_not_have_is_a_format_error(leaf_lake: Lake, number: int) -> None:
    told = _told(leaf_lake, [2, 5])
    (answer,) = _ask(_service(leaf_lake.store), leaf_lake, change(told, lists=(2, number))).answers

    assert isinstance(answer.error, FormatError)


def test_a_damaged_list_that_was_read_ahead_is_an_error_and_is_kept_nowhere(leaf_lake: Lake) -> None:
    told, disk = _told(leaf_lake, [2, 5]), MemoryBlocks()
    offset = leaf_lake.opened().header.list_extent("v", 5).offset + 3
    broken = _service(CorruptStore(leaf_lake.store, key=leaf_lake.shards[0].key, offset=offset), disk)
    (answer,) = _ask(broken, leaf_lake, told).answers

    assert answer.error is not None
    assert answer.error.kind is ErrorKind.CHECKSUM_MISMATCH
    assert _hits(_one(_service(leaf_lake.store, disk), leaf_lake, told)) == _hits(
        _one(_service(leaf_lake.store), leaf_lake, told)
    )


# The disk -----------------------------------------------------------------------------------------


def test_what_one_container_read_the_next_one_on_that_disk_does_not_read_again(leaf_lake: Lake) -> None:
    disk, told = MemoryBlocks(), _told(leaf_lake, [2, 5])
    first = _one(_service(leaf_lake.store, disk), leaf_lake, told)
    store = CountingStore(leaf_lake.store)
    again = _one(_service(store, disk), leaf_lake, told)

    assert store.operations == {}
    assert (again.stats.object_reads, again.stats.bytes_read) == (0, 0)
    assert again.stats.cache_bytes > 0
    assert again.stats.cache_reads >= 4, "tail, two lists, items"
    assert first.stats.cache_reads == 0
    assert _hits(first) == _hits(again)


def test_a_shard_that_memory_has_no_room_for_is_read_from_the_disk(leaf_lake: Lake) -> None:
    store, told = CountingStore(leaf_lake.store), _told(leaf_lake, [2, 5])
    service = _service(store, MemoryBlocks(), max_bytes=1)
    _one(service, leaf_lake, told)
    reads = store.object_reads
    other = LeafRequest(shards=(ref(leaf_lake.shards[1]),), searches=(SCAN,), timeout_ms=1000)
    service.search(other)
    between = store.object_reads
    _one(service, leaf_lake, told)

    assert between > reads > 0
    assert store.object_reads == between


def test_blocks_lost_from_the_disk_are_read_again(leaf_lake: Lake) -> None:
    disk, told = MemoryBlocks(), _told(leaf_lake, [2, 5])
    expected = _hits(_one(_service(leaf_lake.store, disk), leaf_lake, told))
    disk.flush()
    for place in list(disk.blocks):
        body = disk.blocks.pop(place)
        assert _hits(_one(_service(leaf_lake.store, disk), leaf_lake, told)) == expected
        disk.flush()
        assert disk.blocks.get(place) == body, "and kept anew"


def test_an_answer_does_not_wait_for_the_disk_until_many_blocks_do(
    leaf_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, told = MemoryBlocks(), _told(leaf_lake, [2, 5])
    _one(_service(leaf_lake.store, disk), leaf_lake, told)
    assert disk.pending_bytes > 0
    assert not disk.blocks
    monkeypatch.setattr(cache_module, "MAX_PENDING_BYTES", 10)
    _one(_service(leaf_lake.store, disk), leaf_lake, change(told, lists=None, extents=None))

    assert disk.pending_bytes == 0
    assert disk.blocks


# Warm-ups -----------------------------------------------------------------------------------------


def _everything(lake: Lake) -> list[LeafSearch]:
    """Returns searches that read every part of a shard."""
    numbers = range(lake.opened().header.spaces["v"].lists)
    return [
        *(change(SCAN, lists=(number,), query=QUERY) for number in numbers),
        SCAN,
        leaf_search("v", QUERY, k=10, exact=True),
        leaf_search("w", unit_rows(1, 2, 78)[0], k=10, vectors=True),
        leaf_search(k=1000),
        leaf_search(ids=("00001", "00002")),
        change(SCAN, filter=["lt", "number", 300]),
        change(SCAN, filter=["eq", "colour", "red"]),
    ]


def test_after_a_warm_up_no_search_reads_from_the_store(leaf_lake: Lake) -> None:
    store = CountingStore(leaf_lake.store)
    service = _service(store, MemoryBlocks())
    held = _ask(service, leaf_lake, warm=WarmUp(budget_ms=ALL_MS, budget_bytes=ALL_BYTES)).held
    reads = store.object_reads
    for search in _everything(leaf_lake):
        answer = _one(service, leaf_lake, search)
        assert (answer.stats.object_reads, answer.stats.bytes_read) == (0, 0)
        assert _hits(answer) == _hits(_one(_service(leaf_lake.store), leaf_lake, search))

    assert held is not None
    assert held.complete
    assert held.lists == held.of_lists == sum(s.lists for s in leaf_lake.opened().header.spaces.values())
    assert held.bytes_read == store.bytes_read
    assert store.object_reads == reads


def test_without_a_disk_a_warm_up_holds_all_lists_and_only_items_are_read_later(leaf_lake: Lake) -> None:
    store = CountingStore(leaf_lake.store)
    service = _service(store)
    held = _ask(service, leaf_lake, warm=WarmUp(budget_ms=ALL_MS, budget_bytes=ALL_BYTES)).held
    before = store.operations["get_ranges"]
    answer = _one(service, leaf_lake, _told(leaf_lake, [2, 5]))

    assert held is not None
    assert held.complete
    assert held.lists == held.of_lists
    assert answer.hits
    assert store.operations["get_ranges"] == before + 1, "the items"


def test_a_warm_up_reads_no_more_than_its_budget_and_the_next_one_goes_on(
    leaf_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming, "GROUP_BYTES", 4_000)
    monkeypatch.setattr(reading, "COALESCE_GAP_BYTES", 64)  # as small as this shard is beside a real one
    size = leaf_lake.shards[0].bytes
    store = CountingStore(leaf_lake.store)
    service = _service(store, MemoryBlocks())
    budget = WarmUp(budget_ms=ALL_MS, budget_bytes=size // 4)
    held = []
    while not held or not held[-1].complete:
        before = store.bytes_read
        found = _ask(service, leaf_lake, warm=budget).held
        assert found is not None
        assert found.bytes_read == store.bytes_read - before <= size // 4
        held.append(found)
        assert len(held) < 20

    assert len(held) >= 4
    assert [one.lists for one in held] == sorted(one.lists for one in held)


def test_a_warm_up_stops_in_time(leaf_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "GROUP_BYTES", 4_000)
    clock = ManualClock()

    class Slow(WrappedStore):
        def after(self, operation: str, key: str) -> None:
            clock.advance(0.01)

    service = ShardSearch(ShardCache(Slow(leaf_lake.store), max_bytes=1 << 30), clock=clock)
    reply = _ask(service, leaf_lake, warm=WarmUp(budget_ms=35, budget_bytes=ALL_BYTES))

    assert reply.held is not None
    assert not reply.held.complete
    assert 0 < reply.held.lists < reply.held.of_lists
    assert reply.took_ms <= 50


def test_a_warm_up_of_a_shard_that_memory_has_no_room_for_goes_to_the_disk(
    leaf_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming, "GROUP_BYTES", 2_000)
    store = CountingStore(leaf_lake.store)
    service = _service(store, MemoryBlocks(), max_bytes=8_000)
    held = _ask(service, leaf_lake, warm=WarmUp(budget_ms=ALL_MS, budget_bytes=ALL_BYTES)).held
    reads = store.object_reads
    answer = _one(service, leaf_lake, _told(leaf_lake, [0, 1, 2]))

    assert held is not None
    assert held.complete
    assert 0 < held.lists < held.of_lists
    assert store.object_reads == reads
    assert answer.stats.cache_reads > 0


def test_a_warm_up_that_reads_damage_says_so_and_the_next_one_reads_afresh(leaf_lake: Lake) -> None:
    offset = leaf_lake.opened().header.list_extent("v", 3).offset + 3
    store = WrappedStore(CorruptStore(leaf_lake.store, key=leaf_lake.shards[0].key, offset=offset))
    service = _service(store, MemoryBlocks())
    all_of_it = WarmUp(budget_ms=ALL_MS, budget_bytes=ALL_BYTES)
    with pytest.raises(FormatError):
        _ask(service, leaf_lake, warm=all_of_it)
    store.inner = leaf_lake.store

    held = _ask(service, leaf_lake, warm=all_of_it).held
    assert held is not None
    assert held.complete


def test_an_answer_says_whether_the_shard_had_to_be_opened(leaf_lake: Lake) -> None:
    service = _service(leaf_lake.store)

    assert [_ask(service, leaf_lake, SCAN).opened for _ in range(3)] == [(0,), (), ()]


def test_a_shard_that_could_not_be_opened_was_not_opened(leaf_lake: Lake) -> None:
    service = _service(MissingStore(leaf_lake.store, key=leaf_lake.shards[0].key))

    assert not _ask(service, leaf_lake, SCAN).opened


# The message --------------------------------------------------------------------------------------


def test_extents_and_warm_ups_say_the_same_after_their_journey(leaf_lake: Lake) -> None:
    told = _told(leaf_lake, [2, 5])
    request = LeafRequest(
        shards=(ref(leaf_lake.shards[0]),),
        searches=(told,),
        timeout_ms=9.5,
        warm=WarmUp(budget_ms=20.5, budget_bytes=1 << 40),
    )
    arrived = decode_request(orjson.loads(encode_request(request)))

    assert arrived.warm == request.warm
    assert arrived.searches[0].vectors[0].extents == told.vectors[0].extents
    bare = decode_request(orjson.loads(encode_request(replace(request, warm=None, searches=(SCAN,)))))
    assert bare.warm is None
    assert bare.searches[0].vectors[0].extents is None


def test_a_reply_tells_what_is_held(leaf_lake: Lake) -> None:
    service = _service(leaf_lake.store, MemoryBlocks())
    reply = _ask(service, leaf_lake, warm=WarmUp(budget_ms=ALL_MS, budget_bytes=ALL_BYTES))
    body = orjson.loads(encode_reply(reply))

    assert body["opened"] == [0]
    assert body["held"]["complete"] is True
    assert body["held"]["lists"] == body["held"]["of_lists"] > 0
