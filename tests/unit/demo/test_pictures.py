"""The generator of captioned pictures: the same from the same seed, true captions, held-out scenes held out."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from shardlake.demo.captions import full_caption, sample_caption
from shardlake.demo.pictures import generate, render
from shardlake.demo.scenes import COLOURS, HELD_OUT_SHARE, Group, Scene, is_true, sample_scene
from shardlake.demo.shapes import SHAPES, silhouette
from training.data import training_caption, truth

SCENE = Scene(groups=(Group(shape="boot", colour="red", size="large"),), background="white")


def test_the_same_seed_gives_the_same_pictures() -> None:
    first, second = list(generate(6, seed=9)), list(generate(6, seed=9))

    assert [(p.id, p.caption) for p in first] == [(p.id, p.caption) for p in second]
    assert [hashlib.sha256(p.png()).digest() for p in first] == [hashlib.sha256(p.png()).digest() for p in second]


def test_another_seed_gives_other_pictures() -> None:
    assert [p.caption for p in generate(6, seed=9)] != [p.caption for p in generate(6, seed=10)]


def test_attributes_are_an_items_attributes() -> None:
    attributes = next(generate(1, seed=7)).attributes()

    assert set(attributes) == {
        "caption", "shape", "colour", "size", "pattern", "background", "objects", "shapes", "colours",
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_every_caption_is_true_of_its_scene(seed: int) -> None:
    rng = np.random.default_rng(seed)

    for _ in range(200):
        scene = sample_scene(rng)
        assert is_true(full_caption(scene).claims, scene)
        assert is_true(sample_caption(scene, rng).claims, scene)


def test_the_truth_of_a_batch_is_the_truth_of_its_pairs() -> None:
    rng = np.random.default_rng(3)
    scenes = [sample_scene(rng) for _ in range(150)]
    claims = [training_caption(scene, rng).claims for scene in scenes]
    expected = [[is_true(claim, scene) for scene in scenes] for claim in claims]

    assert np.array_equal(truth(claims, scenes), np.array(expected))


def test_held_out_scenes_are_never_generated_for_training() -> None:
    shown = list(generate(400, seed=1, pixels=16, held_out=False))
    kept = list(generate(40, seed=1, pixels=16, held_out=True))

    assert not any(picture.scene.is_held_out() for picture in shown)
    assert all(picture.scene.is_held_out() for picture in kept)


def test_one_scene_in_twenty_is_held_out() -> None:
    rng = np.random.default_rng(0)
    share = np.mean([sample_scene(rng).is_held_out() for _ in range(4_000)])

    # Three standard deviations of 4,000 draws are 0.010.
    assert abs(share - 1 / HELD_OUT_SHARE) < 0.011


def test_a_thing_never_has_its_backgrounds_colour() -> None:
    rng = np.random.default_rng(2)
    scenes = [sample_scene(rng) for _ in range(500)]

    assert all(group.colour != scene.background for scene in scenes for group in scene.groups)


def test_a_picture_shows_the_colours_that_its_caption_names() -> None:
    pixels = np.asarray(render(SCENE, np.random.default_rng(1), pixels=64), dtype=np.float32)
    middle, corner = pixels[28:34, 26:32].mean(axis=(0, 1)), pixels[:4, :4].mean(axis=(0, 1))

    # Shades and light move a colour by up to some 30 of 255.
    assert np.abs(middle - COLOURS["red"]).max() < 45
    assert np.abs(corner - COLOURS["white"]).max() < 45


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_every_shape_fills_part_of_its_square(shape: str) -> None:
    mask = np.asarray(silhouette(shape, 40, 0)) > 127

    assert 0.08 < mask.mean() < 0.9


def test_no_two_shapes_look_alike() -> None:
    masks = {name: np.asarray(silhouette(name, 40, 0)) > 127 for name in SHAPES}

    for name, mask in masks.items():
        for other, other_mask in masks.items():
            overlap = (mask & other_mask).sum() / (mask | other_mask).sum()
            assert name == other or overlap < 0.95
