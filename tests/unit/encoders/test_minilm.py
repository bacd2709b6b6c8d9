"""MiniLM is the real one: known facts about its weights and what it finds similar."""

from __future__ import annotations

from pathlib import Path

import pytest
from encoder_media import text

from shardlake.encoders.manifest import read_manifest, sha256
from shardlake.encoders.minilm import WEIGHTS, WEIGHTS_SHA256, find_minilm, is_prepared, prepare_minilm
from shardlake.encoders.onnx import OnnxEncoder
from shardlake.errors import InvalidInput

pytestmark = pytest.mark.torch  # making its folder needs torch, once


def test_the_weights_are_the_published_ones(minilm_folder: Path) -> None:
    assert sha256(find_minilm() / WEIGHTS) == WEIGHTS_SHA256
    assert WEIGHTS_SHA256 in read_manifest(minilm_folder).source


@pytest.mark.parametrize(
    ("query", "near", "far"),
    [
        ("a man is eating food", "someone is having a meal", "the stock market fell today"),
        ("how do I reset my password?", "I forgot my login credentials", "the recipe needs two eggs"),
        ("a heist in a casino", "robbers plan to steal millions from a vault", "a family adopts a dog"),
        ("Der Film spielt in Paris", "a film set in Paris", "quarterly tax return"),
    ],
)
def test_what_means_the_same_is_nearer_than_what_does_not(minilm: OnnxEncoder, query: str, near: str, far: str) -> None:
    vectors = minilm.encode([text(query), text(near), text(far)])

    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.15


def test_a_published_similarity_comes_out(minilm: OnnxEncoder) -> None:
    """The example of the model's own card: its two sentences are at cosine 0.6 to 0.8, and equal ones at 1."""
    rows = minilm.encode([text("This is an example sentence"), text("Each sentence is converted")])

    assert rows.shape == (2, 384)
    assert 0.3 < rows[0] @ rows[1] < 0.8
    # Values of sentence-transformers 2.2.2 as the card's users print them: 0.0676, 0.0635, 0.0487
    assert rows[0][:3].tolist() == pytest.approx([0.0676, 0.0635, 0.0487], abs=2e-3)


def test_preparing_again_finds_the_folder_and_leaves_it_alone(minilm_folder: Path) -> None:
    before = (minilm_folder / "text.onnx").stat().st_mtime_ns

    assert prepare_minilm(minilm_folder) == minilm_folder
    assert (minilm_folder / "text.onnx").stat().st_mtime_ns == before


def test_a_damaged_folder_is_not_taken_for_a_prepared_one(minilm_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "minilm"
    copy.mkdir()
    for path in minilm_folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes() if path.suffix != ".onnx" else b"damaged")

    assert is_prepared(minilm_folder)
    assert not is_prepared(copy)
    assert not is_prepared(tmp_path / "absent")


def test_it_reads_no_pictures(minilm: OnnxEncoder) -> None:
    from encoder_media import picture, sample, saved

    with pytest.raises(InvalidInput) as caught:
        minilm.encode([text("a"), picture(saved(sample(), "PNG"))])

    assert caught.value.kind == "unknown-modality"
    assert caught.value.context == {"index": 1, "reads": ["text"]}
