"""Tests over units of images: which of two models is closer to a third, and by how much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import xarray as xr
from dask.utils import format_bytes
from numpy.typing import NDArray
from scipy import stats

from salzarr.descriptive import Floats
from salzarr.errors import BudgetError, UsageError, listed
from salzarr.metrics.metric import Metric
from salzarr.schema import IMAGE, PAIR
from salzarr.statistics.flips import Contrasts, Flips, equivalence_test, sign_flip_test
from salzarr.statistics.rows import (
    ScoreReader,
    cells,
    metric_names,
    metric_rows,
    metric_slug,
    model_names,
)
from salzarr.statistics.wilcoxon import wilcoxon_test
from salzarr.units import Units

_BATCH_BYTES = 2**24

COLUMNS = (
    "metric", "model", "other_1", "other_2", "n", "units", "difference", "closer", "probability", "d_z",
    "p_permutation", "p_family", "p_all", "q_permutation", "p_smallest", "p_wilcoxon", "q_wilcoxon",
    "margin", "p_equivalent",
)  # fmt: skip

Places = NDArray[np.intp]


def comparisons(models: int, anchors: int | None = None) -> int:
    """Count the rows per metric of :func:`closer` for so many models, of which some are anchors.

    Examples
    --------
    >>> comparisons(4), comparisons(30, 2)
    (12, 812)
    """
    return (models if anchors is None else anchors) * comb(max(models - 1, 0), 2)


def closer(
    scores: xr.Dataset | ScoreReader,
    *,
    metrics: Iterable[str | Metric] | None = None,
    models: Sequence[str] | None = None,
    units: Units | None = None,
    margins: Mapping[str, float] | None = None,
    repeats: int = 9999,
    seed: int = 0,
) -> pd.DataFrame:
    """Test for each model which of two others is closer to it.

    For N models these are N (N - 1) (N - 2) / 2 comparisons per metric: with many models, name the few that
    the question is about. The sign flips test symmetry of the differences about 0, and not only a mean of 0:
    with 20 units, of nothing but chance 5 % of p are at most 0.05 where differences are symmetric, and up to
    8 % where they are exponential (9 % where units also differ in size as 1 to 39).

    Parameters
    ----------
    scores : Dataset
        From :func:`salzarr.compare`.
    metrics : iterable of str or Metric, optional
        All by default.
    models : sequence of str, optional
        The models to which others are close or not; all by default.
    units : Units, optional
        Units of the images, which are flipped together; by default each image is one.
    margins : mapping of str to float, optional
        Of metrics, in their units: whether a difference lies within -margin and margin is tested.
    repeats : int
        Random sign flips of the permutation test; with few units all flips are taken.
    seed : int

    Returns
    -------
    DataFrame
        One row per comparison on any image. Of a directed metric f, f(model, other) is compared.

        ``metric, model, other_1, other_2``
        ``n, units`` : images on which both pairs have a score, and units of them
        ``difference`` : mean advantage of other_1 in the metric's unit (positive: other_1 is closer to model)
        ``closer`` : name of the closer one, empty if they are equal
        ``probability`` : P(other_1 is closer) over units, a tie one half
        ``d_z`` : mean difference over units, in its standard deviations
        ``p_permutation`` : two-sided, by sign flips of units
        ``p_family, p_all`` : the same, family-wise (step-down max-T) over the metric's rows and over all rows
        ``q_permutation`` : false discovery rate over all rows (Benjamini and Hochberg)
        ``p_smallest`` : smallest p that so many units and flips can give
        ``p_wilcoxon, q_wilcoxon`` : Wilcoxon's signed-rank test of the units' means, alone and as a false
        discovery rate
        ``margin, p_equivalent`` : where a margin is given, two one-sided tests of a difference within it

    Raises
    ------
    UsageError
        If a model or a metric is not in the scores, or a margin is not above 0.
    BudgetError
        If the unit sums of a metric do not fit the memory.

    Examples
    --------
    >>> import salzarr
    >>> rng = np.random.default_rng(0)
    >>> one = rng.random((40, 8, 8))
    >>> maps = {"a": one, "b": one + 0.1 * rng.random(one.shape), "c": rng.random(one.shape)}
    >>> closer(salzarr.compare(maps, "mse"), models=["a"])[["closer", "probability", "p_family"]]
      closer  probability  p_family
    0      b          1.0    0.0001

    References
    ----------
    Benjamini, Hochberg: Controlling the false discovery rate, 1995.
    Westfall, Young: Resampling-Based Multiple Testing, 1993.
    """
    reader = ScoreReader.of(scores)
    scores, memory = reader.scores, reader.memory
    slugs = metric_names(scores) if metrics is None else [metric_slug(scores, m) for m in metrics]
    names = model_names(scores)
    if unknown := [name for name in models or () if name not in names]:
        raise UsageError(f"no model {unknown[0]!r} in these scores; there are {listed(names)}")
    limits = {metric_slug(scores, metric): margin for metric, margin in (margins or {}).items()}
    if wrong := [margin for margin in limits.values() if not margin > 0]:
        raise UsageError(f"a margin of equivalence is above 0, in the metric's unit, not {wrong[0]}")
    anchors = [names.index(name) for name in models or names]
    units = Units.by(scores[IMAGE].values.astype(str).tolist()) if units is None else units
    flips = Flips(units.count, repeats, seed)
    needs = [_sum_bytes(scores, slug, anchors, units) for slug in slugs]
    if max(needs, default=0) > memory // 2:
        raise BudgetError(
            f"the tests of a metric take {format_bytes(2 * max(needs))}, more than the "
            f"{format_bytes(memory)} allowed; give more memory, or name the models to be tested"
        )
    together = sum(needs) <= memory // 2
    tables = []
    for batch in [slugs] if together else [[slug] for slug in slugs]:
        families = [_family(scores, slug, anchors, units) for slug in batch]
        tested = sign_flip_test([contrasts for _, contrasts in families], flips)
        for slug, (frame, contrasts), found in zip(batch, families, tested, strict=True):
            frame["p_permutation"], frame["p_family"] = found.p, found.p_family
            # Over all metrics only where the sums of all are held at once.
            frame["p_all"] = found.p_all if together else np.nan
            frame["p_smallest"] = flips.smallest(contrasts.units)
            if limits:
                margin = limits.get(slug)
                frame["margin"] = np.nan if margin is None else margin
                frame["p_equivalent"] = (
                    np.nan if margin is None else equivalence_test(contrasts, margin, flips)
                )
            tables.append(frame)
    table = pd.concat(tables, ignore_index=True)
    table = table[table["n"] > 0].reset_index(drop=True)
    for test in ("permutation", "wilcoxon"):
        p = table[f"p_{test}"].to_numpy(np.float64)
        table[f"q_{test}"] = stats.false_discovery_control(p) if len(p) else p
    return table[[name for name in COLUMNS if name in table]]


def _triples(
    scores: xr.Dataset, slug: str, anchors: Sequence[int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Name which two models are compared with which: (triple, 3); and their cells' rows: (triple, 2)."""
    place = cells(scores, slug)
    triples = np.array(
        [(a, b, c) for a in anchors for b, c in combinations(np.flatnonzero(place[a] >= 0), 2)], np.intp
    ).reshape(-1, 3)
    return triples, place[triples[:, :1], triples[:, 1:]]


def _sum_bytes(scores: xr.Dataset, slug: str, anchors: Sequence[int], units: Units) -> int:
    """Bytes of the unit sums of a metric's rows, and of the scores while they are summed."""
    rows = len(np.unique(_triples(scores, slug, anchors)[1]))
    return 8 * rows * (units.count + 4 * scores.sizes[IMAGE])


def _family(
    scores: xr.Dataset, slug: str, anchors: Sequence[int], units: Units
) -> tuple[pd.DataFrame, Contrasts]:
    """Compare what is closer to some models by one metric; p of flips is yet to come."""
    names = np.array(model_names(scores), object)
    triples, rows = _triples(scores, slug, anchors)
    model, one, two = triples.T
    needed, ends = np.unique(rows, return_inverse=True)
    ends = ends.reshape(-1, 2)
    variable = metric_rows(scores, slug)
    values = np.asarray(variable.transpose(PAIR, IMAGE).isel({PAIR: needed}).values, np.float64)
    if variable.attrs.get("symmetry") == "antisymmetric":
        values = np.abs(values)
    if variable.attrs["kind"] != "similarity":
        values = -values
    contrasts = Contrasts(values, ends, units)
    n, wilcoxon = _by_unit(values, ends, units)
    advantage = contrasts.mean
    frame = pd.DataFrame(
        {
            "metric": slug,
            "model": names[model],
            "other_1": names[one],
            "other_2": names[two],
            "n": n,
            "units": contrasts.units,
            "difference": advantage,
            "closer": np.select([advantage > 0, advantage < 0], [names[one], names[two]], ""),
            "probability": contrasts.wins,
            "d_z": contrasts.d_z,
            "p_wilcoxon": wilcoxon,
        }
    )
    return frame, contrasts


def _by_unit(values: Floats, ends: NDArray[np.intp], units: Units) -> tuple[NDArray[np.intp], Floats]:
    """Count the common images of each comparison, and test its units' mean differences by Wilcoxon."""
    step = max(1, _BATCH_BYTES // (8 * max(1, values.shape[1])))
    n, p = [np.empty(0, np.intp)], [np.empty(0)]
    for start in range(0, len(ends), step):
        first, second = ends[start : start + step].T
        apart = values[first] - values[second]
        n.append(np.count_nonzero(~np.isnan(apart), axis=1))
        p.append(wilcoxon_test(units.means(apart)))
    return np.concatenate(n), np.concatenate(p)
