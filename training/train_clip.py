"""Trains the embedded CLIP model from generated captioned pictures.

    python -m training.train_clip --out src/shardlake/models/clip --log training/log-clip.jsonl

Everything that decides the result is in clip.toml beside this file; floating-point sums over threads are not
reproducible to the last bit, so a second run gives the same quality, not the same bytes.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from shardlake.demo.captions import full_caption, sample_caption
from shardlake.demo.pictures import generate
from shardlake.demo.scenes import sample_scene
from training.data import Pool, build_pool, training_caption, truth
from training.tokenizer import train_tokenizer

Config = dict[str, Any]
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)  # of CLIP's own processor
DEVIATION = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
MAX_LOGIT_SCALE = math.log(100)


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
    with arguments.log.open("w") as log:
        train(config, arguments.out, log)


def train(config: Config, out: Path, log: TextIO) -> None:
    """Trains one model and saves it as a transformers checkpoint folder."""
    started_s = time.monotonic()
    tokenizer = make_tokenizer(config)
    data = config["data"]
    pool = build_pool(data["pictures"], seed=config["seed"], pixels=data["pixels"], processes=config["threads"])
    model = CLIPModel._from_config(
        model_config(config, tokenizer), attn_implementation="eager"
    )  # fastest backward here
    note(
        log,
        event="ready",
        parameters=sum(p.numel() for p in model.parameters()),
        pictures=len(pool.scenes),
        vocabulary=len(tokenizer),
        seconds=time.monotonic() - started_s,
    )
    forward = torch.compile(model) if config["compile"] else model
    optimizer, schedule = make_optimizer(model, config["optimizer"])
    running = 0.0
    for step, (ids, pixels, allowed) in enumerate(batches(pool, tokenizer, config), start=1):
        loss = contrastive_loss(forward, ids, pixels, allowed)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
        running += float(loss.detach())
        if step % 50 == 0:
            note(
                log,
                event="step",
                step=step,
                loss=running / 50,
                scale=float(model.logit_scale.exp()),
                learning_rate=schedule.get_last_lr()[0],
                seconds=time.monotonic() - started_s,
            )
            running = 0.0
        if step % 400 == 0 or step == config["optimizer"]["steps"]:
            save(model, tokenizer, data["pixels"], out)
            note(log, event="validation", step=step, **validate(model, tokenizer, config))


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


def make_optimizer(model: CLIPModel, config: Config) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """Returns AdamW with a linear warm-up and a cosine to nothing; weights decay, biases and norms do not."""
    weights = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": weights, "weight_decay": config["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config["learning_rate"], betas=(0.9, 0.98), eps=1e-6)
    warmup, steps = config["warmup_steps"], config["steps"]

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def batches(
    pool: Pool, tokenizer: CLIPTokenizer, config: Config
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yields (token ids, pixels, which of the batch's pairs may serve as a negative or as the positive)."""
    optimizer = config["optimizer"]
    rng = np.random.default_rng(config["seed"] + 1_000_000)
    for _ in range(optimizer["steps"]):
        rows = rng.choice(len(pool.scenes), size=optimizer["batch"], replace=False)
        scenes = [pool.scenes[row] for row in rows]
        captions = [training_caption(scene, rng) for scene in scenes]
        ids = tokenizer(
            [caption.text for caption in captions],
            padding="max_length",
            truncation=True,
            max_length=optimizer["caption_tokens"],
            return_tensors="pt",
        )["input_ids"]
        # A caption is often true of other pictures of the batch: those are no negatives.
        allowed = ~truth([caption.claims for caption in captions], scenes)
        np.fill_diagonal(allowed, True)
        yield ids, normalise(pool.pixels[rows]), torch.from_numpy(allowed)


def normalise(pixels: np.ndarray) -> torch.Tensor:
    """Returns (n, side, side, 3) bytes as CLIP's processor would hand them on."""
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - MEAN) / DEVIATION


def contrastive_loss(
    forward: Callable[..., Any], ids: torch.Tensor, pixels: torch.Tensor, allowed: torch.Tensor
) -> torch.Tensor:
    """Returns CLIP's symmetric loss with the pairs that are not `allowed` left out of the sums."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = forward(input_ids=ids, pixel_values=pixels).logits_per_text
    logits = logits.float().masked_fill(~allowed, float("-inf"))
    own = torch.arange(len(ids))
    return (torch.nn.functional.cross_entropy(logits, own) + torch.nn.functional.cross_entropy(logits.T, own)) / 2


@torch.no_grad()
def validate(model: CLIPModel, tokenizer: CLIPTokenizer, config: Config) -> dict[str, float]:
    """Returns text→image recall over held-out scenes (the model card's figures come from evaluate.py)."""
    count = config["data"]["validation_pictures"]
    pictures = list(generate(count, seed=config["seed"] + 5_000_000, pixels=config["data"]["pixels"], held_out=True))
    texts = [full_caption(picture.scene).text for picture in pictures]
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    pixels = normalise(np.stack([np.asarray(picture.image) for picture in pictures]))
    model.eval()
    rows = [model(input_ids=tokens["input_ids"][:8], pixel_values=part).image_embeds for part in pixels.split(250)]
    text = model(input_ids=tokens["input_ids"], pixel_values=pixels[:8]).text_embeds
    model.train()
    scores = text @ torch.cat(rows).T
    rank = (scores > scores.diagonal()[:, None]).sum(dim=1)
    return {"recall_at_1": float((rank < 1).float().mean()), "recall_at_10": float((rank < 10).float().mean())}


def save(model: CLIPModel, tokenizer: CLIPTokenizer, pixels: int, out: Path) -> None:
    """Writes the checkpoint folder: weights, configuration, tokenizer, image processor."""
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    CLIPImageProcessor(size={"shortest_edge": pixels}, crop_size={"height": pixels, "width": pixels}).save_pretrained(
        out
    )


def note(log: TextIO, **fields: object) -> None:
    """Writes one line of the log."""
    rounded = {key: round(value, 5) if isinstance(value, float) else value for key, value in fields.items()}
    log.write(json.dumps(rounded) + "\n")
    log.flush()


if __name__ == "__main__":
    main()
