"""From a transformers checkpoint to a folder that the ONNX backend reads. Needs torch and onnx; runs once a model.

python -m shardlake.encoders.export openai/clip-vit-base-patch32 models/clip-b32
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, cast

import onnx
import torch
from transformers import AutoModel, AutoTokenizer, CLIPModel, PreTrainedModel

from shardlake.encoders.checkpoint import Checkpoint, find_checkpoint, read_checkpoint
from shardlake.encoders.manifest import ImagePart, Manifest, TextPart, sha256, write_manifest
from shardlake.encoders.torch_parts import load_model, pool, quiet_loading
from shardlake.errors import FormatError

OPSET: Final = 18
TEXT_MODEL: Final = "text.onnx"
IMAGE_MODEL: Final = "image.onnx"
TOKENIZER: Final = "tokenizer.json"
EXAMPLE_TEXTS: Final = ("one", "a second, longer text")
EXAMPLE_TOKENS: Final = 8
TEXT_INPUTS: Final = ("input_ids", "attention_mask")


class _ClipText(torch.nn.Module):
    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        features = self.model.get_text_features(input_ids=input_ids, attention_mask=attention_mask).pooler_output
        return torch.nn.functional.normalize(features, dim=-1)


class _ClipImage(torch.nn.Module):
    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        features = self.model.get_image_features(pixel_values=pixel_values).pooler_output
        return torch.nn.functional.normalize(features, dim=-1)


class _Sentence(torch.nn.Module):
    def __init__(self, model: PreTrainedModel, how: Literal["mean", "first"]) -> None:
        super().__init__()
        self.model = model
        self.how = how

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return torch.nn.functional.normalize(pool(states, attention_mask, self.how), dim=-1)


def export(source: str | Path, target: Path, *, described_as: str | None = None) -> Path:
    """Exports a checkpoint and returns `target`. What stood there is replaced at the end, or stays when this fails.

    Args:
        source: a folder or a hub name.
        target: the folder to make. When it is the checkpoint's own folder, the new files are added to it.
        described_as: where the weights come from, for people; absent: the source's name.

    Raises:
        Unavailable: encoder-unavailable.
        FormatError: malformed-file.
    """
    checkpoint = read_checkpoint(find_checkpoint(str(source)))
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        _fill(made, checkpoint, described_as or Path(source).name)
        if target.resolve() == checkpoint.folder.resolve():
            for path in made.iterdir():
                path.replace(target / path.name)
        else:
            _swap(made, target, Path(scratch) / "old")
    return target


def _swap(made: Path, target: Path, old: Path) -> None:
    if target.exists():
        target.rename(old)
    try:
        made.rename(target)
    except OSError:
        # Another process was faster: its folder is as good, since both come from one checkpoint.
        if not target.is_dir():
            raise


def _fill(folder: Path, checkpoint: Checkpoint, source: str) -> None:
    try:
        with quiet_loading():
            text, image = _parts(folder, checkpoint)
    except (OSError, ValueError, RuntimeError) as exc:
        raise FormatError("the checkpoint cannot be exported", folder=checkpoint.folder.name) from exc
    names = [text.model, text.tokenizer, *([image.model] if image else [])]
    manifest = Manifest(
        source=source,
        dimension=checkpoint.dimension,
        digest=checkpoint.digest,
        files={name: sha256(folder / name) for name in names},
        text=text,
        image=image,
    )
    write_manifest(folder, manifest)


def _parts(folder: Path, checkpoint: Checkpoint) -> tuple[TextPart, ImagePart | None]:
    source = str(checkpoint.folder)
    tokenizer = AutoTokenizer.from_pretrained(source)
    own = checkpoint.folder / TOKENIZER
    if own.is_file():
        shutil.copyfile(own, folder / TOKENIZER)
    else:
        tokenizer.backend_tokenizer.save(str(folder / TOKENIZER))
    part = TextPart(
        model=TEXT_MODEL, tokenizer=TOKENIZER, max_tokens=checkpoint.max_tokens, pad_id=tokenizer.pad_token_id
    )
    shortened = min(EXAMPLE_TOKENS, checkpoint.max_tokens)
    tokens = tokenizer(list(EXAMPLE_TEXTS), padding=True, truncation=True, max_length=shortened, return_tensors="pt")
    example = (tokens["input_ids"], tokens["attention_mask"])
    text: torch.nn.Module
    if checkpoint.image is None:
        text = _Sentence(load_model(AutoModel, source), checkpoint.pooling)
        _write(text, example, TEXT_INPUTS, checkpoint.max_tokens, folder / TEXT_MODEL)
        return part, None
    model = cast("CLIPModel", load_model(CLIPModel, source))
    _write(_ClipText(model), example, TEXT_INPUTS, checkpoint.max_tokens, folder / TEXT_MODEL)
    pixels = torch.zeros(2, 3, checkpoint.image.crop_height, checkpoint.image.crop_width)
    _write(_ClipImage(model), (pixels,), ("pixel_values",), None, folder / IMAGE_MODEL)
    return part, replace(checkpoint.image, model=IMAGE_MODEL)


def _write(
    module: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    names: tuple[str, ...],
    max_tokens: int | None,
    path: Path,
) -> None:
    batch = torch.export.Dim("batch")
    of_one = {0: batch} if max_tokens is None else {0: batch, 1: torch.export.Dim("tokens", min=2, max=max_tokens)}
    shapes = tuple(of_one for _ in example)
    with _quiet(), torch.inference_mode():
        program = torch.onnx.export(
            module,
            example,
            input_names=list(names),
            output_names=["vectors"],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ValueError("the exporter gave no model")
    path.write_bytes(_plain(program.model_proto))


def _plain(model: onnx.ModelProto) -> bytes:
    """Returns the model's bytes without the exporter's notes: stack traces, with paths of the machine it ran on."""
    model.graph.doc_string = ""
    del model.metadata_props[:], model.graph.metadata_props[:]
    for named in (model.graph.node, model.graph.input, model.graph.output, model.graph.value_info, model.functions):
        for entry in named:
            entry.doc_string = ""
            del entry.metadata_props[:]
    del model.graph.value_info[:]
    body: bytes = model.SerializeToString(deterministic=True)
    return body


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's own remarks, which concern its authors, off a user's screen."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.__trace")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


if __name__ == "__main__":
    sys.stdout.write(f"{export(sys.argv[1], Path(sys.argv[2]))}{os.linesep}")
