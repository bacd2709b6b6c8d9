"""Builds the Lambda layers: `python -m layers.build` writes build/layers/{name}.zip.

A recipe `layers/{name}.txt` names the direct packages; `constraints.txt` pins them and all they need, so equal files
give equal layers. Wheels are fetched for the target, not for this machine: Amazon Linux 2023, which python3.12 runs on,
has glibc 2.34 and so takes manylinux_2_28. What no handler imports is removed: see `LEFT_OUT` and `PRUNED`.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("router", "search", "encode", "ingest")
LAYERS_OF = {
    "api": "router",
    "router": "router",
    "shard_search": "search",
    "build": "search",
    "encode": "encode",
    "ingest": "ingest",
}
# AWS: function zip and layers together, unzipped (Lambda quotas, 2026-11; read as decimal, to stay on the safe side).
MAX_UNZIPPED_BYTES = 250 * 10**6

# Distributions that a package of ours asks for but that no code path of ours imports.
LEFT_OUT = {
    "encode": (
        "annotated_doc", "anyio", "certifi", "click", "filelock", "fsspec", "h11", "hf_xet", "httpcore", "httpx",
        "huggingface_hub", "idna", "markdown_it", "mdurl", "mpmath", "pygments", "rich", "shellingham", "sympy",
        "tqdm", "typer", "yaml",
    ),
}  # fmt: skip
# Files that only a compiler, a test run or another AWS service needs.
PRUNED = (
    "**/__pycache__", "**/tests", "**/*.pyi", "**/*.pyx", "**/*.pxd", "**/*.h", "**/*.hpp", "bin",
    "pyarrow/include", "pyarrow/src", "pyarrow/libarrow_flight*", "pyarrow/libarrow_python_flight*", "pyarrow/_flight*",
)  # fmt: skip
BOTOCORE_SERVICES = frozenset({"s3", "dynamodb", "lambda", "sqs", "sts"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a layer is built for. `python` is as in "3.12", `architecture` as in the template's parameter."""

    python: str = "3.12"
    architecture: str = "arm64"

    @property
    def platforms(self) -> tuple[str, ...]:
        """Wheel platforms that run there, best first."""
        machine = {"arm64": "aarch64", "x86_64": "x86_64"}[self.architecture]
        return tuple(f"manylinux{tag}_{machine}" for tag in ("_2_28", "_2_27", "_2_24", "_2_17", "2014"))


def build(name: str, target: Target, cache: Path) -> Path:
    """Returns a folder with `python/…` of a layer, built at most once for equal inputs."""
    folder = cache / f"{name}-{target.architecture}-{target.python}-{_digest(name)}"
    if folder.is_dir():
        return folder
    draft = folder.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    packages = draft / "python"
    _install(name, target, packages)
    _prune(name, packages)
    draft.rename(folder)
    return folder


def pip_arguments(name: str, target: Target) -> list[str]:
    """Returns what pip must be told to resolve a recipe for a target."""
    platforms = [part for platform in target.platforms for part in ("--platform", platform)]
    return [
        "--only-binary=:all:", "--implementation", "cp", "--python-version", target.python, *platforms,
        "--constraint", str(ROOT / "constraints.txt"), "--requirement", str(ROOT / "layers" / f"{name}.txt"),
    ]  # fmt: skip


def size_bytes(folder: Path) -> int:
    """Returns the size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_zip(folder: Path, destination: Path) -> None:
    """Zips a folder; equal folders give equal zips."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(destination, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(str(path.relative_to(folder)), (1980, 1, 1, 0, 0, 0))
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


def _install(name: str, target: Target, packages: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "-qq", "--no-compile", "--target", str(packages)]
    subprocess.run([*command, *pip_arguments(name, target)], check=True)  # noqa: S603  # our own interpreter


def _prune(name: str, packages: Path) -> None:
    left_out = LEFT_OUT.get(name, ())
    unwanted = [packages / package for package in left_out]
    unwanted += [path for package in left_out for path in packages.glob(f"{package}-*.dist-info")]
    unwanted += [path for package in left_out for path in packages.glob(f"{package.replace('_', '-')}*.dist-info")]
    unwanted += [path for pattern in PRUNED for path in packages.glob(pattern)]
    services = packages / "botocore" / "data"
    unwanted += [path for path in services.iterdir() if path.is_dir() and path.name not in BOTOCORE_SERVICES]
    for path in unwanted:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _digest(name: str) -> str:
    total = hashlib.sha256()
    for path in (ROOT / "layers" / f"{name}.txt", ROOT / "constraints.txt", Path(__file__)):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def main() -> None:
    """Builds the layers that were asked for, prints their sizes, and fails above the bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--architecture", choices=("arm64", "x86_64"), default="arm64")
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "layers")
    options = parser.parse_args()
    for name in options.names:
        target = Target(python=options.python, architecture=options.architecture)
        folder = build(name, target, ROOT / ".cache" / "layers")
        write_zip(folder, options.out / f"{name}.zip")
        size = size_bytes(folder)
        print(
            f"{name}: {size / 1e6:.0f} MB unzipped, {(options.out / f'{name}.zip').stat().st_size / 1e6:.0f} MB zipped"
        )
        if size > MAX_UNZIPPED_BYTES:
            sys.exit(f"{name} is above Lambda's {MAX_UNZIPPED_BYTES} bytes")


if __name__ == "__main__":
    main()
