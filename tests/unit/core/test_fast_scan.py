"""Our packing of 4-bit codes against faiss's own, byte by byte."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from shardlake.core.fast_scan import BLOCK_ROWS, pack, packed_bytes, unpack


def _packed_by_faiss(codes: np.ndarray) -> np.ndarray:
    plain = faiss.IndexPQ(2 * codes.shape[1], 2 * codes.shape[1], 4)
    plain.is_trained = True
    plain.add_sa_codes(codes)
    packed = faiss.IndexPQFastScan(plain, BLOCK_ROWS)
    return np.asarray(faiss.rev_swig_ptr(packed.codes.get(), packed.codes.nbytes())).copy()


@pytest.mark.parametrize("rows", [1, 2, 31, 32, 33, 64, 100])
@pytest.mark.parametrize("code_bytes", [1, 2, 7, 32])
def test_packed_codes_have_faiss_s_own_layout(rows: int, code_bytes: int) -> None:
    codes = np.random.default_rng(rows).integers(0, 256, (rows, code_bytes)).astype(np.uint8)

    packed = pack(codes)

    assert len(packed) == packed_bytes(rows, code_bytes)
    assert packed.tolist() == _packed_by_faiss(codes).tolist()


def test_no_rows_pack_to_no_bytes() -> None:
    packed = pack(np.empty((0, 8), np.uint8))

    assert packed.size == packed_bytes(0, 8) == 0
    assert unpack(packed, 0, 8).shape == (0, 8)
