"""How the weights start and how they move."""

from __future__ import annotations

import math
import time
from typing import Any, Final

import torch
from transformers import CLIPModel

START_DEVIATION: Final = 0.3  # of a patch's first state
SMALLEST_VARIANCE: Final = 1e-2


class Optimizer:
    """Muon for the matrices of the layers, AdamW for the rest, one warm-up and one cosine down to nothing.

    Source: Jordan et al. 2024, Muon; Loshchilov and Hutter 2019, AdamW.
    """

    def __init__(self, model: CLIPModel, losses: torch.nn.Module, config: dict[str, Any]) -> None:
        matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embedding" not in name]
        known = {id(p) for p in matrices}
        self._all = [*model.parameters(), *losses.parameters()]
        others = [p for p in self._all if id(p) not in known]
        decay = config["weight_decay"]
        self._parts: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.Muon(matrices, lr=config["muon_rate"], weight_decay=decay), config["muon_rate"]),
            (torch.optim.AdamW(others, lr=config["adam_rate"], betas=(0.9, 0.98), weight_decay=decay),
             config["adam_rate"]),
        ]  # fmt: skip
        self._config = config
        self._steps = 0
        self._began_s = time.monotonic()

    def share(self) -> float:
        """Returns how far the training has come, in [0, 1]: by steps or by time, whichever is further."""
        by_time = (time.monotonic() - self._began_s) / (60 * float(self._config["minutes"]))
        return min(1.0, max(self._steps / float(self._config["steps"]), by_time))

    def step(self, loss: torch.Tensor) -> None:
        """Moves the weights once."""
        self._steps += 1
        factor = min(self._steps / self._config["warmup_steps"], 0.5 * (1 + math.cos(math.pi * self.share())))
        for optimizer, rate in self._parts:
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._all, 1.0)
        for optimizer, _ in self._parts:
            optimizer.step()


@torch.no_grad()
def whiten_patches(model: CLIPModel, pixels: torch.Tensor) -> None:
    """Starts the patch embedding as the whitening of real patches, so that edges count as much as plain colour.

    Source: Coates and Ng 2012, Learning Feature Representations with K-means, section 2.1.
    """
    kernel = model.vision_model.embeddings.patch_embedding.weight
    width, _, side, _ = kernel.shape
    patches = torch.nn.functional.unfold(pixels, side, stride=side).permute(0, 2, 1).flatten(0, 1)
    variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
    variances, directions = variances.flip(0)[:width], directions.flip(1)[:, :width]
    whitening = (directions / torch.sqrt(variances + SMALLEST_VARIANCE)).T
    kernel.copy_(START_DEVIATION * whitening.reshape(kernel.shape))
