from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from encoder_media import text

from shardlake.encoders.checkpoint import read_checkpoint
from shardlake.encoders.manifest import check_files, read_manifest
from shardlake.encoders.onnx import OnnxEncoder
from shardlake.encoders.registry import EncoderRegistry, embedded_folder, parse_encoders
from shardlake.errors import FormatError, InvalidInput, Unavailable
from shardlake.types import Modality


def test_the_setting_names_encoders_and_their_sources() -> None:
    assert parse_encoders("clip, minilm , photos=openai/clip-vit-base-patch32,", "/models") == {
        "clip": str(embedded_folder()),
        "minilm": "/models/minilm",
        "photos": "openai/clip-vit-base-patch32",
    }


@pytest.mark.parametrize("value", ["Clip", "../clip", "clip,clip", "=x", "a b", "clip=x,clip"])
def test_a_setting_that_names_no_encoder_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput):
        parse_encoders(value)


def test_an_unknown_encoder_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput) as caught:
        EncoderRegistry(parse_encoders("clip")).get("clap")

    assert caught.value.kind == "unknown-encoder"
    assert caught.value.context == {"encoder": "clap", "known": ["clip"]}


def test_an_encoder_is_loaded_once() -> None:
    registry = EncoderRegistry(parse_encoders("clip"))

    assert registry.get("clip") is registry.get("clip")


def test_describing_names_what_is_there_and_why_the_rest_is_not(tmp_path: Path) -> None:
    found, missing = EncoderRegistry(parse_encoders("clip,minilm", str(tmp_path))).describe()

    assert [(facts.name, facts.dimension, facts.modalities) for facts in found] == [
        ("clip", 512, frozenset({Modality.TEXT, Modality.IMAGE}))
    ]
    assert list(missing) == ["minilm"]
    assert isinstance(missing["minilm"], Unavailable)


def test_a_missing_model_says_how_it_is_named_and_is_retryable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        EncoderRegistry({"other": str(tmp_path / "nowhere")}).get("other")

    assert caught.value.kind == "encoder-unavailable"


def test_the_facts_are_those_of_the_loaded_encoder() -> None:
    registry = EncoderRegistry(parse_encoders("clip"))
    facts, encoder = registry.facts("clip"), registry.get("clip")

    assert (facts.dimension, facts.modalities, facts.digest) == (encoder.dimension, encoder.modalities, encoder.digest)


def test_a_damaged_model_is_found_before_it_is_used(tmp_path: Path) -> None:
    copy = shutil.copytree(embedded_folder(), tmp_path / "clip")
    weights = bytearray((copy / "image.onnx").read_bytes())
    weights[len(weights) // 2] ^= 1
    (copy / "image.onnx").write_bytes(weights)

    with pytest.raises(FormatError) as caught:
        OnnxEncoder("clip", copy)

    assert caught.value.kind == "checksum-mismatch"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"format": 1}', b"not json"])
def test_a_malformed_manifest_is_a_format_error(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "shardlake.json").write_bytes(body)

    with pytest.raises(FormatError):
        read_manifest(tmp_path)


def test_a_manifest_of_a_later_format_is_refused_by_kind(tmp_path: Path) -> None:
    (tmp_path / "shardlake.json").write_bytes(b'{"format": 2}')

    with pytest.raises(FormatError) as caught:
        read_manifest(tmp_path)

    assert caught.value.kind == "unsupported-version"


def test_the_embedded_models_manifest_is_of_its_own_checkpoint() -> None:
    manifest = read_manifest(embedded_folder())
    check_files(embedded_folder(), manifest)

    assert manifest.digest == read_checkpoint(embedded_folder()).digest


@pytest.mark.parametrize(
    ("settings", "edge", "crop"),
    [
        ('{"size": 224, "crop_size": 224}', 224, (224, 224)),  # as openai/clip-vit-base-patch32 has it
        ('{"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}', 336, (336, 336)),
        ('{"size": {"height": 256, "width": 192}}', None, (256, 192)),
        ("{}", 224, (224, 224)),
    ],
)
def test_every_form_of_an_image_processors_settings_is_read(
    tmp_path: Path, settings: str, edge: int | None, crop: tuple[int, int]
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "clip", "projection_dim": 512}')
    (tmp_path / "preprocessor_config.json").write_text(settings)
    image = read_checkpoint(tmp_path).image

    assert image is not None
    assert (image.shortest_edge, (image.crop_height, image.crop_width)) == (edge, crop)


def test_the_query_path_loads_neither_torch_nor_transformers() -> None:
    code = (
        "import sys\n"
        "from shardlake.encoders.registry import EncoderRegistry, parse_encoders\n"
        "from shardlake.types import MediaInput, Modality\n"
        "encoder = EncoderRegistry(parse_encoders('clip')).get('clip')\n"
        "encoder.encode([MediaInput(modality=Modality.TEXT, data='a red boot')])\n"
        "print(sorted({'torch', 'transformers', 'onnx', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_two_different_texts_have_different_vectors(clip: OnnxEncoder) -> None:
    red, blue = clip.encode([text("a red circle"), text("a blue boot")])

    assert red @ blue < 0.9
