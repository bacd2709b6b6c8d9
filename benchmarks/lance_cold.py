"""One cold search of LanceDB on an S3 endpoint, in a process of its own: prints its milliseconds and rows as JSON."""

from __future__ import annotations

import argparse
import time

import orjson

from benchmarks.corpus import corpus
from benchmarks.systems import lance


def main() -> None:
    """Connects, opens, searches once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--query", type=int, required=True)
    parser.add_argument("--mask", default=None)
    args = parser.parse_args()
    query = corpus(args.rows).queries[args.query]
    began = time.perf_counter()
    system = lance.Lance(lance.connect(f"s3://{args.bucket}", lance.s3_options(args.url)))
    ids = system.ids(system.ready(query, args.mask)())
    print(orjson.dumps({"ms": (time.perf_counter() - began) * 1e3, "ids": ids}).decode())


if __name__ == "__main__":
    main()
