"""What the model is trained to do: tell captions apart as CLIP does, and two things that make it look at shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize
from transformers import CLIPModel

NO_SHAPE: Final = -100  # what cross_entropy passes over
MAX_LOGIT_SCALE: Final = math.log(100)
MEAN: Final = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)  # of CLIP's own processor
DEVIATION: Final = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
FOREGROUND: Final = 38  # of 255: a pixel this far from the background's colour belongs to a thing


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch.

    Attributes:
        allowed: (n, n) which pairs of caption and picture may serve as the positive or as a negative.
        shapes: (n,) the number of the one shape that the picture shows, or NO_SHAPE when it shows two.
        outlines: (n, patches, pixels of a patch) 1 where a thing is.
    """

    ids: torch.Tensor
    pixels: torch.Tensor
    allowed: torch.Tensor
    shapes: torch.Tensor
    outlines: torch.Tensor


class Losses(torch.nn.Module):
    """The sum of three losses.

    1. CLIP's symmetric one over the allowed pairs.
    2. Naming the shape: the picture's vector against those of the prompts "a circle", "a boot" ... (weight
       shape_weight).
    3. Telling thing from background, pixel by pixel, from each patch's last state, by a linear map that is thrown away
       afterwards (weight outline_weight): a small transformer finds shapes in any two colours far sooner with it.
    """

    def __init__(self, model: CLIPModel, prompts: torch.Tensor, config: dict[str, Any]) -> None:
        super().__init__()
        self.model = [model]  # in a list, so that its weights are not counted as those of this module
        self.prompts = prompts
        self.weights = config["shape_weight"], config["outline_weight"]
        vision: Any = model.config.vision_config
        self.to_outline = torch.nn.Linear(vision.hidden_size, vision.patch_size**2)

    def forward(self, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """Returns the sum, and each part by name."""
        (model,) = self.model
        with torch.no_grad():
            model.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = model(input_ids=batch.ids, pixel_values=batch.pixels)
            prompts = normalize(model.get_text_features(input_ids=self.prompts).pooler_output, dim=-1)
            by_shape = model.logit_scale.exp() * outputs.image_embeds @ prompts.T
            outline = self.to_outline(outputs.vision_model_output.last_hidden_state[:, 1:])
        logits = outputs.logits_per_text.float().masked_fill(~batch.allowed, float("-inf"))
        own = torch.arange(len(batch.ids))
        contrast = (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
        shape = cross_entropy(by_shape.float(), batch.shapes, ignore_index=NO_SHAPE)
        outlined = binary_cross_entropy_with_logits(outline.float(), batch.outlines)
        total = contrast + self.weights[0] * shape + self.weights[1] * outlined
        parts = {"contrast": float(contrast.detach()), "shape": float(shape.detach())}
        return total, parts | {"outline": float(outlined.detach())}


def normalise(pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Returns (n, side, side, 3) bytes as CLIP's processor would hand them on."""
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - MEAN) / DEVIATION


def outlines(pixels: npt.NDArray[np.uint8], patch: int) -> torch.Tensor:
    """Returns (n, patches, patch²): 1 where a pixel is not of the background, whose colour is the corners'."""
    values = pixels.astype(np.float32)
    corners = [values[:, rows, columns].mean(axis=(1, 2)) for rows in _ENDS for columns in _ENDS]
    background = np.median(np.stack(corners), axis=0)[:, None, None]
    things = (np.abs(values - background).max(axis=-1) > FOREGROUND).astype(np.float32)
    count, side = len(pixels), pixels.shape[1] // patch
    patches = things.reshape(count, side, patch, side, patch).transpose(0, 1, 3, 2, 4)
    return torch.from_numpy(patches.reshape(count, side * side, patch * patch))


_ENDS: Final = (slice(0, 3), slice(-3, None))
