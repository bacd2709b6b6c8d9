"""BM25 on arrays: Lucene's variant, with the exact lengths of texts.

    idf(t)      = ln(1 + (N - df(t) + 0.5) / (df(t) + 0.5))
    score(t, d) = idf(t) · tf / (tf + k1 · (1 - b + b · |d| / mean))

N texts that have a word, of `mean` words; df of them have the term; it stands tf times in a text of |d| words.
Source: Robertson et al. 1994; Kamphuis et al. 2020, "Which BM25 Do You Mean?", Lucene (accurate); k1 and b as Lucene's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

K1 = 1.2
B = 0.75

Float64Array = npt.NDArray[np.float64]


def idf(docs: int, df: int) -> float:
    """Returns the weight of a term that `df` of `docs` texts have: positive, however common, and the most it can score.

    >>> round(idf(1_000, 10), 3)
    4.557
    """
    return math.log1p((max(docs - df, 0) + 0.5) / (df + 0.5))


def scores(
    frequencies: npt.NDArray[np.integer[Any]], lengths: npt.NDArray[np.integer[Any]], weight: float, mean_length: float
) -> Float64Array:
    """Returns what one term scores in the texts that have it.

    Args:
        frequencies: (n,) times that the term stands in each text, at least 1.
        lengths: (n,) words of each text.
        weight: the term's idf.
        mean_length: of the collection's texts, positive.

    Returns:
        (n,) float64 in (0, weight): what is summed must not depend on how rows are shared out.
    """
    damping = K1 * (1 - B) + (K1 * B / mean_length) * lengths.astype(np.float64)
    found = frequencies.astype(np.float64)
    result: Float64Array = weight * found / (found + damping)
    return result
