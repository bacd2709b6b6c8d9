"""Stage 2: how many shards there are and what decides the shard of an item: its lists, its id, or one attribute.

By attribute, the values stand in their order and are cut into runs of about `target_rows` rows, so that a shard has few
values and its zone map leaves it out of most filters. A value that alone has more rows gets shards of its own, among
which its items are dealt by their lists in the primary space: near ones together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import orjson

from builder.context import BuildContext
from builder.survey import Survey, read_segments
from shardlake.core import rendezvous, training
from shardlake.core.vectors import prepare
from shardlake.errors import Conflict, ErrorKind
from shardlake.format.container import Container
from shardlake.limits import MAX_SHARDING_VALUES
from shardlake.query.filter import to_column_value
from shardlake.types import AttributeSpec, CollectionSchema, Float32Array, Int64Array, Metric

NAME = "deal"
NO_LIST = -1
WEIGHED_ROWS = 16_384  # of one large value: enough to see how full its lists are

Value = str | int | float
Place = tuple[int, int]
"""The first shard of a value, and how many it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealing:
    """What decides the shard of an item.

    Attributes:
        by: as the schema says.
        shards: how many there are.
        spec: of the attribute, where that decides.
        places: of its values; those of items without one under None.
        groups: {value with several shards: (lists,) which of its shards has each list}.
    """

    by: str
    shards: int
    spec: AttributeSpec | None = None
    places: dict[Value | None, Place] | None = None
    groups: dict[Value | None, Int64Array] | None = None

    @property
    def shares_lists(self) -> bool:
        """Whether every shard has all lists of the primary space, as it has of the others."""
        return self.by != "cluster"

    def shards_of(
        self, ids: Sequence[bytes], payloads: Sequence[bytes], lists: Int64Array, list_starts: Int64Array | None
    ) -> Int64Array:
        """Returns (n,) int64: the shard of each item.

        Args:
            ids, payloads: of the items.
            lists: of each in the primary space, NO_LIST without a vector there.
            list_starts: the first list of each shard, by cluster.
        """
        if self.by == "hash":
            return rendezvous.homes(rendezvous.digests(ids), self.shards)
        if self.by == "attribute":
            return self._by_attribute(ids, payloads, lists)
        assert list_starts is not None
        shard_of = np.searchsorted(list_starts[1:], lists, side="right").astype(np.int64)
        # An item without a primary vector has no nearest list: its id decides.
        lost = np.flatnonzero(lists == NO_LIST)
        shard_of[lost] = _of_ids(ids, lost, self.shards)
        return shard_of

    def _by_attribute(self, ids: Sequence[bytes], payloads: Sequence[bytes], lists: Int64Array) -> Int64Array:
        assert self.spec is not None
        assert self.places is not None
        values = values_of(self.spec, payloads)
        found = np.array([self.places[value] for value in values], np.int64).reshape(-1, 2)
        shard_of = found[:, 0].copy()
        for value, groups in (self.groups or {}).items():
            own = np.fromiter((one == value for one in values), bool, len(values))
            listed = np.flatnonzero(own & (lists != NO_LIST)) if len(groups) else np.empty(0, np.int64)
            shard_of[listed] += groups[lists[listed]]
            lost = np.setdiff1d(np.flatnonzero(own), listed)
            shard_of[lost] += _of_ids(ids, lost, self.places[value][1])
        return shard_of


def _of_ids(ids: Sequence[bytes], rows: Int64Array, count: int) -> Int64Array:
    found = rendezvous.digests([ids[row] for row in rows.tolist()])
    return (found % np.uint64(count)).astype(np.int64)


def values_of(spec: AttributeSpec, payloads: Sequence[bytes]) -> list[Value | None]:
    """Returns the value that decides, of each item; None where it has none."""
    raw = [orjson.loads(payload)["attributes"].get(spec.name) for payload in payloads]
    return [None if value is None else to_column_value(spec, value) for value in raw]


def deal(context: BuildContext, found: Survey) -> Dealing:
    """Returns the dealing; by attribute the counts of values are one artefact. `weigh` completes it after training.

    Raises:
        Conflict: when the attribute has more values than a dealing can hold.
    """
    schema = context.schema
    if schema.sharding != "attribute":
        return Dealing(by=schema.sharding, shards=max(1, -(-found.rows // schema.target_rows)))
    spec = _spec(schema)
    stored = context.load(NAME)
    if stored is None:
        counts = sorted(_counts(context, found, spec).items(), key=_in_order)
        stored = context.save(NAME, {}, {"counts": [[value, rows] for value, rows in counts]})
    places, shards = places_of([(value, rows) for value, rows in stored.meta["counts"]], schema.target_rows)
    return Dealing(by="attribute", shards=shards, spec=spec, places=places)


def _spec(schema: CollectionSchema) -> AttributeSpec:
    spec = schema.attribute(schema.sharding_attribute or "")
    assert spec is not None, "the contract names an attribute that is declared"
    return spec


def _in_order(entry: tuple[Value | None, int]) -> tuple[bool, Value]:
    value = entry[0]
    return value is None, 0 if value is None else value


def _counts(context: BuildContext, found: Survey, spec: AttributeSpec) -> Counter[Value | None]:
    counts: Counter[Value | None] = Counter()
    for segment, live in read_segments(context, found, range(len(found.segments))):
        counts.update(values_of(spec, segment.payloads(np.flatnonzero(live))))
        if len(counts) > MAX_SHARDING_VALUES:
            raise Conflict(
                f"the attribute {spec.name} has more than {MAX_SHARDING_VALUES} values: shard by another one, or by "
                "cluster",
                kind=ErrorKind.TOO_MANY_VALUES,
            )
    return counts


def places_of(counts: Sequence[tuple[Value | None, int]], target_rows: int) -> tuple[dict[Value | None, Place], int]:
    """Returns the shards of each value, and how many there are together.

    Args:
        counts: (value, rows), in the order of the values.
        target_rows: of a shard.

    A run of small values is cut where its rows are nearest to even shares, so a shard has more than its share by less
    than one value.
    """
    places: dict[Value | None, Place] = {}
    shards = 0
    for is_large, group in groupby(counts, key=lambda entry: entry[1] > target_rows):
        run = list(group)
        if is_large:
            for value, rows in run:
                places[value] = (shards, -(-rows // target_rows))
                shards += places[value][1]
            continue
        rows_of_run = np.array([rows for _, rows in run])
        share = rows_of_run.sum() / -(-int(rows_of_run.sum()) // target_rows)
        middles = np.cumsum(rows_of_run) - rows_of_run / 2
        _, numbers = np.unique((middles / share).astype(np.int64), return_inverse=True)
        places.update({value: (shards + int(number), 1) for (value, _), number in zip(run, numbers, strict=True)})
        shards += int(numbers[-1]) + 1
    return places, max(shards, 1)


# Values with several shards -----------------------------------------------------------------------


def weigh(  # noqa: PLR0917  # `train` imports this file, so a trained space comes in parts
    context: BuildContext, found: Survey, dealing: Dealing, space: str, centroids: Float32Array, metric: Metric
) -> Dealing:
    """Returns the dealing with the lists of each value that has several shards dealt out among these.

    Args:
        context, found: of the build. dealing: as `deal` made it.
        space: the primary one. centroids: (lists, d) of it. metric: of it.
    """
    large = {value: place for value, place in (dealing.places or {}).items() if place[1] > 1}
    if not large:
        return dealing
    stored = context.load(f"{NAME}-lists") or _weigh(context, found, dealing, (space, centroids, metric), large)
    groups = {value: stored.array(str(number)) for number, value in enumerate(large)}
    return Dealing(by=dealing.by, shards=dealing.shards, spec=dealing.spec, places=dealing.places, groups=groups)


def _weigh(
    context: BuildContext,
    found: Survey,
    dealing: Dealing,
    primary: tuple[str, Float32Array, Metric],
    large: dict[Value | None, Place],
) -> Container:
    space, centroids, metric = primary
    weights = {value: np.zeros(len(centroids), np.int64) for value in large}
    assert dealing.spec is not None
    for segment, live in read_segments(context, found, range(len(found.segments))):
        part = segment.spaces[space]
        kept = live[part.rows]
        values = values_of(dealing.spec, segment.payloads(part.rows[kept].astype(np.int64)))
        vectors = part.vectors[kept]
        for value, weight in weights.items():
            own = np.flatnonzero(np.fromiter((one == value for one in values), bool, len(values)))
            own = own[: max(0, WEIGHED_ROWS - int(weight.sum()))]
            if len(own):
                lists = training.assign(prepare(vectors[own], metric), centroids, metric)
                weight += np.bincount(lists, minlength=len(centroids))
    arrays: dict[str, npt.NDArray[np.int64]] = {}
    for number, (value, (_, count)) in enumerate(large.items()):
        # Fewer lists than shards cannot be dealt out: ids decide.
        can_deal = len(centroids) >= count
        arrays[str(number)] = (
            training.group_lists(centroids, weights[value], count) if can_deal else np.empty(0, np.int64)
        )
    return context.save(f"{NAME}-lists", arrays, {})
