"""The postings of numbers and places: buckets of neighbouring values, and of numbers cumulated bitmaps between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.errors import FormatError
from shardlake.format.container import Extent
from shardlake.format.paged_map import ReadExtents
from shardlake.format.posting import AttributePostings, InBucket, Posting, Recipe, Tables
from shardlake.query.columns import NUMBERS
from shardlake.query.postings import checkpoint_step, cover
from shardlake.types import AttributeSpec, AttributeType


def bucket_postings(tables: Tables, present: Posting, spec: AttributeSpec) -> AttributePostings:
    """Returns the postings of a number or a place from its tables. Raises FormatError."""
    is_geo = spec.type is AttributeType.GEO
    axes = 2 if is_geo else 1
    bounds = tables.array("bounds", np.float64 if is_geo else NUMBERS[spec.type], (None, 2 * axes))
    table = tables.postings("table", len(bounds))
    values = [Extent.of(row) for row in tables.array("values", np.uint64, (len(bounds), 3)).tolist()]
    checkpoints = (
        [] if is_geo else tables.postings("checkpoints", max(0, len(bounds) - 1) // checkpoint_step(len(bounds)))
    )
    in_order = bool((bounds[:, :axes] <= bounds[:, axes:]).all()) and (
        is_geo or bool((bounds[:-1, 1] <= bounds[1:, 0]).all())
    )
    sizes = [8 * axes * posting.rows for posting in table] == [extent.bytes for extent in values]
    if not in_order or not sizes or sum(posting.rows for posting in table) != present.rows:
        raise FormatError("the buckets of an attribute contradict each other", block=tables.prefix)
    buckets = [InBucket(rows=p, values=v, bounds=b) for p, v, b in zip(table, values, bounds, strict=True)]
    return _BucketPostings(present, buckets, bounds, checkpoints, is_geo=is_geo)


class _BucketPostings(AttributePostings):
    def __init__(
        self,
        present: Posting,
        buckets: list[InBucket],
        bounds: npt.NDArray[Any],
        checkpoints: list[Posting],
        *,
        is_geo: bool,
    ) -> None:
        super().__init__(present)
        self._buckets = buckets
        self._bounds = bounds
        self._checkpoints = checkpoints
        self._words = {"near", "box"} if is_geo else {"eq", "in", "gt", "gte", "lt", "lte"}

    def _recipe(self, word: str, operands: Sequence[Any], read: ReadExtents) -> Recipe:
        if word not in self._words:
            return super()._recipe(word, operands, read)
        whole, partly = cover(word, operands, self._bounds)
        recipe = Recipe(inside=[self._buckets[number] for number in np.flatnonzero(partly)])
        edges = np.flatnonzero(np.diff(np.concatenate([[False], whole, [False]]).astype(np.int8))).tolist()
        for first, stop in zip(edges[::2], edges[1::2], strict=True):
            self._add_run(recipe, first, stop)
        return recipe

    def _add_run(self, recipe: Recipe, first: int, stop: int) -> None:
        """Adds the buckets first to stop: one by one, or as what is cumulated to `stop` without that to `first`."""
        plain = [bucket.rows for bucket in self._buckets[first:stop]]
        # What one run takes away must not be what another added: only one of a condition is cumulated.
        if not self._checkpoints or recipe.plus:
            recipe.also.extend(plain)
            return
        plus, minus = self._upto(stop, len(self._buckets))
        without, back = self._upto(first, stop)
        if _size([*plus, *minus, *without, *back]) >= _size(plain):
            recipe.also.extend(plain)
            return
        recipe.plus.extend(plus)
        recipe.minus.extend([*minus, *without])
        recipe.also.extend(back)

    def _upto(self, end: int, limit: int) -> tuple[list[Posting], list[Posting]]:
        """Returns the buckets before `end` as bitmaps to add and to take away, none of a bucket from `limit` on."""
        step = checkpoint_step(len(self._buckets))
        below = end // step * step
        above = min(below + step, len(self._buckets))
        up = [self._cumulated(below), *(bucket.rows for bucket in self._buckets[below:end])]
        down, beyond = self._cumulated(above), [bucket.rows for bucket in self._buckets[end:above]]
        return (up, []) if above > limit or _size(up) <= _size([down, *beyond]) else ([down], beyond)

    def _cumulated(self, stop: int) -> Posting:
        if stop == len(self._buckets):
            return self._present
        step = checkpoint_step(len(self._buckets))
        return self._checkpoints[stop // step - 1] if stop else Posting(0, 0, 0, 0)


def _size(postings: Sequence[Posting]) -> int:
    return sum(posting.size for posting in postings)
