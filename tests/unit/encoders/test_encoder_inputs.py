from __future__ import annotations

import numpy as np
import pytest
from encoder_media import bad_pictures, picture, sample, saved, text
from hypothesis import given
from hypothesis import strategies as st

from shardlake import limits
from shardlake.encoders.inputs import (
    MAX_TEXTS_PER_BATCH,
    MAX_TOKENS_PER_BATCH,
    length_batches,
    text_of,
    unit,
)
from shardlake.encoders.onnx import OnnxEncoder
from shardlake.errors import InvalidInput
from shardlake.types import MediaInput, Modality


@given(st.lists(st.integers(1, 512), max_size=300))
def test_batches_hold_every_text_once_and_stay_within_their_bounds(lengths: list[int]) -> None:
    batches = list(length_batches(lengths))

    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len(batch) <= MAX_TEXTS_PER_BATCH for batch in batches)
    assert all(len(batch) * max(lengths[i] for i in batch) <= MAX_TOKENS_PER_BATCH for batch in batches)


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (text("x" * (limits.MAX_TEXT_CHARS + 1)), "media-too-large"),
        (text("half a pair: \ud800"), "invalid-media"),
        (MediaInput(modality=Modality.TEXT, data=b"bytes"), "invalid-media"),
        (MediaInput(modality=Modality.IMAGE, data="text"), "invalid-media"),
        (MediaInput(modality=Modality.AUDIO, data=b"sound"), "unknown-modality"),
    ],
)
def test_a_bad_input_is_named_by_its_index(clip: OnnxEncoder, item: MediaInput, kind: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        clip.encode([text("a red circle"), item])

    assert caught.value.kind == kind
    assert caught.value.context["index"] == 1


def test_all_bad_inputs_of_a_batch_are_named_at_once(clip: OnnxEncoder) -> None:
    bad = bad_pictures()
    inputs = [picture(bad["text"][0]), picture(saved(sample(), "PNG")), picture(bad["bomb of 49 million pixels"][0])]

    with pytest.raises(InvalidInput) as caught:
        clip.encode(inputs)

    assert caught.value.context["index"] == 0
    assert [(e["index"], e["kind"]) for e in caught.value.context["errors"]] == [
        (0, "invalid-media"),
        (2, "media-too-large"),
    ]


def test_text_of_a_known_script_passes_unchanged() -> None:
    assert text_of(text("Zürich 東京 👟")) == "Zürich 東京 👟"


def test_unit_leaves_a_row_of_zeros_alone() -> None:
    rows = unit(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32))

    np.testing.assert_allclose(rows, [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
