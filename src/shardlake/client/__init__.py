"""The Python client: `Client` and `AsyncClient`, the same names as the HTTP API, typed.

from shardlake import Client

with Client("http://127.0.0.1:8080") as client:
    for hit in client.collection("pictures").search(text="a red circle", filter={"price": {"$lte": 20}}, k=5):
        print(hit.id, hit.score)
"""

from __future__ import annotations

from shardlake.client.answers import (
    Accepted,
    Alias,
    Build,
    CollectionInfo,
    EncodeAnswer,
    FailedShard,
    Hit,
    ItemPage,
    SearchAnswer,
    Shards,
    Stats,
    Trace,
    Version,
)
from shardlake.client.asynchronous import AsyncClient, AsyncCollection, AsyncCollections
from shardlake.client.queries import SearchParameters
from shardlake.client.sync import Client, Collection, Collections
from shardlake.client.uploads import FileOutcome, LocalFile, UploadProgress, UploadReport

__all__ = [
    "Accepted",
    "Alias",
    "AsyncClient",
    "AsyncCollection",
    "AsyncCollections",
    "Build",
    "Client",
    "Collection",
    "CollectionInfo",
    "Collections",
    "EncodeAnswer",
    "FailedShard",
    "FileOutcome",
    "Hit",
    "ItemPage",
    "LocalFile",
    "SearchAnswer",
    "SearchParameters",
    "Shards",
    "Stats",
    "Trace",
    "UploadProgress",
    "UploadReport",
    "Version",
]
