"""What a figure is told with: the date, the machine and the versions it was measured on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

RESULTS = Path(__file__).parent / "results"


def describe() -> dict[str, Any]:
    """Returns date, processor, cores and the versions of what does the work."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("faiss-cpu", "numpy", "ministack")},
    }


def save(name: str, command: str, raw: dict[str, Any]) -> Path:
    """Writes raw results, from which every printed figure can be computed again."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_bytes(orjson.dumps({"command": command, "machine": describe(), **raw}, option=orjson.OPT_INDENT_2))
    return path


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
