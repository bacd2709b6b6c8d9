"""The torch backend: any CLIP checkpoint and any sentence encoder, by folder or hub name; on a GPU where there is one.

Importing this file imports torch: only `registry` does, and only when a checkpoint is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer, BatchEncoding, CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from shardlake.encoders.checkpoint import Checkpoint, find_checkpoint, read_checkpoint
from shardlake.encoders.images import decode_image
from shardlake.encoders.inputs import by_modality, bytes_of, fixed_batches, length_batches, prepare_each, text_of, unit
from shardlake.encoders.torch_parts import load_model, pool, quiet_loading
from shardlake.errors import FormatError
from shardlake.types import Float32Array, MediaInput, Modality

LOAD_ERRORS: Final = (OSError, ValueError, KeyError, RuntimeError, ImportError)


class TransformersEncoder:
    """A transformers checkpoint, loaded whole.

    Args:
        name: the registry name.
        source: a folder or a hub name.
        device: as torch names it; absent: "cuda" where there is one, else "cpu".

    Raises:
        Unavailable: encoder-unavailable, when the checkpoint cannot be found.
        FormatError: malformed-file, when it cannot be loaded.
    """

    def __init__(self, name: str, source: str | Path, *, device: str | None = None) -> None:
        checkpoint = read_checkpoint(find_checkpoint(str(source)))
        self.name = name
        self.dimension = checkpoint.dimension
        self.modalities = checkpoint.modalities()
        self.digest = checkpoint.digest
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._checkpoint = checkpoint
        self._tokenizer, self._model, self._processor = _load(checkpoint, self._device)

    @torch.inference_mode()
    def encode(self, inputs: Sequence[MediaInput]) -> Float32Array:
        """Returns (len(inputs), dimension) float32 unit vectors, in order; see the port."""
        groups = by_modality(inputs, self.modalities, encoder=self.name)
        vectors = np.zeros((len(inputs), self.dimension), dtype=np.float32)
        if Modality.TEXT in groups:
            indexes = groups[Modality.TEXT]
            vectors[indexes] = self._texts(prepare_each(indexes, inputs, text_of))
        for batch in fixed_batches(groups.get(Modality.IMAGE, [])):
            vectors[batch] = self._images(prepare_each(batch, inputs, self._pixels))
        return unit(vectors)

    def _texts(self, texts: Sequence[str]) -> Float32Array:
        tokens = self._tokenizer(list(texts), truncation=True, max_length=self._checkpoint.max_tokens)
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for batch in length_batches([len(row) for row in tokens["input_ids"]]):
            rows = {name: [values[i] for i in batch] for name, values in tokens.items()}
            padded = self._tokenizer.pad(rows, padding=True, return_tensors="pt").to(self._device)
            vectors[batch] = self._text_vectors(padded).float().cpu().numpy()
        return vectors

    def _text_vectors(self, padded: BatchEncoding) -> torch.Tensor:
        if self._checkpoint.family == "clip":
            found: torch.Tensor = self._model.get_text_features(**padded).pooler_output
            return found
        states = self._model(**padded).last_hidden_state
        return pool(states, padded["attention_mask"], self._checkpoint.pooling)

    def _pixels(self, item: MediaInput) -> torch.Tensor:
        pixels: torch.Tensor = self._processor(decode_image(bytes_of(item)), return_tensors="pt")["pixel_values"][0]
        return pixels

    def _images(self, pixels: Sequence[torch.Tensor]) -> Float32Array:
        batch = torch.stack(list(pixels)).to(self._device)
        vectors: Float32Array = self._model.get_image_features(pixel_values=batch).pooler_output.float().cpu().numpy()
        return vectors


def _load(checkpoint: Checkpoint, device: str) -> tuple[Any, Any, Any]:
    folder = str(checkpoint.folder)
    is_clip = checkpoint.family == "clip"
    try:
        with quiet_loading():
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model = load_model(CLIPModel if is_clip else AutoModel, folder, device)
            processor = CLIPImageProcessorPil.from_pretrained(folder) if is_clip else None
    except LOAD_ERRORS as exc:
        raise FormatError("the checkpoint cannot be loaded", folder=checkpoint.folder.name) from exc
    return tokenizer, model, processor
