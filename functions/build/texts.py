"""Texts to query vectors, for the part of calibration that asks as people do."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from shardlake.contracts.encode import decode_encode_answer, encode_message
from shardlake.deadline import Clock, Deadline
from shardlake.limits import MAX_INPUTS_PER_ENCODE
from shardlake.rpc.base import Invoker
from shardlake.types import Float32Array

ENCODE_TIMEOUT_MS = 60_000  # of one call: a cold encode function loads its model first


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEncoder:
    """The port `encode_texts` of a build, on the encode function."""

    invoker: Invoker
    function: str
    clock: Clock = time.monotonic

    def __call__(self, encoder: str, texts: list[str]) -> Float32Array:
        """Returns (n, dimension) float32, in the order of the texts.

        Raises:
            InvalidInput: when the encoder reads no text, or there is none of that name.
            Whatever the invoker raises.
        """
        step = MAX_INPUTS_PER_ENCODE
        return np.concatenate([self._some(encoder, texts[at : at + step]) for at in range(0, len(texts), step)])

    def _some(self, encoder: str, texts: list[str]) -> Float32Array:
        deadline = Deadline.after(ENCODE_TIMEOUT_MS, clock=self.clock)
        message = encode_message(encoder, [{"text": text} for text in texts], timeout_ms=deadline.remaining_ms())
        answer = self.invoker.invoke(self.function, message, deadline=deadline)
        return decode_encode_answer(answer, count=len(texts)).vectors
