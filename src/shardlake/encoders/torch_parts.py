"""What the torch backend and the export share. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

import torch
from transformers import AutoModel, CLIPModel, PreTrainedModel
from transformers.utils import logging

UNUSED: Final = "pooler."  # a head of BERT that sentence encoders do not use and often do not keep


def pool(states: torch.Tensor, mask: torch.Tensor, how: Literal["mean", "first"]) -> torch.Tensor:
    """Returns (texts, width): the mean over each text's own tokens, or its first token.

    Args:
        states: (texts, tokens, width) float.
        mask: (texts, tokens), 1 where a token belongs to the text.
        how: as the checkpoint says.

    Source: Reimers and Gurevych 2019, Sentence-BERT, section 3.
    """
    if how == "first":
        return states[:, 0]
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Turns transformers' own progress bars off meanwhile: a function's log and a command's output are not theirs."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def load_model(cls: type[AutoModel | CLIPModel], folder: str, device: str = "cpu") -> PreTrainedModel:
    """Returns a checkpoint's model in float32, ready to infer.

    Raises:
        ValueError: when the checkpoint lacks weights; transformers itself would put random ones in their place.
    """
    loaded: Any = cls.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    model: PreTrainedModel = loaded[0]
    missing = [name for name in loaded[1]["missing_keys"] if not name.startswith(UNUSED)]
    if missing:
        raise ValueError(f"the checkpoint lacks {len(missing)} weights, {missing[0]} among them")
    model.eval()  # type: ignore[no-untyped-call]
    return model.to(torch.device(device))  # type: ignore[no-any-return,arg-type]
