"""The packages that AWS gets: built for real, weighed, and imported by an interpreter that has nothing else.

Downloads happen once; what is built lies in .cache/layers until a recipe or a pin changes.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from infra.deploy import package_code
from layers import build as layers
from tests.infra.template import FUNCTIONS, ROOT

CACHE = ROOT / ".cache" / "layers"
MACHINE = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")

IMPORT = """
import sys
sys.path[:0] = {folders!r}
import {module}
assert callable({module}.handler)
print(*sorted(name for name in sys.modules if "." not in name))
import importlib
for name in {lazy!r}:  # what the handler loads when it is first needed
    importlib.import_module(name)
"""
# Budgets of house.md: what must not be loaded by importing a handler.
UNWANTED = {
    "api": {"faiss", "torch", "PIL", "onnxruntime", "pyarrow"},
    "router": {"faiss", "torch", "PIL", "onnxruntime", "pyarrow"},
    "shard_search": {"torch", "PIL", "onnxruntime", "pyarrow"},
    "build": {"torch", "PIL", "onnxruntime", "pyarrow"},
    "encode": {"torch", "transformers", "faiss", "pyarrow"},
    "ingest": {"faiss", "torch", "onnxruntime"},
}
# What a handler imports when it first needs it.
LAZY = {
    "encode": ["onnxruntime", "tokenizers", "PIL.Image"],
    "ingest": ["pyarrow.parquet", "PIL.Image"],
    "build": ["faiss"],
}

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(platform.system() != "Linux", reason="the wheels of Lambda run on Linux only"),
]


@pytest.fixture(scope="session")
def python() -> tuple[str, str]:
    """An interpreter as AWS has it where there is one, else this one; and its version."""
    found = subprocess.run([ROOT / "tools" / "find_python.sh", "12"], capture_output=True, text=True, check=False)
    executable = found.stdout.strip() or sys.executable
    say = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.run([executable, "-c", say], capture_output=True, text=True, check=True)
    return executable, version.stdout.strip()


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package_code(tmp_path_factory.mktemp("package") / "code")


@pytest.mark.parametrize("function", layers.LAYERS_OF)
def test_code_and_layer_fit_into_lambda_and_suffice_to_import_the_handler(
    function: str, python: tuple[str, str], code: Path
) -> None:
    executable, version = python
    layer = layers.build(layers.LAYERS_OF[function], layers.Target(python=version, architecture=MACHINE), CACHE)
    assert layers.size_bytes(layer) + layers.size_bytes(code) <= layers.MAX_UNZIPPED_BYTES

    script = IMPORT.format(
        folders=[str(code), str(layer / "python")], module=f"functions.{function}.handler", lazy=LAZY.get(function, [])
    )
    # -I -S: no environment, no site-packages, so the layer has to have everything.
    done = subprocess.run([executable, "-I", "-S", "-B", "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert not UNWANTED[function] & set(done.stdout.split())


def test_every_pin_has_a_wheel_for_the_architecture_that_is_the_default() -> None:
    recipes = [part for name in layers.NAMES for part in layers.pip_arguments(name, layers.Target())]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "-qq", "--target", "unused", *recipes]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_the_template_gives_each_function_the_layer_it_is_tested_with() -> None:
    given = {
        function["Handler"].split(".")[1]: function["Layers"][0]["Ref"].removesuffix("Layer").lower()
        for function in FUNCTIONS.values()
    }

    assert given == layers.LAYERS_OF


def test_equal_folders_make_equal_zips(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.py").write_text("x = 1")
    layers.write_zip(tmp_path / "folder", tmp_path / "one.zip")
    (tmp_path / "folder" / "a.py").touch()
    layers.write_zip(tmp_path / "folder", tmp_path / "two.zip")

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_the_package_has_no_part_that_only_a_laptop_runs(code: Path) -> None:
    assert {path.name for path in code.iterdir()} == {"functions", "builder", "shardlake"}
    assert not {"local", "cli", "client", "testing"} & {path.name for path in (code / "shardlake").iterdir()}
    assert not list(code.rglob("*.safetensors"))
