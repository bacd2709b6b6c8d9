"""Leaf searches said shortly: fields of a search and of its one vector source side by side."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.contracts.shard import LeafSearch, VectorSource

_OF_SOURCE = {spec.name for spec in fields(VectorSource)}


def leaf_search(
    space: str | None = None, query: npt.NDArray[np.float32] | None = None, *, vectors: bool = False, **asked: Any
) -> LeafSearch:
    """Returns a search of one space, or by id; `vectors` asks for those of the space to come back."""
    source = {name: value for name, value in asked.items() if name in _OF_SOURCE}
    rest = {name: value for name, value in asked.items() if name not in _OF_SOURCE}
    sources = () if space is None or query is None else (VectorSource(space=space, query=query, **source),)
    include = (space,) if vectors and space is not None else ()
    return LeafSearch(vectors=sources, include_vectors=include, **rest)


def change(search: LeafSearch, **asked: Any) -> LeafSearch:
    """Returns the search with other values of its fields or of its source's."""
    source = {name: value for name, value in asked.items() if name in _OF_SOURCE}
    rest = {name: value for name, value in asked.items() if name not in _OF_SOURCE}
    sources = tuple(replace(one, **source) for one in search.vectors) if source else search.vectors
    return replace(search, vectors=sources, **rest)
