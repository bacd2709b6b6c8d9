"""Binary codes of vectors, the hash buckets they fall into, and search by Hamming distance.

A code is the signs of a vector's components along random directions. Its first bits are the keys of a few hash tables
(multi-index hashing): two codes that differ in few bits agree in some key. A query opens the buckets of its own keys
first, then those one gets by flipping the bits it is least sure of, and ranks what lies there by all bits of the code.

Source: Norouzi et al. 2012 (multi-index hashing), Lv et al. 2007 (query-directed probing).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shardlake.core.transforms import random_directions
from shardlake.types import ByteArray, Float32Array, Int64Array

TABLES = 4  # each holds every row: what a table more finds is weighed against its bytes
MIN_KEY_BITS, MAX_KEY_BITS = 2, 12
MAX_TABLES = 16
WORD_BITS = 64

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryHash:
    """How vectors become codes and codes fall into buckets.

    Attributes:
        directions: (bits, d) float32. bits is a multiple of 64.
        thresholds: (bits,) float32: the component from which on a bit is set.
        key_bits: of the key of one table; table t has the bits from t × key_bits on.
        tables: how many.
    """

    directions: Float32Array
    thresholds: Float32Array
    key_bits: int
    tables: int

    @property
    def buckets(self) -> int:
        """How many buckets there are in all tables together; those of table t begin at t << key_bits."""
        return self.tables << self.key_bits

    def components(self, vectors: Float32Array) -> Float32Array:
        """Returns (n, bits) float32: how far each vector lies on the side that its bit says."""
        return np.asarray(vectors @ self.directions.T - self.thresholds, np.float32)

    def encode(self, vectors: Float32Array) -> ByteArray:
        """Returns (n, bits / 8) uint8, bit b of a code in byte b / 8, lowest first."""
        return np.packbits(self.components(vectors) >= 0, axis=1, bitorder="little")

    def keys(self, codes: ByteArray) -> Int64Array:
        """Returns (n, tables) int64: the bucket of each code in each table."""
        bits = np.unpackbits(codes, axis=1, count=self.tables * self.key_bits, bitorder="little")
        weights = np.int64(1) << np.arange(self.key_bits)
        numbers = bits.reshape(len(codes), self.tables, self.key_bits) @ weights
        keys: Int64Array = numbers + (np.arange(self.tables, dtype=np.int64) << self.key_bits)
        return keys

    def bucket_scores(self, query: Float32Array) -> Float32Array:
        """Scores all buckets for probing.

        Args:
            query: (d,) float32.

        Returns:
            (buckets,) float32, higher first: minus the components of the bits that must be flipped to get there, so 0
            for the query's own bucket in each table.
        """
        own = self.components(query[None])[0, : self.tables * self.key_bits].reshape(self.tables, self.key_bits)
        signs = _signs(self.key_bits)
        return np.asarray((own @ signs.T - np.abs(own).sum(axis=1)[:, None]).reshape(-1) / 2, np.float32)


def learn(sample: Float32Array, bits: int, rows: int, *, centred: bool, rng: np.random.Generator) -> BinaryHash:
    """Returns a hash for vectors like those of the sample (n, d).

    Args:
        sample: prepared for the metric.
        bits: of a code, a multiple of 64.
        rows: that a shard will hold: a bucket has about their square root.
        centred: whether bits are of the difference to the mean. Not for the inner product, which knows no place.
        rng: draws the directions.
    """
    directions = random_directions(bits, sample.shape[1], rng)
    mean = sample.mean(axis=0) if centred and len(sample) else np.zeros(sample.shape[1], np.float32)
    key_bits = min(max(round(np.log2(max(rows, 1)) / 2), MIN_KEY_BITS), MAX_KEY_BITS)
    return BinaryHash(
        directions=directions,
        thresholds=np.asarray(directions @ mean, np.float32),
        key_bits=key_bits,
        tables=TABLES,
    )


def hamming(code: Words, codes: Words) -> npt.NDArray[np.int64]:
    """Returns (n,) int64: in how many bits each of `codes` (n, words) differs from `code` (words,)."""
    differing: npt.NDArray[np.int64] = np.bitwise_count(codes ^ code).sum(axis=1, dtype=np.int64)
    return differing


def words(codes: ByteArray) -> Words:
    """Returns codes (n, bytes) as (n, bytes / 8) words."""
    return np.ascontiguousarray(codes).view(np.uint64)


def nearest_codes(distances: npt.NDArray[np.int64], count: int) -> Int64Array:
    """Returns the positions of the `count` least distances, least first, ties by position."""
    if count < len(distances):
        limit = np.partition(distances, count - 1)[count - 1]
        positions = np.flatnonzero(distances <= limit)
        return positions[np.argsort(distances[positions], kind="stable")[:count]]
    return np.argsort(distances, kind="stable")


def _signs(key_bits: int) -> Float32Array:
    numbers = np.arange(1 << key_bits)[:, None] >> np.arange(key_bits)
    return np.asarray(2 * (numbers & 1) - 1, np.float32)
