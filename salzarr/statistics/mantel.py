"""Mantel's test: whether two matrices of the same models go together, by permuted models."""

from __future__ import annotations

from itertools import permutations
from math import factorial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from salzarr.descriptive import Floats

MOST_ENUMERATED = 7
"""Models up to which each of their permutations is taken once."""

_BATCH_BYTES = 2**24


def orders(models: int, repeats: int, seed: int = 0) -> NDArray[np.intp]:
    """Permute the models: each way once up to 7 of them, else so many at random: (order, model).

    Examples
    --------
    >>> orders(3, 999).tolist()
    [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    >>> orders(20, 999).shape
    (999, 20)
    """
    if models <= MOST_ENUMERATED:
        return np.array(list(permutations(range(models))), np.intp).reshape(-1, models)
    rng = np.random.default_rng(seed)
    return rng.permuted(np.broadcast_to(np.arange(models), (repeats, models)), axis=1)


def smallest_p(models: int, repeats: int) -> float:
    """Smallest p that the test can give.

    Examples
    --------
    >>> [round(smallest_p(models, 9999), 4) for models in (3, 4, 5, 10)]
    [0.1667, 0.0417, 0.0083, 0.0001]
    """
    return 1 / (factorial(models) if models <= MOST_ENUMERATED else repeats + 1)


def mantel(a: Floats, b: Floats, shuffles: NDArray[np.intp]) -> tuple[int, float, float]:
    """Correlate the ranks of two matrices' cells, and test it by permuting the models of one.

    Parameters
    ----------
    a, b : (model, model) float64
        Symmetric; NaN where there is no value.
    shuffles : (order, model) int
        From :func:`orders`.

    Returns
    -------
    n : int
        Pairs with a value in both.
    correlation, p : float
        Spearman's, and two-sided; NaN below three pairs or where all values are the same.

    References
    ----------
    Mantel: The detection of disease clustering and a generalized regression approach, 1967.
    """
    cells = np.triu(np.isfinite(a) & np.isfinite(b), 1)
    n = int(cells.sum())
    first, second = np.zeros_like(a, np.float64), np.zeros_like(a, np.float64)
    for ranks, values in ((first, a), (second, b)):
        if n:
            rank = rankdata(values[cells])
            ranks[cells] = rank - rank.mean()
        ranks += ranks.T.copy()
    both = (cells | cells.T).astype(np.float64)

    def correlations(order: NDArray[np.intp]) -> Floats:
        rows, columns = order[:, :, None], order[:, None, :]
        moved, seen = second[rows, columns], both[rows, columns]
        scale = np.tensordot(seen, first**2, 2) * np.tensordot(moved**2, both, 2)
        product = np.tensordot(moved, first, 2)
        found: Floats = np.full(len(order), np.nan)
        return np.divide(product, np.sqrt(scale), out=found, where=scale > 0)

    found = float(correlations(np.arange(len(a))[None])[0])
    if n < 3 or np.isnan(found):
        return n, np.nan, np.nan
    step = max(1, _BATCH_BYTES // (24 * a.size))
    extreme = sum(
        int(np.count_nonzero(np.abs(correlations(shuffles[start : start + step])) >= abs(found) - 1e-12))
        for start in range(0, len(shuffles), step)
    )
    exact = len(a) <= MOST_ENUMERATED
    p = extreme / len(shuffles) if exact else (1 + extreme) / (1 + len(shuffles))
    return n, min(1.0, max(-1.0, found)), p
