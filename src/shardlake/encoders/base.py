"""The encoder port: media in, unit vectors out. Backends: `onnx.py` (no torch) and `transformers_.py` (torch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shardlake.types import Float32Array, MediaInput, Modality


class Encoder(Protocol):
    """Turns media into vectors of one space.

    Attributes:
        name: the registry name, as a collection's schema names it.
        dimension: of the vectors.
        modalities: what it reads.
        digest: of weights and pre-processing; two encoders with one digest give the same vectors.
    """

    name: str
    dimension: int
    modalities: frozenset[Modality]
    digest: str

    def encode(self, inputs: Sequence[MediaInput]) -> Float32Array:
        """Returns (len(inputs), dimension) float32 unit vectors, in order.

        Raises:
            InvalidInput: unknown-modality, invalid-media or media-too-large, with `index` of the offending input.
        """
