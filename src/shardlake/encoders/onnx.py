"""The ONNX Runtime backend: an exported folder, `tokenizers`, numpy and Pillow. No torch, no transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from shardlake.encoders.images import decode_image, to_pixels
from shardlake.encoders.inputs import by_modality, bytes_of, fixed_batches, length_batches, prepare_each, text_of, unit
from shardlake.encoders.manifest import ImagePart, TextPart, check_files, read_manifest
from shardlake.errors import FormatError
from shardlake.types import Float32Array, Int64Array, MediaInput, Modality

DEFAULT_THREADS: Final = 2
OUTPUT: Final = "vectors"


class OnnxEncoder:
    """An exported encoder. Equal batches give equal vectors; the models are loaded here, once.

    Args:
        name: the registry name.
        folder: with `shardlake.json`; every file is checked against its digest.
        threads: that one call may use.

    Raises:
        FormatError: when a file of the folder is missing, damaged or no model.
    """

    def __init__(self, name: str, folder: Path, *, threads: int = DEFAULT_THREADS) -> None:
        manifest = read_manifest(folder)
        check_files(folder, manifest)
        self.name = name
        self.dimension = manifest.dimension
        self.modalities = manifest.modalities()
        self.digest = manifest.digest
        self._text = None if manifest.text is None else _TextModel(folder, manifest.text, threads)
        self._image = None if manifest.image is None else _ImageModel(folder, manifest.image, threads)

    def encode(self, inputs: Sequence[MediaInput]) -> Float32Array:
        """Returns (len(inputs), dimension) float32 unit vectors, in order; see the port."""
        groups = by_modality(inputs, self.modalities, encoder=self.name)
        vectors = np.zeros((len(inputs), self.dimension), dtype=np.float32)
        if self._text is not None and Modality.TEXT in groups:
            indexes = groups[Modality.TEXT]
            vectors[indexes] = self._text.encode(prepare_each(indexes, inputs, text_of))
        if self._image is not None:
            for batch in fixed_batches(groups.get(Modality.IMAGE, [])):
                vectors[batch] = self._image.run(prepare_each(batch, inputs, self._image.prepare))
        return unit(vectors)


class _TextModel:
    def __init__(self, folder: Path, part: TextPart, threads: int) -> None:
        self._session = _session(folder / part.model, threads)
        self._inputs = {spec.name for spec in self._session.get_inputs()}
        self._pad_id = part.pad_id
        self._tokenizer = Tokenizer.from_file(str(folder / part.tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(part.max_tokens)

    def encode(self, texts: Sequence[str]) -> Float32Array:
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        parts: dict[int, Float32Array] = {}
        for batch in length_batches([len(row) for row in ids]):
            rows = self._run([ids[position] for position in batch])
            parts.update(zip(batch, rows, strict=True))
        return np.stack([parts[position] for position in range(len(ids))])

    def _run(self, rows: Sequence[Sequence[int]]) -> Float32Array:
        widest = max(map(len, rows))
        ids: Int64Array = np.full((len(rows), widest), self._pad_id, dtype=np.int64)
        mask: Int64Array = np.zeros((len(rows), widest), dtype=np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return _run(self._session, {name: value for name, value in given.items() if name in self._inputs})


class _ImageModel:
    def __init__(self, folder: Path, part: ImagePart, threads: int) -> None:
        self._session = _session(folder / part.model, threads)
        self._part = part

    def prepare(self, item: MediaInput) -> Float32Array:
        return to_pixels(decode_image(bytes_of(item)), self._part)

    def run(self, pixels: Sequence[Float32Array]) -> Float32Array:
        return _run(self._session, {"pixel_values": np.stack(pixels)})


def _session(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a Lambda pays for waiting threads
    options.log_severity_level = 3  # errors; its warnings are for whoever exported the model
    try:
        return ort.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
    except (RuntimeError, ValueError, OSError) as exc:
        raise FormatError("an encoder's model cannot be loaded", file=path.name) from exc


def _run(session: ort.InferenceSession, inputs: Mapping[str, Float32Array | Int64Array]) -> Float32Array:
    vectors: Float32Array = session.run([OUTPUT], inputs)[0]
    return vectors
