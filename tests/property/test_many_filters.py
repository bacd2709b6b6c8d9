"""Ten thousand filters: columns, postings of an encoded file, and what the shard map proves, against the oracle."""

from __future__ import annotations

import itertools

import numpy as np
import orjson
import pytest

from shardlake.query.columns import build_column, evaluate
from shardlake.query.filter import parse
from shardlake.query.summaries import can_match, summarize
from tests.attribute_file import written
from tests.property import filter_oracle as oracle
from tests.property.random_filters import SCHEMA, item, tree

WORLDS, FILTERS, ITEMS = 20, 500, 24


@pytest.mark.parametrize("seed", range(WORLDS))
def test_a_filter_lets_pass_what_the_contract_says_by_columns_and_by_postings(seed: int) -> None:
    rng = np.random.default_rng(seed)
    items = [item(rng) for _ in range(ITEMS)]
    columns = {s.name: build_column(s, [one.get(s.name) for one in items]) for s in SCHEMA.attributes}
    zones = {name: zone for name, column in columns.items() if (zone := column.zone()) is not None}
    summaries = orjson.loads(orjson.dumps({name: summarize(column) for name, column in columns.items()}))
    file = written(SCHEMA, items)
    wrong = []
    clear = (raw for raw in iter(lambda: tree(rng), None) if not any(oracle.is_close(raw, one) for one in items))
    for raw in itertools.islice(clear, FILTERS):
        node = orjson.loads(orjson.dumps(parse(raw, SCHEMA)))
        expected = [oracle.passes(raw, one, SCHEMA) for one in items]
        by_columns, by_postings = evaluate(node, columns, ITEMS), file.passing(node)
        proved = any(expected) and not can_match(node, zones, summaries)
        if by_columns.tolist() != expected or by_postings.tolist() != expected or proved:
            wrong.append((raw, by_columns.tolist(), by_postings.tolist(), expected, proved))

    assert wrong == []


ROWS = 30_000


def test_postings_of_many_rows_say_what_columns_say() -> None:
    # Enough rows for buckets, checkpoints, tiles and pages. Columns are held to the oracle above.
    rng = np.random.default_rng(99)
    some = [item(rng) for _ in range(3_000)]
    items = [some[number] for number in rng.integers(len(some), size=ROWS).tolist()]
    columns = {s.name: build_column(s, [one.get(s.name) for one in items]) for s in SCHEMA.attributes}
    file = written(SCHEMA, items)
    wrong = []
    for _ in range(1_500):
        node = parse(tree(rng, 2), SCHEMA)
        if not np.array_equal(file.passing(node), evaluate(node, columns, ROWS)):
            wrong.append(node)

    assert wrong == []
    assert max(map(len, file.rounds)) > 1
