"""The embedded model is as good as its card says, and as small as a layer needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shardlake.encoders.onnx import OnnxEncoder
from shardlake.encoders.registry import embedded_folder
from training.evaluate import measure

ROOT = Path(__file__).resolve().parents[2]
FLOORS = {
    # On 1,000 held-out pictures; an untrained model has 0.001 and 0.01, one that sees no shapes 0.77 and 0.998.
    "text_to_image_recall_at_1": 0.95,
    "text_to_image_recall_at_10": 0.99,
    "image_to_text_recall_at_10": 0.99,
    # One that sees no shapes has 0.10 and 0.09 here.
    "colour_and_shape_r_precision": 0.60,
    "shape_r_precision": 0.75,
    "shape_first_hit_right": 0.90,
}


@pytest.fixture(scope="module")
def figures() -> dict[str, float]:
    """What evaluate.py measures now."""
    return measure(OnnxEncoder("clip", embedded_folder()))


@pytest.mark.parametrize("name", sorted(FLOORS))
def test_the_embedded_model_finds_held_out_pictures(figures: dict[str, float], name: str) -> None:
    assert figures[name] >= FLOORS[name]


def test_the_committed_figures_are_what_is_measured(figures: dict[str, float]) -> None:
    committed = json.loads((ROOT / "training" / "results-clip.json").read_text())

    # Another processor rounds otherwise, which may swap a few near ties among 1,000; another model would move more.
    assert committed == pytest.approx(figures, abs=0.01)


def test_the_model_card_tells_the_committed_figures() -> None:
    card = (embedded_folder() / "README.md").read_text()
    committed = json.loads((ROOT / "training" / "results-clip.json").read_text())

    for name, value in committed.items():
        assert (f"{value:.3f}" in card) or f"{value:.0f}" in card or f"{value:,.0f}" in card, name


def test_weights_and_folder_stay_within_their_budgets() -> None:
    sizes = {path.name: path.stat().st_size for path in embedded_folder().iterdir()}

    assert sizes["model.safetensors"] <= 8_000_000
    assert sum(sizes.values()) <= 17_000_000
