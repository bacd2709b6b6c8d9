"""What of a version has expired at a moment: which shards nobody needs to ask, which must look, and how the rest goes.

Zone maps decide. A shard in which everything has expired is not asked. One in which nothing can have is not told, and
searched as if items never expired. Where much of a shard has, searches go as under a filter that only the rest passes:
the shards choose lists for themselves, as deep as the curve says for what is left.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from functions.router.versions import Version, is_delta
from shardlake.catalog.base import ShardRow
from shardlake.contracts.shard import Expiry
from shardlake.query.rows import FEW_SHARE
from shardlake.query.summaries import MIN_QUANTILE_VALUES
from shardlake.types import CollectionSchema

STEP_S = 1  # moments are whole seconds, so that what was found at one serves all searches of that second
_US = 1_000_000


class _Age(Enum):
    FRESH = "nothing of it has expired"
    AGED = "some of it may have expired"
    GONE = "all of it has expired"


def as_of(version: Version, schema: CollectionSchema, now_s: float) -> Version:
    """Returns a version as it is searched at a time: without what has expired by then. Itself where items never do.

    Args:
        version: of the collection. schema: of the collection.
        now_s: seconds since 1970. It is rounded down to STEP_S: an item is found for that long after its time, at most.

    Cost: less than a microsecond a shard.
    """
    if schema.ttl is None:
        return version
    moment_us = moment(now_s)
    ages = [(row, _age(row, schema.ttl, moment_us)) for row in (*version.shards, *version.deltas)]
    aged = [row for row, age in ages if age is _Age.AGED]
    return replace(
        version,
        expiry=Expiry(attribute=schema.ttl, moment_us=moment_us, shards=()),
        aged=frozenset(row.shard_id for row in aged),
        gone=frozenset(row.shard_id for row, age in ages if age is _Age.GONE),
        is_worn=any(_is_worn(row, schema.ttl, moment_us) for row in aged),
    )


def moment(now_s: float) -> int:
    """Returns the moment of a time, in microseconds since 1970.

    >>> moment(12.9)
    12000000
    """
    return math.floor(now_s / STEP_S) * STEP_S * _US


def _age(row: ShardRow, attribute: str, moment_us: int) -> _Age:
    zone, summary = row.zone_maps.get(attribute), row.summaries.get(attribute)
    if summary is not None and not summary["present"]:
        return _Age.FRESH
    if zone is None:  # not known, which proves nothing
        return _Age.AGED
    first_us, last_us = _ends(zone)
    if first_us > moment_us:
        return _Age.FRESH
    is_whole = summary is not None and not summary["missing"]
    return _Age.GONE if is_whole and last_us <= moment_us else _Age.AGED


def _ends(zone: Sequence[object]) -> tuple[int, int]:
    first_us, last_us = zone
    assert isinstance(first_us, int), "a time is stored in microseconds"
    assert isinstance(last_us, int), "a time is stored in microseconds"
    return first_us, last_us


def _is_worn(row: ShardRow, attribute: str, moment_us: int) -> bool:
    # Small shards have no quantiles, and no depth to speak of.
    is_large = not is_delta(row) and row.rows >= MIN_QUANTILE_VALUES
    return is_large and _expired_share(row, attribute, moment_us) >= FEW_SHARE


def _expired_share(row: ShardRow, attribute: str, moment_us: int) -> float:
    """Returns how much of a shard has expired, by the quantiles of its values: that much, and at most a sixteenth more.

    All that can have where these are not known: a search goes deeper than it must then, and never less deep.
    """
    summary = row.summaries.get(attribute)
    if summary is None:
        return 1.0
    cuts = summary.get("quantiles")
    share = 1.0 if cuts is None else bisect_right(cuts, moment_us) / (len(cuts) + 1)
    return share * summary["present"] / row.rows
