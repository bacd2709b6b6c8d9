"""Resident memory of a process that serves one shard with everything cached, over that of its imports.

    python -m benchmarks.memory --rows 1000000

The process has read every list, every attribute that a filter named, and the items of some hundred answers. It reads
from a folder with `pread`, so that neither the store nor mapped files count.
"""

from __future__ import annotations

import argparse
import tempfile
from base64 import b64decode, b64encode
from pathlib import Path

import orjson

from benchmarks import machine, prepared, process
from benchmarks.corpus import Corpus, corpus
from benchmarks.folder_store import FolderStore
from benchmarks.systems import base

GOAL_MB = 450


def main() -> None:
    """Measures in a fresh process, and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--child", type=Path, default=None)
    args = parser.parse_args()
    base.single_threaded()
    if args.child is not None:
        process.say(serve(args.child))
        return
    made = corpus(args.rows)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work.json"
        work.write_bytes(_work(made, args.queries))
        figures = process.run("benchmarks.memory", "--child", str(work))
    for name, value in figures.items():
        print(f"{name:28} {value:,.1f}")
    command = f"python -m benchmarks.memory --rows {args.rows}"
    machine.save(f"memory-{args.rows}", command, {"rows": args.rows, "goal_mb": GOAL_MB, **figures})


def _work(made: Corpus, queries: int) -> bytes:
    """Returns the store's folder and the wire form of every request: what the child needs, and no more."""
    from benchmarks.systems.ours import Service, body
    from shardlake.contracts.shard_wire import encode_request

    built = prepared.built(made)
    service = Service(built)
    bodies = [body(query, None) for query in made.queries[:queries]]
    bodies += [body(query, mask) for mask in made.masks for query in made.queries[:3]]
    # A probe of more lists than there are reads all.
    bodies.append(body(made.queries[0], None, nprobe=1 << 18))
    requests = [encode_request(service.leaf_request(orjson.dumps(asked))) for asked in bodies]
    root = str(built.store.root.absolute())  # type: ignore[attr-defined]  # prepared collections lie in folders
    return orjson.dumps({"root": root, "requests": [b64encode(request).decode() for request in requests]})


def serve(path: Path) -> dict[str, float]:
    """Answers the requests, and returns resident memory in MB before and after."""
    import time

    from functions.shard_search.handler import ShardCache, ShardSearch  # all that the function imports
    from shardlake.contracts.shard_wire import decode_request, encode_reply

    work = orjson.loads(path.read_bytes())
    requests = [b64decode(request) for request in work["requests"]]
    imported = process.memory_mb("VmRSS")["VmRSS"]
    service = ShardSearch(ShardCache(FolderStore(Path(work["root"])), max_bytes=1 << 40), clock=time.monotonic)
    for request in requests:
        reply = service.search(decode_request(orjson.loads(request)))
        errors = [answer.error for answer in reply.answers if answer.error is not None]
        if errors:
            raise errors[0]
        encode_reply(reply)
    served = process.memory_mb("VmRSS", "VmHWM")
    return {
        "imports_mb": imported,
        "served_mb": served["VmRSS"],
        "over_imports_mb": served["VmRSS"] - imported,
        "peak_over_imports_mb": served["VmHWM"] - imported,
    }


if __name__ == "__main__":
    main()
