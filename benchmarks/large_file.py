"""How many items a second workers take in of one large file: python -m benchmarks.large_file [MIB] [WORKERS].

The file and the segments lie in a folder; catalog and queue are those of an emulator, and each worker is a process.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import orjson

from benchmarks.folder_store import FolderStore
from benchmarks.ingest import DIMENSION, SCHEMA, attributes
from functions.ingest.service import take_batch
from functions.ingest.world import World
from shardlake.catalog.base import CollectionRow
from shardlake.catalog.dynamodb import DynamoCatalog
from shardlake.contracts.collection import body_of_schema, parse_collection, schema_of
from shardlake.deadline import Deadline
from shardlake.observability import Observer
from shardlake.rpc.work_queue import SqsWorkQueue
from shardlake.settings import Settings
from shardlake.testing import InProcessInvoker
from tests.contract.conftest import new_tables
from tests.contract.servers import ministack

KEY = "inbox/bench/large.jsonl"
VECTORS = 500  # that differ: making each one anew would take longer than taking it in
RUN_MS = 890_000.0
AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


def main(mib: int, workers: int) -> None:
    """Measures one file."""
    os.environ |= AWS
    with tempfile.TemporaryDirectory() as folder, ministack(Path(folder)) as endpoint:
        tables = new_tables(endpoint)
        queue = boto3.client("sqs", endpoint_url=endpoint).create_queue(QueueName="inbox")["QueueUrl"]
        catalog = DynamoCatalog(*tables, client=_client("dynamodb", endpoint))
        catalog.create_collection(CollectionRow(name="bench", uid="u1", body=_body(), created_at=""))
        root = Path(folder) / "lake"
        number = _write(root / KEY, mib * 2**20)
        _client("sqs", endpoint).send_message(QueueUrl=queue, MessageBody=_event())
        began, is_over = time.perf_counter(), multiprocessing.Event()
        told = (endpoint, tables, queue, root, is_over)
        processes = [multiprocessing.Process(target=_work, args=told) for _ in range(workers)]
        for process in processes:
            process.start()
        while not (receipt := catalog.receipts("u1", [KEY]).get(KEY)):
            time.sleep(0.2)
        took_s = time.perf_counter() - began
        is_over.set()
        for process in processes:
            process.join()
    print(
        f"{mib:,} MiB, {number:,} items, workers: {workers}: {number / took_s:,.0f} items/s, {took_s:.0f} s; {receipt}"
    )


def _write(path: Path, size_bytes: int) -> int:
    """Writes lines until there are so many bytes; returns how many lines."""
    vectors = np.random.default_rng(0).standard_normal((VECTORS, DIMENSION)).astype(np.float32)
    texts = [orjson.dumps({"v": vector}, option=orjson.OPT_SERIALIZE_NUMPY) for vector in vectors]
    path.parent.mkdir(parents=True)
    number = written = 0
    with path.open("wb") as file:
        while written < size_bytes:
            head = orjson.dumps({"id": f"i{number}", "attributes": attributes(number)})
            written += file.write(head[:-1] + b',"vectors":' + texts[number % VECTORS] + b"}\n")
            number += 1
    return number


def _work(endpoint: str, tables: tuple[str, str], queue: str, root: Path, is_over: Event) -> None:
    """Takes in what the queue has, as the function would, until all is done."""
    sqs, observer = _client("sqs", endpoint), Observer("bench", stream=io.StringIO())
    world = World(
        settings=Settings(bucket="lake", build_function="build"),
        catalog=DynamoCatalog(*tables, client=_client("dynamodb", endpoint)),
        store=FolderStore(root),
        invoker=InProcessInvoker({"build": _idle()}),
        queue=SqsWorkQueue(queue, client=sqs),
        now=lambda: datetime.now(UTC),
    )
    while not is_over.is_set():
        for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1, VisibilityTimeout=900).get(
            "Messages", []
        ):
            _take(world, message, observer)
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"a worker: {used.ru_utime + used.ru_stime:,.0f} s of a core, {used.ru_maxrss / 1024:,.0f} MiB at its largest"
    )


def _take(world: World, message: dict[str, Any], observer: Observer) -> None:
    record = {
        "messageId": message["MessageId"],
        "body": message["Body"],
        "attributes": {"ApproximateReceiveCount": "1"},
        "eventSource": "aws:sqs",
    }
    deadline = Deadline.after(RUN_MS, clock=time.monotonic)
    reply = take_batch({"Records": [record]}, lambda: world, observer=observer, request_id="r", deadline=deadline)
    if reply["batchItemFailures"]:
        raise SystemExit(f"not taken in: {message['Body']}")


def _body() -> str:
    return body_of_schema(schema_of(parse_collection(orjson.dumps(SCHEMA)), {}))


def _event() -> str:
    entry = {"object": {"key": KEY, "sequencer": "01"}}
    record = {"eventName": "ObjectCreated:Put", "eventTime": "2026-11-25T10:00:00.000Z", "s3": entry}
    return orjson.dumps({"Records": [record]}).decode()


def _idle() -> Callable[[bytes], bytes]:
    return lambda _: b"{}"


def _client(service: str, endpoint: str) -> Any:  # noqa: ANN401 - boto3's clients are typed by the service's name only
    return boto3.client(service, endpoint_url=endpoint)  # type: ignore[call-overload]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
