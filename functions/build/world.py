"""What the build function works with, composed by whoever starts a process of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from builder.erasures import time_of
from functions.build.service import Builds
from functions.build.steps import Steps
from functions.build.texts import TextEncoder
from shardlake.catalog.dynamodb import DynamoCatalog
from shardlake.rpc.lambda_ import LambdaInvoker
from shardlake.rpc.step_functions import StepFunctionsMachine
from shardlake.settings import Settings
from shardlake.store.s3 import S3Store


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Builds in one run, and builds in steps."""

    builds: Builds
    steps: Steps


def composed(settings: Settings) -> World:
    """Returns the adapters on AWS, put together."""
    builds = Builds(
        store=S3Store(settings.bucket),
        catalog=DynamoCatalog(settings.catalog_table, settings.shard_table),
        part_rows=settings.build_part_rows,
        threads=settings.build_threads,
        clock=lambda: time_of(datetime.now(UTC)),
        encode_texts=TextEncoder(invoker=LambdaInvoker(max_parallel=1), function=settings.encode_function),
    )
    machine = StepFunctionsMachine(settings.build_machine) if settings.build_machine else None
    return World(builds=builds, steps=Steps(builds=builds, machine=machine, distributed_rows=settings.distributed_rows))


@contextmanager
def scratch() -> Iterator[Path]:
    """Gives an empty folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="shardlake-build-") as folder:
        yield Path(folder)
