"""Whether metrics put the pairs of models in the same order, and where they certainly do not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from salzarr.descriptive import Floats
from salzarr.schema import IMAGE
from salzarr.statistics.conclusions import rank_correlations, resampled, reversals, told_apart
from salzarr.statistics.mantel import mantel, orders, smallest_p
from salzarr.statistics.rows import ScoreReader, cells, metric_names, metric_rows, model_names
from salzarr.statistics.structure import distances
from salzarr.units import Units

Rows = NDArray[np.intp]

MOST_PAIRS = 500
"""Pairs of models up to which each two of them are told apart."""


def metric_agreement(
    scores: xr.Dataset | ScoreReader,
    summary: xr.Dataset,
    *,
    units: Units | None = None,
    bootstrap: int = 1000,
    repeats: int = 9999,
    confidence: float = 0.95,
    seed: int = 0,
) -> xr.Dataset:
    """Ask whether the metrics see the same models as alike.

    Parameters
    ----------
    scores : Dataset
        From :func:`salzarr.compare`.
    summary : Dataset
        From :func:`salzarr.summarize`, of the same scores and one group.
    units : Units, optional
        Units of the images, which are drawn together; by default each image is one.
    bootstrap : int
        Resamples of the units, for the intervals of the correlations.
    repeats : int
        Permutations of the models; up to 7 models each is taken once.
    confidence : float
    seed : int

    Returns
    -------
    Dataset
        Per (metric, metric_2): ``spearman``, the rank correlation of two metrics' distances over the ``n``
        pairs that both have, with ``low, high``, its interval over units of images; ``p``, two-sided, by a
        Mantel test, which permutes the models of one matrix because its cells are not independent, and
        ``p_smallest``, which p cannot fall below: with three models none is below 0.05. NaN below three
        pairs, or where all distances are the same; a metric and itself have no p. All metrics share the
        maps, so that p alone says little.

    References
    ----------
    Mantel: The detection of disease clustering and a generalized regression approach, 1967.
    """
    reader = ScoreReader.of(scores)
    units = _each_alone(reader.scores) if units is None else units
    names = metric_names(summary)
    matrices = [distances(summary, name).values for name in names]
    upper = np.triu_indices(len(matrices[0]), 1)
    vectors = [matrix[upper] for matrix in matrices]
    shuffles = orders(len(matrices[0]), repeats, seed)
    result = {key: np.full((len(names),) * 2, np.nan) for key in ("spearman", "p")}
    result["n"] = np.zeros((len(names),) * 2, np.int64)
    for i, a in enumerate(matrices):
        for j, b in enumerate(matrices[: i + 1]):
            tested = shuffles if i != j else shuffles[:1]
            for key, value in zip(("n", "spearman", "p"), mantel(a, b, tested), strict=True):
                result[key][i, j] = result[key][j, i] = value
    np.fill_diagonal(result["p"], np.nan)
    result |= {key: np.full((len(names),) * 2, np.nan) for key in ("low", "high")}
    if bootstrap and 8 * bootstrap * len(upper[0]) * len(names) <= reader.memory // 4:
        drawn = [_drawn(reader, name, units, bootstrap, seed) for name in names]
        found = rank_correlations(vectors, drawn, units.count, confidence)
        result |= {"low": found.low, "high": found.high}
    result["p_smallest"] = np.full((len(names),) * 2, smallest_p(len(matrices[0]), repeats))
    return xr.Dataset(
        {key: (("metric", "metric_2"), value) for key, value in result.items()},
        coords={
            "metric": names,
            "metric_2": names,
            "spec": ("metric", [metric_rows(summary, n).attrs.get("spec", n) for n in names]),
        },
        attrs={"repeats": repeats, "bootstrap": bootstrap, "units": units.count, "seed": seed},
    )


def changed_conclusions(
    scores: xr.Dataset | ScoreReader, *, units: Units | None = None, confidence: float = 0.95
) -> pd.DataFrame:
    """Find the pairs of models that two metrics put in opposite order, where both are certain of it.

    Parameters
    ----------
    scores : Dataset
        From :func:`salzarr.compare`. A metric once more under another normalization is another metric.
    units : Units, optional
        Units of the images; by default each image is one.
    confidence : float
        Of Student's interval over units of each difference of two means, which has to exclude 0.

    Returns
    -------
    DataFrame
        One row per two metrics: ``metric, metric_2``; ``certain``, how many twos of pairs both order with
        certainty; ``reversed``, how many of these they order differently; ``model_a, model_b, other_a,
        other_b``, the first such two: model_a and model_b are the less alike by ``metric``, and other_a and
        other_b by ``metric_2``. Empty with more than 500 pairs, or if the scores do not fit the memory.
    """
    reader = ScoreReader.of(scores)
    scores = reader.scores
    units = _each_alone(scores) if units is None else units
    models, names = model_names(scores), metric_names(scores)
    a, b = np.triu_indices(len(models), 1)
    columns = ["metric", "metric_2", "certain", "reversed", "model_a", "model_b", "other_a", "other_b"]
    held = 8 * len(a) * scores.sizes[IMAGE]
    if len(a) > MOST_PAIRS or held > reader.memory // 8:
        return pd.DataFrame(columns=columns)
    certain = [told_apart(_apart(reader, name), units, confidence) for name in names]
    rows = []
    for i, j in combinations(range(len(names)), 2):
        found, both = reversals(certain[i], certain[j])
        first: list[object] = [np.nan] * 4
        if len(found):
            one, other = found[0]
            first = [models[a[one]], models[b[one]], models[a[other]], models[b[other]]]
        rows.append([names[i], names[j], both, len(found), *first])
    return pd.DataFrame(rows, columns=columns)


def _each_alone(scores: xr.Dataset) -> Units:
    return Units.by(scores[IMAGE].values.astype(str).tolist())


def _cells_of(scores: xr.Dataset, name: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of f(a, b) and of f(b, a) of each two models, -1 where there is none: (pair,) each."""
    row = cells(scores, name)
    a, b = np.triu_indices(len(row), 1)
    return row[a, b], row[b, a]


def _as_distances(rows: Floats, forth: Rows, back: Rows, attrs: dict[str, object]) -> Floats:
    """Make (..., row) scores distances of (..., pair), but for a constant; NaN where there is none."""
    known = np.concatenate([rows, np.full((*rows.shape[:-1], 1), np.nan)], axis=-1)
    if attrs.get("symmetry") == "antisymmetric":
        return np.asarray(np.abs(known[..., np.maximum(forth, back)]))
    apart: Floats = (known[..., forth] + known[..., back]) / 2
    return -apart if attrs["kind"] == "similarity" else apart


def _drawn(reader: ScoreReader, name: str, units: Units, repeats: int, seed: int) -> Floats:
    """Distances of the means in each resample of the units: (repeat, pair)."""
    blocks: Sequence[Floats] = [
        resampled(values, units, repeats, seed) for values in reader.blocks(name, row_bytes=16.0 * repeats)
    ]
    attrs = dict(metric_rows(reader.scores, name).attrs)
    return _as_distances(np.concatenate(blocks, axis=1), *_cells_of(reader.scores, name), attrs)


def _apart(reader: ScoreReader, name: str) -> Floats:
    """Distances of each image: (pair, image)."""
    values = np.concatenate(list(reader.blocks(name)))
    attrs = dict(metric_rows(reader.scores, name).attrs)
    return _as_distances(values.T, *_cells_of(reader.scores, name), attrs).T
