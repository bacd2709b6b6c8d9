"""Rows without a vector lie in shards too, and are no hits: a probe that is narrow must not count them as such."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.lake import Lake, item, schema, space, unit_rows


@pytest.mark.parametrize("every", [2, 5, 50])
def test_there_are_k_hits_or_all_that_have_a_vector_however_few_lists_are_probed(tmp_path: Path, every: int) -> None:
    # Few directions and many rows: most lists are empty, and with them the primary part of most shards.
    directions = unit_rows(2, 4, 9)
    rows = range(1500)
    items = [item(f"{i:04d}", {} if i % every == 0 else {"v": directions[i % 7 % 2]}) for i in rows]
    lake = Lake(schema(space(4), target_rows=250), tmp_path).built(items)
    having = sum(i % every != 0 for i in rows)

    for query in np.concatenate([directions, -directions]):
        for k in (1, 10, 1000):
            found = lake.ids(query={"vector": {"v": query.tolist()}}, k=k, nprobe=1)
            assert len(found) == min(k, having)
