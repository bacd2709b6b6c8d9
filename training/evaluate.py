"""Measures the embedded model on pictures that it never saw, through the same path as a user's picture.

    python -m training.evaluate src/shardlake/models/clip --out training/results-clip.json

Gallery: 1,000 pictures of held-out scenes (one scene in twenty, by hash: no training picture shows the same things in
the same colours and places), all captions different, drawn at 160 × 160 and handed over as PNG files.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from shardlake.demo.pictures import Picture, generate
from shardlake.demo.scenes import COLOURS, Claims, is_true
from shardlake.demo.shapes import SHAPES
from shardlake.encoders.onnx import OnnxEncoder
from shardlake.types import BoolArray, Float32Array, Int64Array, MediaInput, Modality

GALLERY: Final = 1_000
SEED: Final = 77_000_001
MIN_RELEVANT: Final = 5


def main() -> None:
    """Reads the arguments, measures, prints and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    text = json.dumps(measure(OnnxEncoder("clip", arguments.folder)), indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


def measure(encoder: OnnxEncoder) -> dict[str, float]:
    """Returns the figures of the model card."""
    gallery = list(held_out_gallery())
    images = encoder.encode([MediaInput(modality=Modality.IMAGE, data=picture.png()) for picture in gallery])
    texts = encode_texts(encoder, [picture.caption for picture in gallery])
    to_image, to_text = own_ranks(texts @ images.T), own_ranks(images @ texts.T)
    figures = {
        "gallery": len(gallery),
        "text_to_image_recall_at_1": recall(to_image, 1),
        "text_to_image_recall_at_10": recall(to_image, 10),
        "image_to_text_recall_at_1": recall(to_text, 1),
        "image_to_text_recall_at_10": recall(to_text, 10),
        **short_queries(encoder, gallery, images),
        **neighbours(gallery, images),
    }
    return {name: round(float(value), 4) for name, value in figures.items()}


def held_out_gallery() -> Iterator[Picture]:
    """Yields pictures of held-out scenes until GALLERY different captions are there."""
    seen: set[str] = set()
    for picture in generate(10 * GALLERY, seed=SEED, held_out=True):
        if picture.caption not in seen:
            seen.add(picture.caption)
            yield picture
        if len(seen) == GALLERY:
            return


def encode_texts(encoder: OnnxEncoder, texts: list[str]) -> Float32Array:
    """Returns the texts' vectors."""
    return encoder.encode([MediaInput(modality=Modality.TEXT, data=text) for text in texts])


def own_ranks(scores: Float32Array) -> Int64Array:
    """Returns, for each row, how many columns score higher than its own one."""
    ranks: Int64Array = (scores > np.diag(scores)[:, None]).sum(axis=1)
    return ranks


def recall(ranks: Int64Array, k: int) -> float:
    """Returns the share of rows whose own column is among the first k."""
    return float((ranks < k).mean())


def short_queries(encoder: OnnxEncoder, gallery: list[Picture], images: Float32Array) -> dict[str, float]:
    """Returns how right the first hits of "a red circle", "a boot", "something blue" are.

    For each query that is true of r ≥ MIN_RELEVANT pictures: the share of its first r hits of which it is true.
    """
    figures: dict[str, float] = {}
    for name, queries in _queries().items():
        shares, firsts = [], []
        vectors = encode_texts(encoder, list(queries))
        for vector, claims in zip(vectors, queries.values(), strict=True):
            relevant: BoolArray = np.array([is_true(claims, picture.scene) for picture in gallery])
            count = int(relevant.sum())
            if count >= MIN_RELEVANT:
                hits = relevant[np.argsort(-(images @ vector), kind="stable")[:count]]
                shares.append(hits.mean())
                firsts.append(hits[0])
        figures[f"{name}_queries"] = len(shares)
        figures[f"{name}_first_hit_right"] = float(np.mean(firsts))
        figures[f"{name}_r_precision"] = float(np.mean(shares))
    return figures


def _queries() -> dict[str, dict[str, Claims]]:
    coloured = {f"{c} {s}": Claims(groups=({"colour": c, "shape": s},)) for c in COLOURS for s in SHAPES}
    return {
        "colour_and_shape": coloured,
        "shape": {s: Claims(groups=({"shape": s},)) for s in SHAPES},
        "colour": {f"{c} thing": Claims(groups=({"colour": c},)) for c in COLOURS},
    }


def neighbours(gallery: list[Picture], images: Float32Array) -> dict[str, float]:
    """Returns what share of a picture's ten nearest pictures show the same first thing, or the same colour of it."""
    scores = images @ images.T
    np.fill_diagonal(scores, -1)
    nearest = np.argsort(-scores, axis=1)[:, :10]
    firsts = [picture.scene.groups[0] for picture in gallery]
    shapes, colours = np.array([g.shape for g in firsts]), np.array([g.colour for g in firsts])
    return {
        "neighbours_same_shape": (shapes[nearest] == shapes[:, None]).mean(),
        "neighbours_same_colour": (colours[nearest] == colours[:, None]).mean(),
    }


if __name__ == "__main__":
    main()
