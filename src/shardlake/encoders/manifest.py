"""What a folder of exported encoder files says of itself: `shardlake.json`, written by `export`, read by `onnx`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson

from shardlake.errors import ErrorKind, FormatError
from shardlake.types import Modality

FILE_NAME: Final = "shardlake.json"
FORMAT: Final = 1
HASH_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """How a text becomes a vector: tokens by `tokenizer`, then `model` (inputs: those of input_ids, attention_mask and
    token_type_ids that it has; output: unit vectors)."""

    model: str
    tokenizer: str
    max_tokens: int
    pad_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePart:
    """How a picture becomes a vector: shortest edge to `shortest_edge` (or, when None, both edges to the crop), the
    middle of `crop_height` × `crop_width`, bytes × `scale`, minus `mean`, over `deviation`, then `model`."""

    model: str
    shortest_edge: int | None
    crop_height: int
    crop_width: int
    resample: int  # Pillow's number of the filter
    scale: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One exported encoder.

    Attributes:
        source: where the weights come from, for people.
        digest: of the checkpoint's weights, tokenizer and pre-processing: the same for every backend.
        files: file name → SHA-256 of each file that the encoder reads.
    """

    source: str
    dimension: int
    digest: str
    files: Mapping[str, str]
    text: TextPart | None
    image: ImagePart | None

    def modalities(self) -> frozenset[Modality]:
        """Returns what the encoder reads."""
        parts = {Modality.TEXT: self.text, Modality.IMAGE: self.image}
        return frozenset(modality for modality, part in parts.items() if part is not None)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest into its folder."""
    body = {"format": FORMAT, **asdict(manifest), "files": dict(sorted(manifest.files.items()))}
    (folder / FILE_NAME).write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read_manifest(folder: Path) -> Manifest:
    """Returns the manifest of a folder.

    Raises:
        FormatError: malformed-file, unsupported-version.
    """
    try:
        raw = orjson.loads((folder / FILE_NAME).read_bytes())
        if raw.pop("format") != FORMAT:
            raise FormatError("this release reads another format of encoders", kind=ErrorKind.UNSUPPORTED_VERSION)
        text, image = _part(TextPart, raw.pop("text")), _part(ImagePart, raw.pop("image"))
        return Manifest(**raw, text=text, image=image)
    except (OSError, orjson.JSONDecodeError, TypeError, KeyError, AttributeError) as exc:
        raise FormatError("an encoder's shardlake.json cannot be read", folder=folder.name) from exc


def is_exported(folder: Path) -> bool:
    """Returns whether the folder holds an exported encoder."""
    return (folder / FILE_NAME).is_file()


def check_files(folder: Path, manifest: Manifest) -> None:
    """Checks every file against its SHA-256.

    Raises:
        FormatError: checksum-mismatch, or malformed-file when one is missing.
    """
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise FormatError("an encoder's file is missing", file=name)
        if sha256(path) != expected:
            raise FormatError("an encoder's file is damaged", kind=ErrorKind.CHECKSUM_MISMATCH, file=name)


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(HASH_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


PartT = TypeVar("PartT", TextPart, ImagePart)


def _part(cls: type[PartT], raw: dict[str, Any] | None) -> PartT | None:
    if raw is None:
        return None
    named = {spec.name: raw[spec.name] for spec in fields(cls)}
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in named.items()})  # type: ignore[arg-type]  # written by write_manifest
