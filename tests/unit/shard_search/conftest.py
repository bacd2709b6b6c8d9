"""A lake whose leaf is tested: coded and flat, small enough for a second."""

from __future__ import annotations

import pytest

from shardlake.types import AttributeType, IndexType
from tests.lake import Lake, item, schema, space, unit_rows

ATTRIBUTES = {"number": AttributeType.INT, "colour": AttributeType.KEYWORD, "note": AttributeType.TEXT}
ROWS = 1300


@pytest.fixture(scope="session")
def leaf_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """1,300 rows: space v coded, space w flat and absent from every third row; two shards. Not to be changed."""
    vectors, others = unit_rows(ROWS, 8), unit_rows(ROWS, 2, 1)
    items = [
        item(
            f"{i:05d}",
            {"v": vectors[i], **({"w": others[i]} if i % 3 else {})},
            number=i,
            colour=["red", "blue"][i % 2],
        )
        for i in range(ROWS)
    ]
    target = schema(space(8), space(2, "w", index=IndexType.FLAT), target_rows=650, attributes=ATTRIBUTES)
    return Lake(target, tmp_path_factory.mktemp("leaf")).built(items)


@pytest.fixture(scope="session")
def big_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """10,000 rows in one shard, of which half pass `half`: more than are scored one by one."""
    vectors = unit_rows(10_000, 8, 3)
    items = [item(f"{i:05d}", {"v": vectors[i]}, half=i % 2 == 0) for i in range(10_000)]
    lake = Lake(schema(space(8), attributes={"half": AttributeType.BOOL}), tmp_path_factory.mktemp("big"))
    return lake.built(items)
