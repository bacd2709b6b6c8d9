"""One cold search of LanceDB on an S3 endpoint, in a process of its own: prints what it
read, its milliseconds and rows as JSON."""

from __future__ import annotations

import argparse
import time

import orjson

from benchmarks.corpus import corpus
from benchmarks.proxy import Proxy
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
    opened = time.perf_counter()
    opening = Proxy(args.url).take().as_dict()
    asked = time.perf_counter()
    ids = system.ids(system.ready(query, args.mask)())
    ms = (opened - began + time.perf_counter() - asked) * 1e3
    search = Proxy(args.url).take().as_dict()
    total = {name: opening[name] + search[name] for name in search}
    print(orjson.dumps({**total, "parts": {"open": opening, "search": search}, "ms": ms, "ids": ids}).decode())


if __name__ == "__main__":
    main()
