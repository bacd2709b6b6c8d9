"""What a figure is told with: the date, the machine and the versions it was measured on."""

from __future__ import annotations

import gzip
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

PEERS = ("lancedb", "qdrant-client", "bm25s")
RESULTS = Path(os.environ.get("BENCH_RESULTS") or Path(__file__).parent / "results")
"""Where results lie; BENCH_RESULTS names another place for trials."""


def describe() -> dict[str, Any]:
    """Returns date, processor, cores and the versions of what does the work."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("faiss-cpu", "numpy", "ministack")},
        **{name: found for name in PEERS if (found := _version(name))},
    }


def save(name: str, command: str, raw: dict[str, Any], *, packed: bool = False) -> Path:
    """Writes raw results, from which every printed figure can be computed again.

    Args:
        name: of the result.
        command: by which it is made again.
        raw: what was measured.
        packed: gzipped, for results with the rows that each query found.
    """
    RESULTS.mkdir(exist_ok=True)
    body = orjson.dumps({"command": command, "machine": describe(), **raw}, option=0 if packed else orjson.OPT_INDENT_2)
    path = RESULTS / (f"{name}.json.gz" if packed else f"{name}.json")
    path.write_bytes(gzip.compress(body, mtime=0) if packed else body)
    return path


def load(name: str) -> dict[str, Any] | None:
    """Returns a saved result, or None where it was never measured."""
    for path in (RESULTS / f"{name}.json", RESULTS / f"{name}.json.gz"):
        if path.exists():
            data = path.read_bytes()
            result: dict[str, Any] = orjson.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
            return result
    return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
