"""Laws of packing, of refine rows and of ranking, on whatever hypothesis thinks of."""

from __future__ import annotations

import random

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.core.fast_scan import pack, packed_bytes, unpack
from shardlake.core.topk import best_of_each, best_rows, merge_best, merge_by_id, order
from shardlake.core.vectors import quantize_rows

few_scores = st.sampled_from([-1.0, -0.0, 0.0, 0.25, 0.5, 1.0]) | st.floats(-2, 2, width=32)
ids = st.text(min_size=1, max_size=4)
scored = st.dictionaries(ids, few_scores, max_size=40).map(lambda d: [(score, key, None) for key, score in d.items()])
RELAXED = settings(deadline=None)


@RELAXED
@given(hnp.arrays(np.uint8, st.tuples(st.integers(0, 70), st.integers(1, 9))))
def test_packing_is_undone_by_unpacking_and_adds_only_zeros(codes: np.ndarray) -> None:
    rows, code_bytes = codes.shape
    packed = pack(codes)

    assert packed.size == packed_bytes(rows, code_bytes)
    assert (unpack(packed, rows, code_bytes) == codes).all()
    assert not unpack(packed, packed.size // code_bytes, code_bytes)[rows:].any()


@RELAXED
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(0, 8), st.integers(1, 8)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_a_refine_row_is_off_by_half_its_scale_at_most(rows: np.ndarray) -> None:
    codes, scales = quantize_rows(rows)

    error = np.abs(codes * scales.astype(np.float64)[:, None] - rows)
    assert (error <= scales.astype(np.float64)[:, None] * 0.5001 + 128 * 2.0**-149).all()


@RELAXED
@given(scored, st.integers(1, 50), st.integers(1, 6), st.randoms(use_true_random=False))
def test_merging_shards_is_ordering_everything_whatever_the_order_of_the_shards(
    everything: list[tuple[float, str, None]], k: int, shards: int, dealer: random.Random
) -> None:
    parts: list[list[tuple[float, str, None]]] = [[] for _ in range(shards)]
    for entry in everything:
        dealer.choice(parts).append(entry)
    ranked = [order(part, k) for part in parts]
    dealer.shuffle(ranked)

    assert merge_best(ranked, k) == order(everything, k)
    by_id = [sorted(part, key=lambda entry: entry[1])[:k] for part in parts]
    assert merge_by_id(by_id, k) == sorted(everything, key=lambda entry: entry[1])[:k]


@RELAXED
@given(hnp.arrays(np.float32, st.sampled_from([0, 1, 5, 1500]), elements=few_scores), st.integers(1, 1600))
def test_the_best_rows_are_all_that_reach_the_kth_best_score_and_no_other(scores: np.ndarray, k: int) -> None:
    found = best_rows(scores, k)

    assert len(set(found.tolist())) == len(found)
    assert (np.diff(scores[found]) <= 0).all()
    if len(scores) <= k:
        assert len(found) == len(scores)
    else:
        kth = np.sort(scores)[-k]
        assert set(found.tolist()) == set(np.flatnonzero(scores >= kth).tolist())


@RELAXED
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(0, 4), st.sampled_from([1, 5, 90, 300])), elements=few_scores),
    st.integers(1, 310),
)
def test_the_best_of_each_of_many_rows_are_the_best_of_that_row_alone_where_no_scores_tie(
    scores: np.ndarray, k: int
) -> None:
    scores[::2] += np.linspace(0, 1, scores.shape[1], dtype=np.float32)  # of some rows most scores are distinct
    found, tied = best_of_each(scores, k)

    for row, best, has_ties in zip(scores, found, tied, strict=True):
        alone = best_rows(row, k)
        assert len(set(best.tolist())) == min(k, len(row))
        assert has_ties == (len(set(row[alone].tolist())) < len(alone))
        assert row[best].tolist() == row[alone[:k]].tolist()
        assert has_ties or best.tolist() == alone.tolist()
