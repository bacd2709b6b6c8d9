"""Shardlake: serverless multimodal search on your own S3 bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.3.0"
__all__ = ["AsyncClient", "Client", "ShardlakeError", "__version__"]

if TYPE_CHECKING:
    from shardlake.client import AsyncClient, Client
    from shardlake.errors import ShardlakeError


def __getattr__(name: str) -> object:
    # Functions import this package on every cold start: the client and its HTTP library load only when asked for.
    if name in {"Client", "AsyncClient"}:
        from shardlake import client

        return getattr(client, name)
    if name == "ShardlakeError":
        from shardlake.errors import ShardlakeError

        return ShardlakeError
    raise AttributeError(name)
