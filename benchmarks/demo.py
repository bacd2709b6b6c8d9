"""The demo, timed as a newcomer meets it: the first time from nothing, and the second time with everything there.

python -m benchmarks.demo
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine


def main() -> None:
    """Runs the demo twice in an empty folder, with the local cloud stopped in between."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "cloud"
        first_s = _timed("demo", data_dir)
        _timed("down", data_dir)
        second_s = _timed("demo", data_dir)
        _timed("down", data_dir)
    print(f"first time     {first_s:.1f} s\nsecond time    {second_s:.1f} s")
    machine.save("demo", "python -m benchmarks.demo", {"first_s": first_s, "second_s": second_s})


def _timed(command: str, data_dir: Path) -> float:
    began = time.perf_counter()
    words = [sys.executable, "-m", "shardlake.cli.main", command, "--data-dir", str(data_dir), "--json"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)  # our own command line
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
