"""Models that lie in the bucket under models/{name}/, brought to the disk of this container when they are first needed.

A layer holds at most 250 MB unzipped, which ONNX Runtime and MiniLM together would nearly fill; /tmp holds 10 GB.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from shardlake.encoders.manifest import FILE_NAME, check_files, is_exported, read_manifest
from shardlake.errors import FormatError, NotFound
from shardlake.format.locations import model_root
from shardlake.limits import MIB
from shardlake.store.base import ObjectStore


def fetch_model(store: ObjectStore, name: str, cache: Path) -> Path | None:
    """Returns the folder of the model, or None when the bucket has none of this name.

    Args:
        cache: where folders are kept, one a model; each appears whole, by one rename.

    Raises:
        FormatError: when a file is damaged or missing.
        ShardlakeError: as the store does.

    Cost: one GET a file, once a container.
    """
    target = cache / name
    if is_exported(target):
        return target
    try:
        manifest = store.get(model_root(name) + FILE_NAME, max_bytes=MIB)
    except NotFound:
        return None
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as scratch:
        made = Path(scratch) / name
        made.mkdir()
        (made / FILE_NAME).write_bytes(manifest)
        _fill(store, name, made)
        _place(made, target)
    return target


def _place(made: Path, target: Path) -> None:
    try:
        made.rename(target)
    except OSError:  # another process was faster, and its folder is as good
        if not is_exported(target):
            raise


def _fill(store: ObjectStore, name: str, folder: Path) -> None:
    manifest = read_manifest(folder)
    for file in manifest.files:
        if Path(file).name != file:
            raise FormatError("an encoder's file must lie beside its shardlake.json", file=file)
        try:
            store.download_file(model_root(name) + file, folder / file)
        except NotFound as exc:
            raise FormatError("an encoder's file is missing", file=file) from exc
    check_files(folder, manifest)
