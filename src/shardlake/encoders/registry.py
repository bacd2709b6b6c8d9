"""Which encoders a deployment has, and each loaded once, when it is first asked for.

`settings.encoders` is a comma list of `name` or `name=SOURCE`:

| written | is |
|---|---|
| `clip` | the embedded model |
| `minilm` (or any name) | the exported folder MODELS_DIR/name, or what `fetch` brings |
| `photos=/models/b32` | that folder: exported files by ONNX Runtime, else a checkpoint by torch |
| `photos=openai/clip-vit-base-patch32` | a checkpoint from the hub, by torch |
| `photos=torch:SOURCE` | by torch, although exported files are there too |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import shardlake
from shardlake.encoders.base import Encoder
from shardlake.encoders.checkpoint import find_checkpoint, read_checkpoint
from shardlake.encoders.manifest import is_exported, read_manifest
from shardlake.errors import ErrorKind, InvalidInput, ShardlakeError, Unavailable
from shardlake.types import Modality

EMBEDDED: Final = "clip"
TORCH_PREFIX: Final = "torch:"
DEFAULT_THREADS: Final = 2
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderFacts:
    """What is known of an encoder without loading it."""

    name: str
    dimension: int
    modalities: frozenset[Modality]
    digest: str


class EncoderRegistry:
    """The encoders of one deployment by name.

    Args:
        sources: name → source, as in the table above; a source is never empty.
        threads: that one call of an ONNX encoder may use.
        fetch: brings a model's folder from elsewhere, by name, when its source is no folder here; None: there is none.
    """

    def __init__(
        self,
        sources: Mapping[str, str],
        *,
        threads: int = DEFAULT_THREADS,
        fetch: Callable[[str], Path | None] | None = None,
    ) -> None:
        self._sources = dict(sources)
        self._threads = threads
        self._fetch = fetch
        self._loaded: dict[str, Encoder] = {}

    def names(self) -> list[str]:
        """Returns the names, in the order of the setting."""
        return list(self._sources)

    def get(self, name: str) -> Encoder:
        """Returns an encoder, loading it at the first call.

        Raises:
            InvalidInput: unknown-encoder, with the `known` names.
            Unavailable: encoder-unavailable.
            FormatError: when its files are damaged.
        """
        source = self._source(name)
        if name not in self._loaded:
            self._loaded[name] = _load(name, source, self._folder(name), self._threads)
        return self._loaded[name]

    def facts(self, name: str) -> EncoderFacts:
        """Returns what the encoder's files say, without loading weights. Raises as `get` does."""
        source, folder = self._source(name), self._folder(name)
        found = read_manifest(folder) if _is_onnx(source, folder) else read_checkpoint(folder)
        return EncoderFacts(name=name, dimension=found.dimension, modalities=found.modalities(), digest=found.digest)

    def describe(self) -> tuple[list[EncoderFacts], dict[str, ShardlakeError]]:
        """Returns the facts of every encoder that is there, and why the others are not."""
        found: list[EncoderFacts] = []
        missing: dict[str, ShardlakeError] = {}
        for name in self._sources:
            try:
                found.append(self.facts(name))
            except ShardlakeError as error:
                missing[name] = error
        return found, missing

    def _folder(self, name: str) -> Path:
        source = self._source(name).removeprefix(TORCH_PREFIX)
        fetched = self._fetch(name) if self._fetch is not None and not Path(source).is_dir() else None
        return fetched or find_checkpoint(source)

    def _source(self, name: str) -> str:
        if name not in self._sources:
            raise InvalidInput(
                "this deployment has no such encoder", kind=ErrorKind.UNKNOWN_ENCODER, encoder=name, known=self.names()
            )
        return self._sources[name]


def embedded_folder() -> Path:
    """Returns the folder of the embedded model."""
    return Path(shardlake.__file__).parent / "models" / EMBEDDED


def parse_encoders(text: str, models_dir: str = "") -> dict[str, str]:
    """Returns name → source for a value of the setting `encoders`.

    >>> parse_encoders("minilm, photos=openai/clip-vit-base-patch32", "/models")
    {'minilm': '/models/minilm', 'photos': 'openai/clip-vit-base-patch32'}

    Raises:
        InvalidInput: when a name is not one, or stands twice.
    """
    sources: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, source = (part.strip() for part in entry.partition("="))
        if not _NAME.fullmatch(name) or name in sources:
            raise InvalidInput("the setting encoders must be a list of name or name=source", value=entry)
        sources[name] = source or _default_source(name, models_dir)
    return sources


def _default_source(name: str, models_dir: str) -> str:
    if name == EMBEDDED:
        return str(embedded_folder())
    return str(Path(models_dir or "models") / name)


def _is_onnx(source: str, folder: Path) -> bool:
    return not source.startswith(TORCH_PREFIX) and is_exported(folder)


def _load(name: str, source: str, folder: Path, threads: int) -> Encoder:
    if _is_onnx(source, folder):
        from shardlake.encoders.onnx import OnnxEncoder  # here: a deployment of torch encoders needs no ONNX Runtime

        return OnnxEncoder(name, folder, threads=threads)
    try:
        from shardlake.encoders.transformers_ import TransformersEncoder  # here: torch is seconds and gigabytes
    except ImportError as exc:
        raise Unavailable(
            f"the encoder {name} needs torch: install shardlake[torch], or export it first",
            kind=ErrorKind.ENCODER_UNAVAILABLE,
            encoder=name,
        ) from exc
    return TransformersEncoder(name, folder)
