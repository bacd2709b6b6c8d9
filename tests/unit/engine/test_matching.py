"""The match of an opened shard: what a warm-up leaves to read, and what a second search of the same match reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from shardlake.contracts.shard import LeafSearch, LeafStats, MatchClause, MatchSource
from shardlake.engine.reading import Reader
from shardlake.engine.warming import Bounds, warm_up
from shardlake.types import AttributeType
from tests.lake import Lake, item, schema, space

WORDS = ["red", "leather", "boots", "of", "the", "king"]
MATCH = MatchSource(
    clauses=(
        MatchClause(
            attribute="title",
            terms=("red", "leather"),
            phrases=(("red", "leather"),),
            docs=60,
            mean_length=3,
            df=(9, 9),
        ),
    )
)


class Disk:
    """Blocks at hand, in memory."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[int, int], bytes] = {}

    def get(self, offset: int, size: int) -> bytes | None:
        """Returns a block, or None."""
        return self._blocks.get((offset, size))

    def has(self, offset: int, size: int) -> bool:
        """Returns whether a block is there."""
        return (offset, size) in self._blocks

    def put(self, offset: int, data: bytes) -> None:
        """Takes a block."""
        self._blocks[offset, len(data)] = data


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Titles of one to six words."""
    texts = {"title": AttributeType.TEXT}
    items = [item(f"i{n:03d}", {"v": [n, 1, 2, 3]}, title=" ".join(WORDS[: 1 + n % 6])) for n in range(60)]
    folder: Path = tmp_path_factory.mktemp("titles")
    return Lake(schema(space(4), attributes=texts), folder).built(items)


def test_after_a_warm_up_a_match_reads_nothing_from_the_store(lake: Lake) -> None:
    shard, disk, stats = lake.opened(), Disk(), LeafStats()
    bounds = Bounds(max_bytes=1 << 30, room=lambda: 1 << 30, placed=lambda: None)
    assert warm_up(shard, Reader(shard._read, None, stats, disk), stats, bounds).complete

    cold = LeafStats()
    rows, _ = shard._terms.search(MATCH, Reader(shard._read, None, cold, disk), None)

    assert len(rows) == 50
    assert cold.object_reads == 0
    assert cold.cache_reads > 0


def test_a_match_alone_finds_its_items_best_first(lake: Lake) -> None:
    answer = lake.opened().search(LeafSearch(match=MATCH, k=60))

    assert len(answer.hits) == 50
    assert answer.hits[0].score == max(hit.score for hit in answer.hits)
    assert answer.hits[0].id == "i001", "the shortest title, and the first of its id"
