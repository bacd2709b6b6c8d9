"""How many items a second one ingest process takes in: python -m benchmarks.ingest [ITEMS].

Memory adapters: validation, decoding and segment writing are measured, the network is not.
"""

from __future__ import annotations

import io
import resource
import sys
import time

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from tests.small_world import SmallWorld

DIMENSION = 256
SCHEMA = {
    "spaces": {"v": {"dimension": DIMENSION}},
    "attributes": {
        "title": {"type": "text"},
        "price": {"type": "float"},
        "tags": {"type": "keyword", "multi": True},
        "year": {"type": "int"},
    },
}


def main(number: int) -> None:
    """Measures lines, then parquet."""
    vectors = np.random.default_rng(0).standard_normal((number, DIMENSION)).astype(np.float32)
    world = SmallWorld(remaining_ms=900_000)
    world.create("bench", SCHEMA)
    for name, body in (("a.jsonl", _lines(vectors)), ("a.parquet", _parquet(vectors))):
        event = world.drop(f"inbox/bench/{name}", body)
        began = time.perf_counter()
        if world.deliver(event):
            raise SystemExit(world.lines()[-1])
        took_s = time.perf_counter() - began
        print(f"{name}: {number / took_s:,.0f} items/s ({len(body) / 2**20:.0f} MiB in {took_s:.2f} s)")
    print(f"largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB, files included")


def attributes(row: int) -> dict[str, object]:
    """Returns the attributes of one item."""
    return {"title": f"item {row}", "price": row / 7, "tags": ["a", f"t{row % 50}"], "year": 1960 + row % 60}


def _lines(vectors: npt.NDArray[np.float32]) -> bytes:
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    rows = ({"id": f"i{n}", "attributes": attributes(n), "vectors": {"v": v}} for n, v in enumerate(vectors))
    return b"".join(orjson.dumps(row, option=options) for row in rows)


def _parquet(vectors: npt.NDArray[np.float32]) -> bytes:
    kind = pa.struct([("v", pa.list_(pa.float32()))])
    columns = {
        "id": [f"i{n}" for n in range(len(vectors))],
        "attributes": [attributes(n) for n in range(len(vectors))],
        "vectors": pa.array([{"v": v} for v in vectors], kind),
    }
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30_000)
