"""Trains the embedded CLIP model from generated captioned pictures.

    python -m training.train_clip --out src/shardlake/models/clip --log training/log-clip.jsonl

Everything that decides the result is in clip.toml beside this file; floating-point sums over threads are not
reproducible to the last bit, so a second run gives the same quality, not the same bytes.
"""

from __future__ import annotations

import argparse
import json
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from shardlake.demo.captions import full_caption, sample_caption
from shardlake.demo.pictures import generate
from shardlake.demo.scenes import sample_scene
from shardlake.demo.shapes import SHAPES
from training.data import Drawing, Pool, build_pool, training_caption, truth
from training.losses import NO_SHAPE, Batch, Losses, normalise, outlines
from training.optimizer import Optimizer, whiten_patches
from training.tokenizer import train_tokenizer

Config = dict[str, Any]


def main() -> None:
    """Reads the arguments, trains, writes the folder and the log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("clip.toml"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    arguments = parser.parse_args()
    config = tomllib.loads(arguments.config.read_text())
    torch.set_num_threads(config["threads"])
    torch.manual_seed(config["seed"])
    data = config["data"]
    pool = build_pool(data["pictures"], seed=config["seed"], pixels=data["pixels"], processes=config["threads"])
    with arguments.log.open("w") as log:
        train(config, pool, arguments.out, log)


def train(config: Config, pool: Pool, out: Path, log: TextIO) -> None:
    """Trains a model and saves it as a transformers checkpoint folder."""
    began_s = time.monotonic()
    model, tokenizer = make_model(config)
    whiten_patches(model, normalise(pool.pixels[:1_500]))
    prompts = tokenizer([f"a {shape}" for shape in SHAPES], padding=True, return_tensors="pt")["input_ids"]
    losses = Losses(model, prompts, config["optimizer"])
    optimizer = Optimizer(model, losses, config["optimizer"])
    parameters = sum(p.numel() for p in model.parameters())
    note(log, event="ready", parameters=parameters, vocabulary=len(tokenizer), pictures=len(pool.scenes))
    found: list[dict[str, float]] = []
    for step, batch in enumerate(batches(pool, tokenizer, config), start=1):
        loss, parts = losses(batch)
        optimizer.step(loss)
        found.append(parts)
        if step % 50 == 0:
            means = {name: float(np.mean([part[name] for part in found[-50:]])) for name in parts}
            note(log, event="step", step=step, **means, seconds=time.monotonic() - began_s)
        is_last = optimizer.share() >= 1
        if step % 250 == 0 or is_last:
            save(model, tokenizer, config["data"]["pixels"], out)
            note(log, event="validation", step=step, **validate(model, tokenizer, config))
        if is_last:
            return


def make_model(config: Config) -> tuple[CLIPModel, CLIPTokenizer]:
    """Returns a model with random weights and its tokenizer."""
    tokenizer = make_tokenizer(config)
    # Eager attention: its backward pass takes half the time of the fused one on a CPU (0.51 s a step, not 0.84 s).
    model = CLIPModel._from_config(model_config(config, tokenizer), attn_implementation="eager")  # type: ignore[no-untyped-call]
    return model, tokenizer


def make_tokenizer(config: Config) -> CLIPTokenizer:
    """Trains the tokenizer on captions of scenes."""
    rng = np.random.default_rng(config["seed"])
    count = config["data"]["tokenizer_captions"]
    captions = (sample_caption(sample_scene(rng), rng).text for _ in range(count))
    return train_tokenizer(
        captions, vocabulary=config["data"]["vocabulary"], context=config["text"]["max_position_embeddings"]
    )


def model_config(config: Config, tokenizer: CLIPTokenizer) -> CLIPConfig:
    """Returns the architecture: CLIP's, small."""
    text, vision = config["text"], config["vision"]
    return CLIPConfig(
        projection_dim=512,
        text_config={
            **text,
            "intermediate_size": 4 * text["hidden_size"],
            "projection_dim": 512,
            "vocab_size": len(tokenizer),
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            **vision,
            "intermediate_size": 4 * vision["hidden_size"],
            "projection_dim": 512,
            "image_size": config["data"]["pixels"],
        },
    )


def batches(pool: Pool, tokenizer: CLIPTokenizer, config: Config) -> Iterator[Batch]:
    """Yields batches without end."""
    rng = np.random.default_rng(config["seed"] + 1_000_000)
    drawing = Drawing(pool, batch=config["optimizer"]["batch"], groups=config["optimizer"]["groups"])
    numbers = {shape: number for number, shape in enumerate(SHAPES)}
    while True:
        rows = drawing.draw(rng)
        scenes = [pool.scenes[row] for row in rows]
        captions = [training_caption(scene, rng) for scene in scenes]
        ids = tokenizer(
            [caption.text for caption in captions],
            padding="max_length",
            truncation=True,
            max_length=config["data"]["caption_tokens"],
            return_tensors="pt",
        )["input_ids"]
        # A caption is often true of other pictures of the batch: those are no negatives.
        allowed = ~truth([caption.claims for caption in captions], scenes)
        np.fill_diagonal(allowed, True)
        shapes = [numbers[s.groups[0].shape] if len(s.groups) == 1 else NO_SHAPE for s in scenes]
        yield Batch(
            ids=ids,
            pixels=normalise(pool.pixels[rows]),
            allowed=torch.from_numpy(allowed),
            shapes=torch.tensor(shapes),
            outlines=outlines(pool.pixels[rows], config["vision"]["patch_size"]),
        )


@torch.no_grad()
def validate(model: CLIPModel, tokenizer: CLIPTokenizer, config: Config) -> dict[str, float]:
    """Returns text→image recall over held-out scenes (the model card's figures come from evaluate.py)."""
    count = config["data"]["validation_pictures"]
    pictures = list(generate(count, seed=config["seed"] + 5_000_000, pixels=config["data"]["pixels"], held_out=True))
    texts = [full_caption(picture.scene).text for picture in pictures]
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    pixels = normalise(np.stack([np.asarray(picture.image) for picture in pictures]))
    model.eval()  # type: ignore[no-untyped-call]
    rows = [model(input_ids=tokens["input_ids"][:8], pixel_values=part).image_embeds for part in pixels.split(250)]  # type: ignore[no-untyped-call]
    text = model(input_ids=tokens["input_ids"], pixel_values=pixels[:8]).text_embeds
    images = torch.cat(rows)
    shape_ids = tokenizer(list(SHAPES), padding=True, return_tensors="pt")["input_ids"]
    shapes = model(input_ids=shape_ids, pixel_values=pixels[:8]).text_embeds @ images.T
    scores = text @ images.T
    rank = (scores > scores.diagonal()[:, None]).sum(dim=1)
    model.train()
    right = [
        any(g.shape == shape for g in pictures[row].scene.groups)
        for shape, order in zip(SHAPES, shapes.argsort(descending=True), strict=True)
        for row in order[:20]
    ]
    return {
        "recall_at_1": float((rank < 1).float().mean()),
        "recall_at_10": float((rank < 10).float().mean()),
        "shape_precision_at_20": sum(right) / len(right),
    }


def save(model: CLIPModel, tokenizer: CLIPTokenizer, pixels: int, out: Path) -> None:
    """Writes the checkpoint folder: weights, configuration, tokenizer, image processor."""
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    crop = {"height": pixels, "width": pixels}
    CLIPImageProcessorPil(size={"shortest_edge": pixels}, crop_size=crop).save_pretrained(out)


def note(log: TextIO, **fields: object) -> None:
    """Writes one line of the log."""
    rounded = {
        key: round(float(value), 5) if isinstance(value, float | np.floating) else value
        for key, value in fields.items()
    }
    log.write(json.dumps(rounded) + "\n")
    log.flush()


if __name__ == "__main__":
    main()
