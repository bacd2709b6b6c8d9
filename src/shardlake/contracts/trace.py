"""Tracing an item: the request."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shardlake import limits
from shardlake.contracts.common import StrictModel

TRACE = "trace"
"""Of an event of the build function: the id of the item that is traced."""


class TraceModel(StrictModel):
    """The body of POST …/items:trace: an item's id, and `next` of the page before."""

    id: Annotated[str, Field(min_length=1, max_length=limits.MAX_ID_BYTES)]
    after: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
