"""What time costs a search: nothing where nothing has expired, no shard of which all has, and depth where much has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from functions.router import expiry
from shardlake.contracts.shard import LeafSearch
from shardlake.query import summaries
from shardlake.types import AttributeType, CollectionSchema, IndexType, Sharding
from tests.lake import EPOCH, Lake, item, schema, space, unit_rows

START = datetime.fromisoformat(EPOCH)
ROWS, HOUR = 2_400, timedelta(hours=1)
VECTORS = unit_rows(ROWS, 8, 5)
QUERIES = unit_rows(20, 8, 6)
ATTRIBUTES = {"ends": AttributeType.DATETIME, "number": AttributeType.INT}


@dataclass(slots=True)
class Watched:
    """A lake whose clock a test moves, and what its shards are told."""

    lake: Lake
    now: datetime
    told: list[dict[str, Any]]


def made(folder: Path, hours: list[float | None], by: Sharding = "cluster", **changes: Any) -> Watched:
    """Builds items that end so many hours from the start."""
    attribute = "ends" if by == "attribute" else None
    what = schema(space(8, index=IndexType.IVF_PQ), target_rows=700, attributes=ATTRIBUTES, sharding=by, by=attribute)
    declared: CollectionSchema = replace(what, **({"ttl": "ends"} | changes))
    watched = Watched(Lake(declared, folder), START, [])
    watched.lake.now = lambda: watched.now
    ends = [None if h is None else (START + h * HOUR).isoformat() for h in hours]
    times = [{} if end is None else {"ends": end} for end in ends]
    watched.lake.built([item(f"i{n:04d}", {"v": VECTORS[n]}, number=n, **times[n]) for n in range(ROWS)])
    leaf = watched.lake.invoker.functions["shard-search"]

    def seen(payload: bytes) -> bytes:
        watched.told.append(orjson.loads(payload))
        return leaf(payload)

    watched.lake.invoker.functions["shard-search"] = seen
    return watched


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Watched, Watched]:
    """The same items with and without ttl, of which one ends each second, from an hour on."""
    hours = [1 + n / 3600 for n in range(ROWS)]
    folder = tmp_path_factory.mktemp("lakes")
    return made(folder, list(hours)), made(folder, list(hours), ttl=None)


@pytest.fixture
def timed(both: tuple[Watched, Watched]) -> Watched:
    """Those with ttl, before any has ended, in containers that know nothing yet."""
    return _afresh(both[0])


@pytest.fixture
def plain(both: tuple[Watched, Watched]) -> Watched:
    """Those without, likewise."""
    return _afresh(both[1])


def _afresh(watched: Watched) -> Watched:
    watched.now = START
    watched.lake.containers.clear()
    watched.lake._router = None
    del watched.told[:]
    return watched


def search(watched: Watched, query: Any = QUERIES[0], **body: Any) -> dict[str, Any]:
    return watched.lake.search(query={"vector": {"v": list(map(float, query))}}, explain=True, **body)


BODIES: list[dict[str, Any]] = [
    {},
    {"recall": 1},
    {"filter": {"number": {"$lt": 1500}}},
    {"facets": ["number"], "k": 5},
    {"group_by": {"attribute": "number", "size": 1}},
]


@pytest.mark.parametrize("body", BODIES)
def test_before_anything_expires_a_search_is_that_of_a_collection_without_ttl(
    timed: Watched, plain: Watched, body: dict[str, Any]
) -> None:
    answers = [search(one, **body) for one in (timed, plain)]

    for answer in answers:
        del answer["version"], answer["stats"]["took_ms"], answer["stats"]["gb_seconds"]
    assert answers[0] == answers[1]
    assert [request["searches"] for request in timed.told] == [request["searches"] for request in plain.told]
    assert not any("expiry" in request for request in timed.told)


def test_shards_of_which_all_has_expired_are_not_asked_and_those_that_are_fresh_not_told(tmp_path: Path) -> None:
    watched = made(tmp_path, [n / 100 for n in range(ROWS)], by="attribute")
    shards = len(watched.lake.shards)
    assert shards >= 3
    first = search(watched, recall=1)["shards"]["requested"]
    assert first == shards

    watched.now += 12 * HOUR
    del watched.told[:]
    answer = search(watched, recall=1)

    aged = [request["shards"][0]["shard_id"] for request in watched.told if "expiry" in request]
    asked = [request["shards"][0]["shard_id"] for request in watched.told]
    assert len(aged) <= 1
    assert 0 < len(asked) < shards
    assert answer["shards"]["requested"] == len(asked)
    assert answer["plan"]["shards_pruned"] == shards - len(asked)
    assert len(answer["hits"]) == 10
    assert all(int(hit["id"][1:]) > 1200 for hit in answer["hits"])


@pytest.mark.parametrize("body", BODIES)
def test_when_all_has_expired_nobody_is_asked(timed: Watched, body: dict[str, Any]) -> None:
    timed.now += 2 * HOUR

    answer = search(timed, **body)

    assert (answer["hits"], answer["shards"]) == ([], {"requested": 0, "searched": 0, "failed": []})
    assert timed.told == []


def test_hits_are_found_though_all_of_the_nearest_shards_has_expired(tmp_path: Path) -> None:
    watched = made(tmp_path, [None] * ROWS)
    order = {row.shard_id: row.lists["v"] for row in watched.lake.shards}
    assert len(order) >= 3
    answered = [request["shards"][0]["shard_id"] for request in _asked(watched, nprobe=1, recall=0.5)]
    assert len(answered) == 1
    (nearest,) = answered
    of_shard = {hit.id for hit in watched.lake.opened(nearest).search(LeafSearch(k=ROWS)).hits}

    timed = made(tmp_path, [1.0 if f"i{n:04d}" in of_shard else None for n in range(ROWS)])
    timed.now += 2 * HOUR
    answer = search(timed, k=10, recall=0.5, nprobe=1)

    assert len(answer["hits"]) == 10
    assert not of_shard & {hit["id"] for hit in answer["hits"]}


def _asked(watched: Watched, **body: Any) -> list[dict[str, Any]]:
    del watched.told[:]
    search(watched, **body)
    return list(watched.told)


@pytest.mark.parametrize("where", ["anywhere", "in one region"])
def test_the_promise_of_recall_is_kept_whatever_has_expired(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (summaries, expiry):  # a shard of this test has few rows
        monkeypatch.setattr(module, "MIN_QUANTILE_VALUES", 100)
    rank = np.random.default_rng(3).permutation(ROWS) if where == "anywhere" else np.argsort(np.argsort(VECTORS[:, 0]))
    # Every fifth ends in a thousand years: the least and the greatest do not tell how much has expired.
    hours = np.where(rank % 5, 100.0 * rank / ROWS, 1e7)
    watched = made(tmp_path, hours.tolist())

    for reached in (1, 10, 70, 99.9):
        watched.now = START + reached * HOUR
        del watched.told[:]
        live = hours > reached
        assert _recall(watched, live) >= 0.9
        sources = [one["vectors"][0] for request in watched.told for one in request["searches"]]
        is_worn = reached > 50
        assert all((source["lists"] is None) is is_worn for source in sources)


def _recall(watched: Watched, live: Any) -> float:
    found = 0
    for query in QUERIES:
        best = np.argsort(-(VECTORS @ query) + 10 * ~live, kind="stable")[:10]
        answer = search(watched, query, recall=0.9)
        assert answer["plan"]["bands_by_shard"] == {}, "there is no filter"
        hits = [int(hit["id"][1:]) for hit in answer["hits"]]
        assert len(hits) == 10
        assert all(live[number] for number in hits)
        found += len(set(hits) & set(best.tolist()))
    return found / (10 * len(QUERIES))


def test_a_moment_that_moves_makes_no_answer_of_a_filter_anew(timed: Watched) -> None:
    timed.now += 1.1 * HOUR
    body = {"filter": {"number": {"$lt": 1500}}, "recall": 1}
    search(timed, **body)
    shards = [shard for one in timed.lake.containers.values() for shard in one._cache._shards.values()]
    kept = [shard.attributes._answers for shard in shards]
    held = [[id(answer) for answer in one._entries.values()] for one in kept]
    assert held

    for _ in range(20):
        timed.now += timedelta(seconds=30)
        search(timed, **body)

    assert [[id(answer) for answer in one._entries.values()] for one in kept] == held
    assert [len(answers) for answers in held] == [1] * len(shards)
