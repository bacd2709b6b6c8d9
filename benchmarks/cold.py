"""Cold queries: rounds, requests and bytes of a search by a process that knows nothing, ours and LanceDB's.

    python -m benchmarks.cold --rows 1000000

Ours are counted twice: by a store that counts, and by an HTTP proxy in front of a local S3 endpoint; LanceDB's by the
same proxy. The proxy holds each request back for a fixed latency, so that what is asked together arrives together.
The pointer read (DynamoDB) is not counted; manifest, routing file and shard are.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks import machine, metrics, prepared
from benchmarks.corpus import Corpus, corpus
from benchmarks.memory_build import Built
from benchmarks.proxy import Proxy, counting_proxy
from benchmarks.systems import base
from benchmarks.systems.ours import Service, body
from benchmarks.truth import truth
from shardlake.store.base import ObjectStore
from shardlake.testing import CountingStore, SlowStore

BUCKET = "bench"
MASKS = (None, "independent_1", "correlated_1", "independent_0_01")
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
LATENCY_MS = 30.0
READ_S = 0.003  # of the counting store


def main() -> None:
    """Measures and prints a line for each system and filter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--lance-queries", type=int, default=5, help="each is a process of its own")
    args = parser.parse_args()
    base.single_threaded()
    os.environ.update(KEYS)
    made = corpus(args.rows)
    built = prepared.built(made)
    results: dict[str, Any] = {"by a counting store": _by_store(made, built, args.queries)}
    with tempfile.TemporaryDirectory() as folder, _endpoint(Path(folder)) as endpoint:
        _upload(built.store.root, endpoint, "")  # type: ignore[attr-defined]  # prepared collections lie in folders
        with counting_proxy(endpoint, latency_ms=LATENCY_MS) as proxy:
            results["by the proxy"] = _by_proxy(made, built, args.queries, proxy)
            if find_spec("lancedb"):
                results["LanceDB, by the proxy"] = _lance(made, args.lance_queries, endpoint, proxy)
    command = f"python -m benchmarks.cold --rows {args.rows} --queries {args.queries}"
    raw = {"rows": args.rows, "latency_ms": LATENCY_MS, "results": results}
    print(f"raw results: {machine.save(f'cold-{args.rows}', command, raw).name}")


def _by_store(made: Corpus, built: Built, queries: int) -> dict[str, Any]:
    """Router and leaf are counted apart; each query meets a process that knows nothing."""
    return {
        mask or "all": _said(
            "counting store", mask, [_counted(made, built, number, mask) for number in range(queries)], made
        )
        for mask in MASKS
    }


def _counted(made: Corpus, built: Built, number: int, mask: str | None) -> dict[str, Any]:
    # It takes its time, so that reads in parallel overlap and are seen to.
    router, leaf = (CountingStore(SlowStore(built.store, wait=lambda: time.sleep(READ_S))) for _ in range(2))
    service = Service(built, router_store=router, leaf_store=leaf)
    (answer,) = service.search(orjson.dumps(body(made.queries[number], mask)))
    parts = {
        name: {"rounds": store.rounds, "requests": store.object_reads, "bytes": store.bytes_read}
        for name, store in (("router", router), ("leaf", leaf))
    }
    total = {name: sum(part[name] for part in parts.values()) for name in ("rounds", "requests", "bytes")}
    return {**total, "parts": parts, "ids": [int(hit["id"]) for hit in answer["hits"]]}


def _by_proxy(made: Corpus, built: Built, queries: int, proxy: Proxy) -> dict[str, Any]:
    from shardlake.store.s3 import S3Store, connect

    def cold(number: int, mask: str | None) -> dict[str, Any]:
        store: ObjectStore = S3Store(BUCKET, client=connect(endpoint_url=proxy.url))
        service = Service(built, router_store=store, leaf_store=store)
        raw = orjson.dumps(body(made.queries[number], mask))
        proxy.take()
        began = time.perf_counter()
        (answer,) = service.search(raw)
        took_ms = (time.perf_counter() - began) * 1e3
        return {**proxy.take().as_dict(), "ms": took_ms, "ids": [int(hit["id"]) for hit in answer["hits"]]}

    return {
        mask or "all": _said("proxy", mask, [cold(number, mask) for number in range(queries)], made) for mask in MASKS
    }


def _lance(made: Corpus, queries: int, endpoint: str, proxy: Proxy) -> dict[str, Any]:
    from benchmarks.systems import lance

    lance.prepare(made)
    _upload(lance.folder_of(made), endpoint, "lance/")

    def cold(number: int, mask: str | None) -> dict[str, Any]:
        words = [sys.executable, "-m", "benchmarks.lance_cold", "--url", proxy.url, "--bucket", f"{BUCKET}/lance"]
        words += ["--rows", str(made.rows), "--query", str(number), *(["--mask", mask] if mask else [])]
        proxy.take()
        said = subprocess.run(words, check=True, capture_output=True).stdout.splitlines()[-1]
        done: dict[str, Any] = orjson.loads(said)
        proxy.take()
        return done

    return {
        mask or "all": _said("LanceDB", mask, [cold(number, mask) for number in range(queries)], made) for mask in MASKS
    }


def _said(name: str, mask: str | None, queries: list[dict[str, Any]], made: Corpus) -> list[dict[str, Any]]:
    wanted = truth(made, mask)[: len(queries)]
    found = metrics.recall([query["ids"] for query in queries], wanted)
    middle = {part: np.median([query[part] for query in queries]) for part in ("rounds", "requests", "bytes")}
    took = f"  {np.median([query['ms'] for query in queries]):7.1f} ms" if "ms" in queries[0] else ""
    print(
        f"{name:16} {mask or 'all':16} recall {found:.3f}  rounds {middle['rounds']:.0f}  "
        f"requests {middle['requests']:.0f}  {middle['bytes'] / 1e6:.2f} MB{took}",
        flush=True,
    )
    if "parts" in queries[0]:
        for part in queries[0]["parts"]:
            each = {n: np.median([q["parts"][part][n] for q in queries]) for n in ("rounds", "requests", "bytes")}
            told = f"rounds {each['rounds']:.0f}  requests {each['requests']:.0f}  {each['bytes'] / 1e6:.2f} MB"
            print(f"{'':20}{part}: {told}")
    return queries


@contextmanager
def _endpoint(folder: Path) -> Iterator[str]:
    from tests.contract.servers import ministack

    with ministack(folder) as endpoint:
        _client(endpoint).create_bucket(Bucket=BUCKET)
        yield endpoint


def _upload(folder: Path, endpoint: str, prefix: str) -> None:
    """Puts the files of a folder there, segments excepted: no search reads them."""
    client = _client(endpoint)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and "/segments/" not in name:
            client.upload_file(str(path), BUCKET, prefix + name)


def _client(endpoint: str) -> Any:  # noqa: ANN401  # boto3 types clients by the name of the service
    import boto3

    return boto3.client("s3", endpoint_url=endpoint)


if __name__ == "__main__":
    main()
