"""Vectors of your own, without an encoder: create, upsert, build, and search many at a time, all awaited.

python examples/own_vectors.py http://127.0.0.1:4566
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from shardlake import AsyncClient, ShardlakeError

SCHEMA = Path(__file__).parent / "schemas" / "vectors.json"
NAME = "vectors"
ROWS = 900
DIMENSION = 32


def items(vectors: np.ndarray[Any, np.dtype[np.float32]]) -> list[dict[str, Any]]:
    """Returns one item a vector."""
    return [
        {"id": f"row-{i:04d}", "attributes": {"group": "ab"[i % 2], "price": i / 10}, "vectors": {"own": vector}}
        for i, vector in enumerate(vectors)
    ]


async def main(url: str) -> None:
    """Goes the whole way with a few hundred vectors."""
    vectors = np.random.default_rng(5).standard_normal((ROWS, DIMENSION), dtype=np.float32)
    async with AsyncClient(url) as client:
        await client.collections.create(NAME, json.loads(SCHEMA.read_text()))
        collection = client.collection(NAME)
        await collection.upsert(items(vectors))
        while (await collection.describe()).pending_items < ROWS:  # posted items are taken in a moment later
            await asyncio.sleep(0.2)
        build = await collection.start_build()
        done = await collection.wait_for_build(build.build_id)
        sys.stdout.write(f"{done.state}: version {done.version}\n")
        answers = await collection.search_batch(
            [{"vector": {"own": vector}, "filter": {"group": "a"}, "k": 3} for vector in vectors[:4]]
        )
        for answer in answers:
            if isinstance(answer, ShardlakeError):
                raise answer
            sys.stdout.write(", ".join(f"{hit.id} {hit.score:.3f}" for hit in answer) + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
