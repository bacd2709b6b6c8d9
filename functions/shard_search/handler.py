"""The shard_search function: searches of one shard, or of many small ones. Composes once a process and translates."""

from __future__ import annotations

import os
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from functions.shard_search.cache import ShardCache
from functions.shard_search.service import ShardSearch, bounded
from shardlake import limits
from shardlake.contracts.shard import LeafReply
from shardlake.contracts.shard_wire import decode_request, encode_reply
from shardlake.errors import ErrorKind, InternalError, ShardlakeError
from shardlake.observability import Line, Observer
from shardlake.settings import Settings
from shardlake.store.blocks import FolderBlocks
from shardlake.store.s3 import S3Store
from shardlake.types import LambdaContext

_observer = Observer("shard_search")


@cache
def service() -> ShardSearch:
    """Returns what this process answers with."""
    settings = Settings.from_env(os.environ)
    # The folder is named after function and version: on a local cloud all functions share one temporary folder.
    folder = Path(tempfile.gettempdir()) / f"{settings.function_name or 'shardlake'}-{settings.code_version}-blocks"
    blocks = FolderBlocks(folder, max_bytes=settings.block_cache_mb * limits.MIB)
    shards = ShardCache(S3Store(settings.bucket), max_bytes=settings.shard_cache_mb * limits.MIB, blocks=blocks)
    return ShardSearch(shards, clock=time.monotonic, memory_mb=settings.memory_mb)


def handler(event: dict[str, Any], context: LambdaContext) -> str:
    """Answers a shard request as JSON text (`contracts.shard`); never raises."""
    try:
        with _observer.invocation("shard_search", request_id=context.aws_request_id) as line:
            return _answer(event, line)
    except ShardlakeError as error:
        return orjson.dumps(error.to_body(), default=str).decode()
    except Exception:  # noqa: BLE001 - the outermost line: our bug becomes an answer; the observer has logged it
        return orjson.dumps(InternalError("something broke on our side", kind=ErrorKind.INTERNAL).to_body()).decode()


def _answer(event: dict[str, Any], line: Line) -> str:
    request = decode_request(event)
    reply = service().search(request)
    _describe(line, [ref.shard_id for ref in request.shards], reply)
    text = encode_reply(reply).decode()
    # The text is escaped once more on its way: what counts is what Lambda will see.
    size = len(text) if len(text) < limits.MIB else len(orjson.dumps(text))
    kept = bounded(reply, size, limits.MAX_ANSWER_BYTES)
    return text if kept is reply else encode_reply(kept).decode()


def _describe(line: Line, shard_ids: list[int], reply: LeafReply) -> None:
    answers = reply.answers
    if reply.held is not None:
        line.add(warmed_lists=reply.held.lists, warmed_bytes=reply.held.bytes_read, warmed_all=reply.held.complete)
    line.add(
        shard_id=shard_ids[0],
        shards=len(shard_ids),
        searches=len(answers),
        failed_searches=sum(answer.error is not None for answer in answers),
        object_reads=sum(answer.stats.object_reads for answer in answers),
        bytes_read=sum(answer.stats.bytes_read for answer in answers),
        cache_reads=sum(answer.stats.cache_reads for answer in answers),
        cache_bytes=sum(answer.stats.cache_bytes for answer in answers),
        codes_scanned=sum(answer.stats.codes_scanned for answer in answers),
    )
