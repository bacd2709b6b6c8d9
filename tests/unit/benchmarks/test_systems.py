"""The systems of the benchmarks find what exact search finds, where they are asked for all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import metrics, prepared
from benchmarks.corpus import Corpus, corpus, mask_name
from benchmarks.race import race
from benchmarks.systems.bare_faiss import BareFaiss, composed
from benchmarks.systems.exact import Exact
from benchmarks.systems.ours import Leaf, Routed, Service, body, plan_of
from benchmarks.truth import truth

ROWS, DIMENSION, QUERIES = 3_000, 64, 12
MASKS = (None, mask_name("independent", 0.1), mask_name("correlated", 0.001))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def made(cache: Path) -> Corpus:
    return corpus(ROWS, DIMENSION, queries=QUERIES, cache=cache)


@pytest.fixture(scope="module")
def service(made: Corpus, cache: Path) -> Service:
    return Service(prepared.built(made, cache=cache))


@pytest.mark.parametrize("mask", MASKS)
def test_every_system_asked_for_everything_finds_the_truth(
    made: Corpus, cache: Path, service: Service, mask: str | None
) -> None:
    index = composed(prepared.built(made, cache=cache), made.base)
    arms = [
        Exact(made.base, made.masks),
        BareFaiss(index, made.masks, nprobe=64, candidates=400),
        Leaf(service, more={"recall": 1}),
        Leaf(service, first=True, more={"recall": 1}),
        Routed(service),
    ]
    wanted = truth(made, mask, cache=cache)

    done = race(arms, made.queries, mask, warm_up=1)

    # faiss scores rows of bytes, which settles the last places by rounding; the whole path keeps its promise.
    floors = {"exact": 1.0, "shardlake": 1.0, "shardlake, filter new": 1.0, "faiss": 0.95, "shardlake, whole path": 0.9}
    assert {name: metrics.recall(raw.ids, wanted) >= floors[name] for name, raw in done.items()} == dict.fromkeys(
        floors, True
    )
    assert all(metrics.full(raw.ids, wanted) == QUERIES for raw in done.values())
    assert all(len(raw.ms) == QUERIES for raw in done.values())


def test_a_filter_that_was_forgotten_is_read_again(made: Corpus, service: Service) -> None:
    mask = MASKS[1]
    warm, first = Leaf(service), Leaf(service, first=True)
    run = warm.ready(made.queries[0], mask)
    run()

    assert warm.counters(run())["bytes_read"] == 0
    first.settle()
    assert warm.counters(run())["bytes_read"] > 0


def test_the_leaf_is_asked_what_the_router_asks_of_it_and_hears_of_it_once(made: Corpus, service: Service) -> None:
    import orjson

    request = service.leaf_request(*(orjson.dumps(body(query, None)) for query in made.queries))

    nprobe, candidates = plan_of(request)
    assert len(request.searches) == QUERIES
    assert 1 <= nprobe <= 64
    assert candidates >= 10


def test_a_kept_collection_is_the_one_that_was_built(made: Corpus, cache: Path) -> None:
    once, again = (prepared.built(made, cache=cache) for _ in range(2))

    assert once.shards == again.shards
    assert once.pointer == again.pointer
