"""Requests that these tests send, and what is in their answers."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from shardlake.demo.pictures import generate
from shardlake.types import Float32Array

BUCKET = "lake"
PICTURE = next(generate(1, seed=4)).png()


def base64_picture(data: bytes = PICTURE) -> dict[str, Any]:
    return {"image": {"base64": base64.b64encode(data).decode()}}


def vectors_of(answer: dict[str, Any]) -> Float32Array:
    flat = np.frombuffer(base64.b64decode(answer["vectors"]), dtype="<f4")
    return flat.reshape(answer["count"], answer["dimension"]).astype(np.float32)
