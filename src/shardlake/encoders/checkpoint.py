"""What a folder of a transformers checkpoint says of itself, read without torch or transformers.

Two families are known: CLIP (text and image), and sentence encoders (text; a transformer, pooling, normalising).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from shardlake.encoders.manifest import ImagePart, sha256
from shardlake.errors import ErrorKind, FormatError, InvalidInput, Unavailable
from shardlake.types import Modality

MAX_SENTENCE_TOKENS: Final = 512
CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION: Final = (0.26862954, 0.26130258, 0.27577711)
WEIGHTS: Final = ("model*.safetensors", "pytorch_model*.bin")
TOKENIZER_FILES: Final = ("tokenizer.json", "vocab.json", "merges.txt", "vocab.txt")
WANTED_FILES: Final = ("*.json", "*.txt", "*.safetensors", "1_Pooling/*")  # of a model on the hub


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One checkpoint folder.

    Attributes:
        digest: of weights, tokenizer and pre-processing.
        pooling: of a sentence encoder: the mean over tokens, or the first token.
        image: of a CLIP model; its `model` is empty.
    """

    folder: Path
    family: Literal["clip", "sentence"]
    dimension: int
    max_tokens: int
    digest: str
    pooling: Literal["mean", "first"] = "mean"
    image: ImagePart | None = None

    def modalities(self) -> frozenset[Modality]:
        """Returns what the model reads."""
        return frozenset({Modality.TEXT} if self.image is None else {Modality.TEXT, Modality.IMAGE})


def find_checkpoint(name: str) -> Path:
    """Returns the folder of a checkpoint: a path, or a model's name on the hub, which is fetched once and kept.

    Raises:
        Unavailable: encoder-unavailable.
    """
    if Path(name).is_dir():
        return Path(name)
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as exc:
        raise _unavailable(name, "is no folder, and huggingface_hub is not installed") from exc
    try:
        return Path(_fetch(snapshot_download, name))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as exc:
        raise _unavailable(name, "is no folder, and the hub does not give it") from exc


def _fetch(snapshot_download: Callable[..., str], name: str) -> str:
    folder = snapshot_download(name, allow_patterns=list(WANTED_FILES))
    if not any(True for _ in _weight_files(Path(folder))):  # older models have torch's own form of weights only
        folder = snapshot_download(name, allow_patterns=[*WANTED_FILES, "pytorch_model*.bin"])
    return folder


def _unavailable(name: str, problem: str) -> Unavailable:
    return Unavailable(f"the model {name} {problem}", kind=ErrorKind.ENCODER_UNAVAILABLE, model=name)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Returns what the folder holds.

    Raises:
        FormatError: malformed-file.
        InvalidInput: unknown-encoder, when the model is of neither family.
    """
    config = _json(folder / "config.json")
    if config.get("model_type") == "clip":
        text = config.get("text_config") or {}
        return Checkpoint(
            folder=folder,
            family="clip",
            dimension=int(config.get("projection_dim", 512)),
            max_tokens=int(text.get("max_position_embeddings", 77)),
            digest=checkpoint_digest(folder),
            image=_image_part(_image_settings(folder)),
        )
    if "hidden_size" not in config or "vision_config" in config:
        raise InvalidInput(
            "this checkpoint is neither a CLIP model nor a sentence encoder",
            kind=ErrorKind.UNKNOWN_ENCODER,
            model_type=str(config.get("model_type")),
        )
    return _sentence_checkpoint(folder, config)


def checkpoint_digest(folder: Path) -> str:
    """Returns the digest of everything in the folder that decides its vectors, whatever computes them."""
    digest = hashlib.sha256()
    for path in (*_weight_files(folder), *_other_files(folder)):
        digest.update(f"{path.relative_to(folder).as_posix()} {sha256(path)}\n".encode())
    return digest.hexdigest()


def _sentence_checkpoint(folder: Path, config: dict[str, Any]) -> Checkpoint:
    pooling = _json(folder / "1_Pooling" / "config.json") if (folder / "1_Pooling").is_dir() else {}
    is_mean = bool(pooling.get("pooling_mode_mean_tokens", not pooling))
    is_first = bool(pooling.get("pooling_mode_cls_token", False))
    if is_mean == is_first:
        raise InvalidInput("this sentence encoder pools in a way that is not served", kind=ErrorKind.UNKNOWN_ENCODER)
    settings = folder / "sentence_bert_config.json"
    longest = int(config.get("max_position_embeddings", MAX_SENTENCE_TOKENS))
    max_tokens = _json(settings).get("max_seq_length") if settings.is_file() else None
    return Checkpoint(
        folder=folder,
        family="sentence",
        dimension=int(config["hidden_size"]),
        max_tokens=min(int(max_tokens or MAX_SENTENCE_TOKENS), longest),
        digest=checkpoint_digest(folder),
        pooling="mean" if is_mean else "first",
    )


def _weight_files(folder: Path) -> Iterator[Path]:
    for pattern in WEIGHTS:
        found = sorted(folder.glob(pattern))
        if found:
            yield from found
            return


def _other_files(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in TOKENIZER_FILES[:1] if (folder / name).is_file())
    names = ("preprocessor_config.json", "processor_config.json", "sentence_bert_config.json", "1_Pooling/config.json")
    yield from (folder / name for name in names if (folder / name).is_file())


def _image_settings(folder: Path) -> dict[str, Any]:
    alone = folder / "preprocessor_config.json"
    if alone.is_file():
        return _json(alone)
    together = folder / "processor_config.json"  # one file for tokenizer and pictures since transformers 5
    return dict(_json(together).get("image_processor", {})) if together.is_file() else {}


def _image_part(settings: dict[str, Any]) -> ImagePart:
    size, crop = settings.get("size", 224), settings.get("crop_size", 224)
    edge = size.get("shortest_edge") if isinstance(size, dict) else size
    fixed = size if edge is None else crop
    height, width = (fixed["height"], fixed["width"]) if isinstance(fixed, dict) else (fixed, fixed)
    return ImagePart(
        model="",
        shortest_edge=None if edge is None else int(edge),
        crop_height=int(height),
        crop_width=int(width),
        resample=int(settings.get("resample", 3)),
        scale=float(settings.get("rescale_factor", 1 / 255)),
        mean=tuple(map(float, settings.get("image_mean", CLIP_MEAN))),
        deviation=tuple(map(float, settings.get("image_std", CLIP_DEVIATION))),
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise FormatError("a checkpoint's file cannot be read", file=path.name) from exc
    if not isinstance(value, dict):
        raise FormatError("a checkpoint's file is not a JSON object", file=path.name)
    return value
