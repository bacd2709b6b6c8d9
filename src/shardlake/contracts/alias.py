"""Giving an alias to a version: the request."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shardlake.contracts.common import StrictModel


class AliasModel(StrictModel):
    """The body of PUT …/aliases/{alias}: a version that GET …/versions lists; null, or not there: the current one."""

    version: Annotated[str, Field(min_length=1, max_length=64)] | None = None
