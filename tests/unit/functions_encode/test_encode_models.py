"""A model in the bucket is brought once, whole or not at all."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from functions.encode.models import fetch_model
from shardlake.encoders.registry import EncoderRegistry, embedded_folder
from shardlake.errors import FormatError, Unavailable
from shardlake.format.locations import model_root
from shardlake.testing.memory_store import MemoryStore
from shardlake.types import MediaInput, Modality

FILES = ("shardlake.json", "text.onnx", "image.onnx", "tokenizer.json")


@pytest.fixture
def bucket() -> MemoryStore:
    """A bucket with one model, called words."""
    store = MemoryStore()
    for name in FILES:
        store.put(model_root("words") + name, (embedded_folder() / name).read_bytes())
    return store


def test_a_model_in_the_bucket_encodes(bucket: MemoryStore, tmp_path: Path) -> None:
    registry = EncoderRegistry({"words": str(tmp_path / "none")}, fetch=partial(fetch_model, bucket, cache=tmp_path))
    vectors = registry.get("words").encode([MediaInput(modality=Modality.TEXT, data="a red boot")])

    assert vectors.shape == (1, registry.facts("words").dimension)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["words"]


def test_a_model_is_fetched_once(bucket: MemoryStore, tmp_path: Path) -> None:
    first = fetch_model(bucket, "words", tmp_path)
    bucket.objects.clear()

    assert fetch_model(bucket, "words", tmp_path) == first


def test_a_model_that_is_nowhere_is_unavailable(bucket: MemoryStore, tmp_path: Path) -> None:
    assert fetch_model(bucket, "other", tmp_path) is None
    registry = EncoderRegistry({"other": str(tmp_path / "none")}, fetch=partial(fetch_model, bucket, cache=tmp_path))

    with pytest.raises(Unavailable):
        registry.get("other")


@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_a_model_that_is_not_whole_leaves_nothing_behind(bucket: MemoryStore, tmp_path: Path, harm: str) -> None:
    key = model_root("words") + "image.onnx"
    if harm == "damaged":
        bucket.put(key, b"\x00" + bucket.objects[key][1:])
    else:
        bucket.delete(key)

    with pytest.raises(FormatError):
        fetch_model(bucket, "words", tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_manifest_that_names_another_folder_is_refused(bucket: MemoryStore, tmp_path: Path) -> None:
    key = model_root("words") + "shardlake.json"
    bucket.put(key, bucket.objects[key].replace(b'"image.onnx": "', b'"../../image.onnx": "'))

    with pytest.raises(FormatError):
        fetch_model(bucket, "words", tmp_path)
