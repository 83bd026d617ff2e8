"""The structure among the models that a matrix shows: clusters, a map of the models, agreement of metrics.

Everything here starts from a summary, by way of :func:`distances`, and survives cells without a score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import pdist, squareform

from salzarr.descriptive import Floats
from salzarr.errors import UsageError
from salzarr.metrics.metric import Metric
from salzarr.schema import MODEL, MODEL_A, MODEL_B, PAIR
from salzarr.statistics.rows import model_names
from salzarr.statistics.summary import to_matrix


def distances(summary: xr.Dataset, metric: str | Metric, statistic: str = "mean") -> xr.DataArray:
    """Turn a metric's matrix into distances: symmetric, at least 0, and 0 on the diagonal.

    Parameters
    ----------
    summary : Dataset
        From :func:`salzarr.summarize`, of one group.
    metric : str or Metric
    statistic : str
        Which statistic over images stands for a pair.

    Returns
    -------
    DataArray (model_a, model_b) float64
        How far a score lies from that of a map with itself (1 - r of a correlation, the value itself of an
        error); the mean of both directions of a directed metric; NaN where there is no score.
    """
    matrix = to_matrix(summary, metric, statistic)
    values = matrix.values.copy()
    np.fill_diagonal(values, np.nan)
    if matrix.attrs.get("symmetry") == "antisymmetric":
        values = np.abs(values)
    own = float(matrix.attrs.get("self_value", np.nan))
    if np.isnan(own):  # a user's metric that does not say: its closest pair is taken as the same
        best = np.fmax if matrix.attrs["kind"] == "similarity" else np.fmin
        own = best.reduce(values, axis=None, initial=np.nan)
    apart = own - values if matrix.attrs["kind"] == "similarity" else values - own
    apart = np.maximum((apart + apart.T) / 2, 0)
    np.fill_diagonal(apart, 0)
    return matrix.copy(data=apart)


def reference_model(summary: xr.Dataset) -> int | None:
    """Find the model that is part of every pair, where the others are never compared."""
    known = model_names(summary)
    if len(known) <= 2 or summary.sizes[PAIR] == len(known) * (len(known) - 1) // 2:
        return None
    a, b = summary[MODEL_A].values, summary[MODEL_B].values
    return next((k for k, name in enumerate(known) if ((a == name) | (b == name)).all()), None)


@dataclass(frozen=True)
class Clustering:
    """A hierarchy of the models.

    Attributes
    ----------
    linkage : (merge, 4) float64
        As :func:`scipy.cluster.hierarchy.linkage` makes it, over ``models``.
    models : tuple of str
        The models that have a score with any other.
    order : tuple of str
        All models as the leaves lie from left to right; those without any score come last.
    """

    linkage: Floats
    models: tuple[str, ...]
    order: tuple[str, ...]


def cluster(distances: xr.DataArray, method: str = "average") -> Clustering:
    """Cluster the models hierarchically, and order the leaves so that neighbors are alike.

    Parameters
    ----------
    distances : DataArray (model_a, model_b)
        From :func:`distances`. A missing one is guessed as the middle of what the triangle inequality allows,
        given the distances of both models to all others.
    method : str
        Method of the linkage.

    Returns
    -------
    Clustering

    Raises
    ------
    UsageError
        If fewer than half of the distances are known, as when all models were compared with one alone.

    See Also
    --------
    scipy.cluster.hierarchy.linkage, scipy.cluster.hierarchy.dendrogram

    Examples
    --------
    >>> names = ["a", "b", "c"]
    >>> coords = {"model_a": names, "model_b": names}
    >>> apart = xr.DataArray([[0, 9, 1], [9, 0, 8], [1, 8, 0]], coords, ("model_a", "model_b"))
    >>> cluster(apart).order
    ('b', 'c', 'a')

    References
    ----------
    Bar-Joseph, Gifford, Jaakkola: Fast optimal leaf ordering for hierarchical clustering, 2001.
    """
    kept, known = _scored(distances)
    merges = linkage(squareform(_guess(known), checks=False), method=method, optimal_ordering=True)
    names = [str(name) for name in distances[MODEL_A].values]
    models = [names[i] for i in kept]
    order = [models[i] for i in leaves_list(merges)]
    rest = [name for i, name in enumerate(names) if i not in set(kept.tolist())]
    return Clustering(merges, tuple(models), (*order, *rest))


def embed(
    distances: xr.DataArray, *, dims: int = 2, starts: int | None = None, seed: int = 0
) -> xr.DataArray:
    """Place the models so that they lie as far apart as their distances say: metric MDS.

    Parameters
    ----------
    distances : DataArray (model_a, model_b)
        From :func:`distances`. A missing one carries no weight.
    dims : int
        Number of axes.
    starts : int, optional
        Number of random starts beside classical scaling, of which the best is kept; by default 8, or 1 for
        more than 60 models.
    seed : int
        Seed of the random starts.

    Returns
    -------
    DataArray (model, axis) float64
        Positions in the metric's unit, centered, the longest axis first; NaN for a model without any score.
        ``attrs["stress"]`` is Kruskal's stress-1, √(Σ(d - δ)² / Σd²) over the known pairs, d in the picture
        and δ as wanted: 0 is perfect, and above 0.2 the picture should not be trusted.

    Raises
    ------
    UsageError
        If fewer than half of the distances are known.

    Examples
    --------
    >>> names = ["a", "b", "c"]
    >>> coords = {"model_a": names, "model_b": names}
    >>> apart = xr.DataArray([[0, 9, 1], [9, 0, 8], [1, 8, 0]], coords, ("model_a", "model_b"))
    >>> embed(apart, dims=1).values.round(1).ravel().tolist()
    [-3.3, 5.7, -2.3]

    References
    ----------
    Borg, Groenen: Modern Multidimensional Scaling, 2nd edition, 2005, section 8.5 (SMACOF with weights).
    Kruskal: Multidimensional scaling by optimizing goodness of fit to a nonmetric hypothesis, 1964.

    See Also
    --------
    sklearn.manifold.MDS, sklearn.manifold.smacof
    """
    order = np.argsort(distances[MODEL_A].values.astype(str))  # so that the starts do not depend on the order
    kept, known = _scored(distances[order, order])
    unit = np.ldexp(
        1.0, int(np.frexp(np.nanmax(known))[1])
    )  # a power of two: squares neither over- nor underflow
    known /= unit
    weight = np.where(np.isnan(known), 0.0, 1.0)
    np.fill_diagonal(weight, 0)
    target = np.where(weight > 0, known, 0.0)
    rng = np.random.default_rng(seed)
    if starts is None:
        starts = 8 if len(kept) <= 60 else 1
    size = max(float(target.max()), np.finfo(float).tiny)
    begin = [_classical(_guess(known), dims), *(rng.normal(0, size, (starts, len(kept), dims)))]
    _, best = min((_smacof(target, weight, start) for start in begin), key=lambda result: result[0])
    _, best = _smacof(target, weight, best, steps=5000)
    placed = np.full((len(order), dims), np.nan)
    placed[order[kept]] = _upright(best) * unit
    between = weight * squareform(pdist(best))
    scale = float((between**2).sum())
    stress = float(np.sqrt(((between - target) ** 2).sum() / scale)) if scale > 0 else 0.0
    return xr.DataArray(
        placed,
        dims=[MODEL, "axis"],
        coords={MODEL: distances[MODEL_A].values},
        name=distances.name,
        attrs={"stress": stress},
    )


def _scored(distances: xr.DataArray) -> tuple[NDArray[np.intp], Floats]:
    """Positions of the models with any distance, and the distances among them; refuse too few."""
    values = np.array(distances.values, np.float64)
    np.fill_diagonal(values, np.nan)
    kept = np.flatnonzero(np.isfinite(values).any(axis=1))
    known = values[np.ix_(kept, kept)]
    cells = len(kept) * (len(kept) - 1)
    found = int(np.isfinite(known).sum())
    if len(kept) < 2 or found < cells / 2:
        raise UsageError(
            f"{found // 2} of {cells // 2} pairs of models have a score, and it takes at least half of them "
            "to place the models; compare all pairs"
        )
    np.fill_diagonal(known, 0)
    return kept, known


def _guess(known: Floats) -> Floats:
    """Fill missing distances with the middle of what the triangle inequality leaves open."""
    filled = known.copy()
    for i, j in np.argwhere(np.triu(np.isnan(known))):
        apart, around = np.abs(known[i] - known[j]), known[i] + known[j]
        guess = (np.fmax.reduce(apart) + np.fmin.reduce(around)) / 2
        filled[i, j] = filled[j, i] = np.nanmean(known) if np.isnan(guess) else guess
    return filled


def _classical(distances: Floats, dims: int) -> Floats:
    """Classical (Torgerson) scaling, the usual start."""
    centring = np.eye(len(distances)) - 1 / len(distances)
    values, vectors = np.linalg.eigh(-0.5 * centring @ distances**2 @ centring)
    placed = np.zeros((len(distances), dims))
    use = min(dims, len(values))
    top = slice(-1, -use - 1, -1)
    placed[:, :use] = vectors[:, top] * np.sqrt(np.maximum(values[top], 0))
    return placed


def _smacof(target: Floats, weight: Floats, placed: Floats, steps: int = 300) -> tuple[float, Floats]:
    """Majorise the raw stress Σ w (d - δ)² over ordered pairs from one start: (stress, positions)."""
    solve = np.linalg.pinv(np.diag(weight.sum(axis=1)) - weight)
    before = np.inf
    for _ in range(steps):
        between = squareform(pdist(placed))
        stress = float((weight * (between - target) ** 2).sum())
        if before - stress <= 1e-10 * stress:
            break
        before = stress
        ratio = np.divide(weight * target, between, out=np.zeros_like(between), where=between > 0)
        placed = solve @ ((np.diag(ratio.sum(axis=1)) - ratio) @ placed)
    return stress, placed


def _upright(placed: Floats) -> Floats:
    """Turn positions onto their principal axes, the furthest model on the positive side of each."""
    centered = placed - placed.mean(axis=0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    turned = np.zeros_like(centered)
    turned[:, : len(axes)] = centered @ axes.T
    furthest = turned[np.argmax(np.abs(turned), axis=0), np.arange(turned.shape[1])]
    found: Floats = turned * np.where(furthest < 0, -1.0, 1.0)
    return found
