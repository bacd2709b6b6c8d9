"""4-bit PQ codes in fast-scan layout: packed and unpacked with numpy, scanned by faiss.

Layout: blocks of 32 rows. In a block, for each pair of sub-quantizers, 16 bytes for the first and 16 for the second;
byte j holds the code of row LANE[j] in its low nibble and that of row LANE[j] + 16 in its high nibble. The interleaving
is what AVX2's 128-bit lanes want. Source: André et al. 2015 (PQ Fast Scan); faiss `IndexIVFPQFastScan` with bbs = 32.
"""

from __future__ import annotations

import numpy as np

from shardlake.types import ByteArray

BLOCK_ROWS = 32
_LANES = np.array([0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15])


def packed_bytes(rows: int, code_bytes: int) -> int:
    """Returns the size of `rows` packed codes of `code_bytes` each: whole blocks."""
    return -(-rows // BLOCK_ROWS) * BLOCK_ROWS * code_bytes


def pack(codes: ByteArray) -> ByteArray:
    """Packs codes.

    Args:
        codes: (n, m / 2) uint8, two 4-bit codes a byte, the even sub-quantizer in the low nibble, m even.

    Returns:
        (packed_bytes(n, m / 2),) uint8; rows behind n are zero.
    """
    rows, code_bytes = codes.shape
    blocks = -(-rows // BLOCK_ROWS)
    padded = np.zeros((blocks * BLOCK_ROWS, code_bytes), np.uint8)
    padded[:rows] = codes
    # (block, half of the block, lane, byte of the code)
    halves = padded.reshape(blocks, 2, 16, code_bytes)[:, :, _LANES]
    low, high = halves[:, 0], halves[:, 1]
    even = (low & 15) | ((high & 15) << 4)
    odd = (low >> 4) | (high & 0xF0)
    # (block, code byte, even or odd, lane)
    return np.stack([even, odd], axis=1).transpose(0, 3, 1, 2).reshape(-1)


def unpack(packed: ByteArray, rows: int, code_bytes: int) -> ByteArray:
    """Undoes `pack`: returns (rows, code_bytes) uint8."""
    blocks = packed.reshape(-1, code_bytes, 2, 16)
    even, odd = blocks[:, :, 0], blocks[:, :, 1]
    low = (even & 15) | ((odd & 15) << 4)
    high = (even >> 4) | (odd & 0xF0)
    out = np.empty((len(blocks), 2, 16, code_bytes), np.uint8)
    out[:, 0, _LANES] = low.transpose(0, 2, 1)
    out[:, 1, _LANES] = high.transpose(0, 2, 1)
    return out.reshape(-1, code_bytes)[:rows]
