"""Writes the emulator's state while it runs: it does so only when it stops, and a crash would take every table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, MutableMapping
from typing import Any

PERIOD_S = 1.0
MAX_SHARE = 0.02  # of the server's time; a snapshot that takes long comes more seldom

# Logs and metrics are not worth the time, S3 objects are on disk already.
SERVICES = frozenset({"apigateway", "cloudformation", "dynamodb", "iam", "lambda", "s3", "sqs", "stepfunctions"})

_READS = (b".GetItem", b".BatchGetItem", b".Query", b".Scan", b".ReceiveMessage", b".GetQueueAttributes")


class Snapshots:
    """Saves once a period, and only when a request may have changed something since the last time."""

    def __init__(self, save: Callable[[], None], *, period_s: float = PERIOD_S) -> None:
        self._save = save
        self._period_s = period_s
        self._is_dirty = False

    def note(self, scope: MutableMapping[str, Any]) -> None:
        """Looks at a request on its way in."""
        if scope["type"] == "http" and _may_change(scope):
            self._is_dirty = True

    async def run(self) -> None:
        """Saves until it is cancelled. It does so on the event loop, where nothing else touches the state meanwhile."""
        pause_s = self._period_s
        while True:
            await asyncio.sleep(pause_s)
            if self._is_dirty:
                self._is_dirty = False
                started = time.perf_counter()
                self._save()
                pause_s = max(self._period_s, (time.perf_counter() - started) / MAX_SHARE)


def _may_change(scope: MutableMapping[str, Any]) -> bool:
    if scope["method"] in {"GET", "HEAD", "OPTIONS"} or scope["path"].endswith("/invocations"):
        return False
    target: bytes = dict(scope["headers"]).get(b"x-amz-target", b"")
    return not target.endswith(_READS)
