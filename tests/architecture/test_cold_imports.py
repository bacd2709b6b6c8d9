"""What a cold start imports: the heavy libraries that a function must not know, and how long it takes at most."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.architecture.sources import ROOT

HEAVY = ["faiss", "torch", "transformers", "PIL", "onnxruntime", "pyarrow", "tokenizers", "rich", "typer", "moto"]
FORBIDDEN = {
    "functions.router.handler": HEAVY,
    "functions.shard_search.handler": [name for name in HEAVY if name != "faiss"],
    "functions.build.handler": [name for name in HEAVY if name != "faiss"],
    "functions.ingest.handler": [name for name in HEAVY if name != "PIL"],
    "functions.api.handler": [
        "faiss",
        "torch",
        "transformers",
        "onnxruntime",
        "pyarrow",
        "tokenizers",
        "rich",
        "typer",
    ],
}
BOUND_S = 3.0  # of CPU: generous, so that only a library too many breaks it
PROBE = """
import json, sys, time
began = time.process_time()
__import__(sys.argv[1])
took = time.process_time() - began
print(json.dumps({"took_s": took, "modules": sorted({name.split(".")[0] for name in sys.modules})}))
"""


@pytest.mark.parametrize("module", FORBIDDEN)
def test_a_cold_start_imports_nothing_heavy_and_is_quick(module: str) -> None:
    command = [sys.executable, "-c", PROBE, module]
    # Nothing of this process's environment: a handler must import without any setting.
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": "src:."}, capture_output=True, text=True, check=True, timeout=120
    )
    found = json.loads(done.stdout.splitlines()[-1])

    print(f"{module}: {found['took_s']:.2f} s of CPU")
    assert [name for name in FORBIDDEN[module] if name in found["modules"]] == []
    assert found["took_s"] < BOUND_S
