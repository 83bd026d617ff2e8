"""Tests over images: which of two models is closer to a third, and how far the images suffice to say so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from salzarr.bootstrap import resampled_means
from salzarr.compiled import jit
from salzarr.descriptive import Floats, mean
from salzarr.errors import UsageError
from salzarr.metrics.metric import Metric
from salzarr.schema import IMAGE, PAIR
from salzarr.statistics.rows import (
    ScoreReader,
    cells,
    metric_names,
    metric_rows,
    metric_slug,
    model_names,
    name_order,
)

_BATCH_BYTES = 2**24


def sign_flip_test(
    values: Floats,
    contrasts: NDArray[np.intp],
    *,
    repeats: int = 9999,
    seed: int = 0,
    order: NDArray[np.intp] | None = None,
) -> Floats:
    """Test whether two rows differ: a paired permutation test of the mean difference over images.

    If neither row were larger, the sign of their difference would be a toss of a coin on every image.

    Parameters
    ----------
    values : (row, image) float64
        NaN where a row has no value: a contrast is over the images on which both have one.
    contrasts : (contrast, 2) int
        Which rows are compared.
    repeats : int
        Number of random flips, the same for all contrasts. If all 2^images flips are no more than that, each
        is taken once and the test is exact.
    seed : int
    order : (image,) int, optional
        What sorts the images by name: then p does not depend on their order.

    Returns
    -------
    (contrast,) float64
        Two-sided p; NaN without a common image.

    See Also
    --------
    scipy.stats.permutation_test : ``permutation_type="samples"``, one contrast at a time.

    References
    ----------
    Phipson, Smyth: Permutation p-values should never be zero, 2010 (the observed order counts as one flip).
    """
    order = np.arange(values.shape[1]) if order is None else order
    known = ~np.isnan(values)
    gaps = np.unique(known, axis=0, return_inverse=True)[1].reshape(-1)
    same = gaps[contrasts[:, 0]] == gaps[contrasts[:, 1]]
    p = np.empty(len(contrasts))
    # Rows with the same gaps are flipped once each, however many contrasts they are in. Without the images'
    # means the difference of two flipped sums loses no digits.
    centred = np.where(known, values - mean(values.T), 0.0)
    p[same] = _flip(centred, contrasts[same], repeats, seed, order)
    others = np.flatnonzero(~same)
    step = max(1, _BATCH_BYTES // (8 * max(1, values.shape[1])))
    for chunk in np.split(others, range(step, len(others), step)):
        first, second = contrasts[chunk].T
        apart = np.vstack([np.nan_to_num(values[first] - values[second]), np.zeros((1, values.shape[1]))])
        against_zero = np.stack([np.arange(len(chunk)), np.full(len(chunk), len(chunk))], axis=1)
        p[chunk] = _flip(apart, against_zero, repeats, seed, order)
    common = np.array([(known[i] & known[j]).any() for i, j in contrasts], bool)
    return np.where(common, p, np.nan)


def _flip(
    rows: Floats, contrasts: NDArray[np.intp], repeats: int, seed: int, order: NDArray[np.intp]
) -> Floats:
    """Two-sided p of each contrast between rows without gaps."""
    if not len(contrasts):
        return np.empty(0)
    images = rows.shape[1]
    rows = rows[:, order]
    first, second = contrasts.T
    size, whole = np.abs(rows).sum(axis=1), rows.sum(axis=1)
    observed = np.abs(whole[first] - whole[second])
    tie = observed - 1e-12 * (size[first] + size[second])  # sums that are equal but for rounding
    exact = images < 40 and 2**images <= repeats
    total = 2**images if exact else repeats
    rng = np.random.default_rng(seed)
    extreme = np.zeros(len(contrasts))
    batch = max(1, _BATCH_BYTES // (8 * max(images, len(contrasts), 1)))
    for start in range(0, total, batch):
        flips = min(batch, total - start)
        if exact:
            heads = (np.arange(start, start + flips)[:, None] >> np.arange(images) & 1).astype(np.uint8)
        else:  # 64 coins of each number: whole numbers for a flip, so that batches do not matter
            coins = rng.integers(0, 2**64, (flips, -(-images // 64)), np.uint64)
            heads = np.unpackbits(coins.view(np.uint8), axis=1, count=images)
        sums = whole - 2 * (heads.astype(np.float64) @ rows.T)
        extreme += np.count_nonzero(np.abs(sums[:, first] - sums[:, second]) >= tie, axis=0)
    return extreme / total if exact else (extreme + 1) / (total + 1)


def wilcoxon_test(differences: Floats) -> Floats:
    """Wilcoxon's signed-rank test of each row (row, image): two-sided p.

    Zeros are dropped. p is exact up to 50 images if there are neither ties nor zeros, and from the normal
    approximation else. A row of nothing but zeros has p = 1, one of nothing but NaN has NaN.

    See Also
    --------
    scipy.stats.wilcoxon
    """
    known = ~np.isnan(differences)
    size = np.where(differences == 0, np.nan, np.abs(differences))
    order = np.argsort(size, axis=1)
    n = np.count_nonzero(~np.isnan(size), axis=1)
    positive, ties = _signed_ranks(
        np.take_along_axis(size, order, axis=1), np.take_along_axis(differences > 0, order, axis=1), n
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(n * (n + 1) * (2 * n + 1) / 24 - ties / 48)
        z = (positive - n * (n + 1) / 4) / spread
    p = np.where(known.any(axis=1), np.where(n > 0, 2 * stats.norm.sf(np.abs(z)), 1.0), np.nan)
    exact = (n > 0) & (n <= 50) & (ties == 0) & (n == known.sum(axis=1))
    for count in np.unique(n[exact]):
        rows = np.flatnonzero(exact & (n == count))
        whole = differences[rows][known[rows]].reshape(len(rows), count)
        p[rows] = stats.wilcoxon(whole, axis=1, method="exact").pvalue
    return p


@jit
def _signed_ranks(size: Any, positive: Any, n: Any) -> Any:
    """Sum of the ranks of the positive differences of each row, and Σ t³ - t over its t-fold ties."""
    sums, ties = np.zeros(len(n)), np.zeros(len(n))
    for row in range(len(n)):
        start = 0
        while start < n[row]:
            stop = start + 1
            while stop < n[row] and size[row, stop] == size[row, start]:
                stop += 1
            rank = 0.5 * (start + 1 + stop)
            for at in range(start, stop):
                if positive[row, at]:
                    sums[row] += rank
            ties[row] += float(stop - start) ** 3 - (stop - start)
            start = stop
    return sums, ties


def closer(
    scores: xr.Dataset | ScoreReader,
    *,
    metrics: Iterable[str | Metric] | None = None,
    models: Sequence[str] | None = None,
    repeats: int = 9999,
    seed: int = 0,
) -> pd.DataFrame:
    """Test for each model which of two others is closer to it.

    For N models these are N (N - 1) (N - 2) / 2 comparisons per metric: with many models, name the few that
    the question is about.

    Parameters
    ----------
    scores : Dataset or ScoreReader
        Of :func:`salzarr.compare`.
    metrics : iterable of str or Metric, optional
        All by default.
    models : sequence of str, optional
        The models to which others are close or not; all by default.
    repeats : int
        Random sign flips of the permutation test; with few images all flips are taken.
    seed : int

    Returns
    -------
    DataFrame
        One row per comparison: ``metric, model, other_1, other_2``; ``n``, the images on which both pairs
        have a score; ``difference``, the mean advantage of other_1 in the metric's unit (positive: other_1 is
        closer to model); ``closer``, the name of the closer one, empty if they are equal;
        ``p_permutation`` (sign flips over images) and ``p_wilcoxon``, two-sided; ``q_permutation`` and
        ``q_wilcoxon``, the same adjusted for all rows of the table by Benjamini and Hochberg. Of a directed
        metric f, f(model, other) is compared. Comparisons without a common image are left out.

    Examples
    --------
    >>> import salzarr
    >>> rng = np.random.default_rng(0)
    >>> one = rng.random((40, 8, 8))
    >>> maps = {"a": one, "b": one + 0.1 * rng.random(one.shape), "c": rng.random(one.shape)}
    >>> closer(salzarr.compare(maps, "mse"), models=["a"])[["closer", "q_permutation"]]
      closer  q_permutation
    0      b         0.0001

    References
    ----------
    Benjamini, Hochberg: Controlling the false discovery rate, 1995.

    See Also
    --------
    scipy.stats.false_discovery_control
    """
    reader = ScoreReader.of(scores)
    scores, memory = reader.scores, reader.memory
    slugs = metric_names(scores) if metrics is None else [metric_slug(scores, m) for m in metrics]
    names = model_names(scores)
    unknown = [name for name in models or () if name not in names]
    if unknown:
        raise UsageError(f"no model {unknown[0]!r} in these scores; there are {', '.join(names[:10])}")
    anchors = [names.index(name) for name in models or names]
    row_bytes = 64 * max(1, scores.sizes[IMAGE])
    together = max(1, memory // (row_bytes * max(1, len(names) - 1)))
    tables = [
        _closer(scores, slug, anchors[start : start + together], repeats, seed, max(1, memory // row_bytes))
        for slug in slugs
        for start in range(0, len(anchors), together)
    ]
    table = pd.concat(tables, ignore_index=True)
    table = table[table["n"] > 0].reset_index(drop=True)
    for test in ("permutation", "wilcoxon"):
        p = table[f"p_{test}"].to_numpy(np.float64)
        table[f"q_{test}"] = stats.false_discovery_control(p) if len(p) else p
    return table


def _closer(
    scores: xr.Dataset, slug: str, anchors: Sequence[int], repeats: int, seed: int, step: int
) -> pd.DataFrame:
    """Compare what is closer to some models by one metric; q is yet to come."""
    names = np.array(model_names(scores), object)
    place = cells(scores, slug)
    triples = np.array(
        [(a, b, c) for a in anchors for b, c in combinations(np.flatnonzero(place[a] >= 0), 2)], np.intp
    ).reshape(-1, 3)
    model, one, two = triples.T
    needed, contrasts = np.unique(place[triples[:, :1], triples[:, 1:]], return_inverse=True)
    contrasts = contrasts.reshape(-1, 2)
    values = _read(scores, slug, needed)
    attrs = metric_rows(scores, slug).attrs
    if attrs.get("symmetry") == "antisymmetric":
        values = np.abs(values)
    if attrs["kind"] != "similarity":
        values = -values
    parts = []
    for start in range(0, max(1, len(contrasts)), step):
        first, second = contrasts[start : start + step].T
        apart = values[first] - values[second]
        n = np.count_nonzero(~np.isnan(apart), axis=1)
        parts.append((n, mean(apart), wilcoxon_test(apart)))
    n, advantage, wilcoxon = (np.concatenate(part) for part in zip(*parts, strict=True))
    return pd.DataFrame(
        {
            "metric": slug,
            "model": names[model],
            "other_1": names[one],
            "other_2": names[two],
            "n": n,
            "difference": advantage,
            "closer": np.select([advantage > 0, advantage < 0], [names[one], names[two]], ""),
            "p_permutation": sign_flip_test(
                values, contrasts, repeats=repeats, seed=seed, order=name_order(scores)
            ),
            "p_wilcoxon": wilcoxon,
        }
    )


def _read(scores: xr.Dataset, slug: str, rows: NDArray[np.intp]) -> Floats:
    """Read some rows of a metric, as :func:`salzarr.statistics.rows.cells` counts them: (row, image)."""
    variable = metric_rows(scores, slug).transpose(PAIR, IMAGE)
    return np.asarray(variable.isel({PAIR: rows}).values, np.float64)


def split_half(scores: xr.Dataset | ScoreReader, *, repeats: int = 1000, seed: int = 0) -> xr.Dataset:
    """Say how well one half of the images predicts the matrix of the other half.

    Parameters
    ----------
    scores : Dataset or ScoreReader
        Of :func:`salzarr.compare`.
    repeats : int
        Number of random splits of the images into halves.
    seed : int

    Returns
    -------
    Dataset
        ``reliability`` (metric): the correlation r over pairs between the means of two halves, averaged over
        splits and stepped up to the full number of images by Spearman and Brown's formula 2 r / (1 + r) (an
        r below 0 stays as it is); ``low``, ``high`` (metric): the same of the 2.5 and 97.5 % quantiles over
        splits. 1 says that other images of the kind would give the same matrix; NaN below three pairs or two
        images.
    """
    reader = ScoreReader.of(scores)
    scores, memory = reader.scores, reader.memory
    images = scores.sizes[IMAGE]
    order = name_order(scores)
    rng = np.random.default_rng(seed)
    halves = np.zeros((repeats, -(-images // 8)), np.uint8)  # a bit for each image
    for split in halves:
        chosen = np.zeros(images, bool)
        chosen[order[rng.permutation(images)[: images // 2]]] = True
        split[:] = np.packbits(chosen)
    step = max(1, memory // (64 * max(1, images)))  # splits that are numbers at a time
    found = []
    for slug in metric_names(scores):
        rows = [
            (_means_of(halves, values, step), _means_of(~halves, values, step))
            for values in reader.blocks(slug, row_bytes=32.0 * repeats)
        ]
        first, second = (np.concatenate(half, axis=1) for half in zip(*rows, strict=True))
        r = _correlations(first, second)
        r = r[np.isfinite(r)]
        spread = np.array([r.mean(), *np.quantile(r, [0.025, 0.975])] if len(r) else [np.nan] * 3)
        found.append(np.where(spread > 0, 2 * spread / (1 + np.abs(spread)), spread))
    names = ("reliability", "low", "high")
    return xr.Dataset(
        {name: ("metric", column) for name, column in zip(names, np.array(found).T, strict=True)},
        coords={"metric": metric_names(scores)},
        attrs={"repeats": repeats, "seed": seed},
    )


def _means_of(chosen: NDArray[np.uint8], values: Floats, step: int) -> Floats:
    """Mean of each row over each choice of images, a bit each, some choices at a time: (choice, row)."""
    images = values.shape[1]
    batches = (chosen[start : start + step] for start in range(0, len(chosen), step))
    return np.concatenate(
        [resampled_means(values, np.unpackbits(batch, axis=1, count=images)) for batch in batches]
    )


def _correlations(a: Floats, b: Floats) -> Floats:
    """Pearson's correlation of each row of a with that of b over what both have; NaN below three."""
    known = np.isfinite(a) & np.isfinite(b)
    n = known.sum(axis=1)
    a, b = (np.where(known, x, np.nan) for x in (a, b))
    a, b = (np.where(known, x - mean(x)[:, None], 0.0) for x in (a, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.where(n > 2, r, np.nan)
