"""The warm-up of shards that answered cold: one asynchronous call each, for which no answer waits."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial

from shardlake import limits
from shardlake.catalog.base import ShardRow
from shardlake.contracts.shard import LeafRequest, ShardRef, WarmUp
from shardlake.contracts.shard_wire import encode_request
from shardlake.errors import ShardlakeError
from shardlake.limits import MIB
from shardlake.rpc.base import Invoker

PARALLEL = 16
START_TIMEOUT_S = 0.2  # what an answer may wait for calls to be taken; those that are not go on by themselves


class Warming:
    """Starts warm-ups.

    A function is frozen as soon as it has answered, so that it cannot read on by itself: this call is its idle time.
    Lambda gives it to a container that is free, which is most often the one that has just answered.

    Args:
        invoker: that starts functions. function: shard_search.
        megabytes: that one warm-up may read; 0 starts none.
    """

    def __init__(self, invoker: Invoker, function: str, *, megabytes: int) -> None:
        self._invoker = invoker
        self._function = function
        self._budget_bytes = megabytes * MIB
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="warming")

    def start(self, shards: Sequence[ShardRow]) -> int:
        """Starts the warm-up of each shard; returns how many were started in time. Never raises."""
        if not self._budget_bytes or not shards:
            return 0
        calls = [self._pool.submit(partial(self._start, row)) for row in shards]
        done, _ = wait(calls, timeout=START_TIMEOUT_S)
        return sum(call.result() for call in done)

    def _start(self, row: ShardRow) -> bool:
        try:
            self._invoker.start(self._function, encode_request(self._request(row)))
        except ShardlakeError:
            return False  # the answer is there; the next cold one tries again
        return True

    def _request(self, row: ShardRow) -> LeafRequest:
        ref = ShardRef(shard_id=row.shard_id, key=row.key, bytes=row.bytes, tail_offset=row.footer_offset)
        warm = WarmUp(budget_ms=limits.WARM_UP_MS, budget_bytes=self._budget_bytes)
        return LeafRequest(shards=(ref,), searches=(), timeout_ms=limits.WARM_UP_MS, warm=warm)
