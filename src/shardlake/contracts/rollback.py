"""Going back to a version: the request."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shardlake.contracts.common import StrictModel


class RollbackModel(StrictModel):
    """The body of POST …/rollback: a version that GET …/versions lists."""

    version: Annotated[str, Field(min_length=1, max_length=64)]
