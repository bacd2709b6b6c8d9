"""Children that measure themselves: a benchmark's own module run in a fresh process, its figures one line of JSON."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson


def run(module: str, *words: str) -> dict[str, Any]:
    """Runs `python -m module words…` and returns the JSON object in its last line."""
    done = subprocess.run([sys.executable, "-m", module, *words], check=True, stdout=subprocess.PIPE)
    said: dict[str, Any] = orjson.loads(done.stdout.splitlines()[-1])
    return said


def say(figures: dict[str, Any]) -> None:
    """Prints figures for the parent."""
    print(orjson.dumps(figures).decode(), flush=True)


def memory_mb(*names: str) -> dict[str, float]:
    """Returns what the kernel says of this process's memory: VmRSS is what is resident, VmHWM its peak since exec."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(lines[name].split()[0]) / 1024 for name in names}
