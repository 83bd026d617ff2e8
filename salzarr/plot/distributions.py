"""How the scores of a pair are spread over the images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

from salzarr.descriptive import STATISTICS, describe
from salzarr.errors import UsageError
from salzarr.metrics.metric import Metric
from salzarr.plot.style import (
    INK,
    MUTED,
    RULE,
    any_script,
    color_scale,
    ensure_axes,
    heading,
    metric_variable,
    name_ticks,
    plain,
    short,
)
from salzarr.schema import MODEL_A, MODEL_B, PAIR
from salzarr.statistics.rows import ScoreReader, model_names

SHOWN = 30
"""Pairs drawn by default."""
FEW = 8
"""Fewer scores are drawn as ticks: a density of them would be invented."""


@any_script
def score_distributions(
    scores: xr.Dataset,
    metric: str | Metric | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the distribution of each pair's scores over images, as violins with quartiles and median.

    Parameters
    ----------
    scores : Dataset
        From :func:`salzarr.compare`.
    metric : str or Metric, optional
        Which of its metrics; needed if it has several.
    pairs : sequence of (str, str), optional
        Which pairs of models; by default all, or of more than 30 the 15 most and the 15 least alike. Of a
        directed metric f, ("a", "b") is f(a, b).
    ax : Axes, optional

    Returns
    -------
    Axes
        The most alike pair at the top.

    Raises
    ------
    UsageError
        If there is no such metric, or no such pair.
    """
    variable = metric_variable(scores, metric)
    directed = variable.attrs.get("symmetry") == "directed"
    ends = (variable[end].values.astype(str).tolist() for end in (MODEL_A, MODEL_B))
    labels = list(zip(*ends, strict=True))
    median = _medians(scores, str(variable.name))
    alike = median if variable.attrs["kind"] == "similarity" else -median
    chosen = np.argsort(-alike, kind="stable")
    chosen = chosen[np.isfinite(median[chosen])]
    found = len(chosen)
    if pairs is not None:
        wanted = {_row(labels, pair, directed=directed) for pair in pairs}
        chosen = np.array([row for row in chosen if row in wanted], np.intp)
    elif found > SHOWN:
        chosen = np.concatenate([chosen[: SHOWN // 2], chosen[-SHOWN // 2 :]])

    ax = ensure_axes(ax, (7.5, 0.29 * max(len(chosen), 2) + 1.5))
    scale = color_scale(variable.attrs, median)
    drawn = [_scores_of(variable, row) for row in chosen]
    for place, (row, values) in enumerate(zip(chosen, drawn, strict=True)):
        _violin(ax, values, place, scale.rgba(median[row]))
    known = model_names(scores)
    names = dict(zip(known, short(known, 20), strict=True))
    between = " → " if directed else " – "
    most = max(map(len, drawn), default=0)
    fewer = [f"  n={len(values):,}" if len(values) < most else "" for values in drawn]
    shown = [
        between.join(names[end] for end in labels[row]) + n for row, n in zip(chosen, fewer, strict=True)
    ]
    name_ticks(ax, "y", range(len(chosen)), shown, 8)
    ax.set_ylim(max(len(chosen), 1) - 0.4, -0.6)
    _frame(ax)
    spec, unit = str(variable.attrs.get("spec", variable.name)), variable.attrs.get("unit")
    ax.set_xlabel(plain(f"{spec} ({unit})" if unit else spec), fontsize=9, color=MUTED, parse_math=False)
    if variable.attrs["kind"] == "dissimilarity":
        ax.invert_xaxis()
    which = ""
    if pairs is None and found > SHOWN:
        which = f"; the {SHOWN // 2} most and the {SHOWN // 2} least alike of {found:,} pairs"
        ax.axhline(SHOWN // 2 - 0.5, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    marks = "bar: quartiles, dot: median" if most >= FEW else "one tick per image"
    over = f"{most:,} images{', or n where it is given' if any(fewer) else ''}"
    note = f"{over}; {marks}; right: more alike{which}"
    heading(ax, f"Scores by pair: {spec}", note)
    return ax


def _medians(scores: xr.Dataset, slug: str) -> NDArray[np.float64]:
    """Return the median of each row of the metric."""
    at = STATISTICS.index("median")
    return np.concatenate([describe(values)[at] for values in ScoreReader(scores).blocks(slug)])


def _scores_of(variable: xr.DataArray, row: int) -> NDArray[np.float64]:
    values = np.asarray(variable.isel({PAIR: row}).values, float)
    return np.sort(values[np.isfinite(values)])


def _row(labels: Sequence[tuple[str, str]], pair: tuple[str, str], *, directed: bool) -> int:
    for spelled in (tuple(pair), tuple(pair)[::-1])[: 1 if directed else 2]:
        if spelled in labels:
            return labels.index(spelled)
    raise UsageError(f"{pair[0]!r} and {pair[1]!r} were not compared; name a pair of the scores")


def _violin(ax: Axes, values: NDArray[np.float64], place: int, color: NDArray[np.float64]) -> None:
    if len(values) < FEW or values[0] == values[-1]:
        ax.plot(values, np.full(len(values), place), "|", color=INK, markersize=8, markeredgewidth=0.9)
        return
    grid = np.linspace(values[0], values[-1], 120)
    # A density of some thousand evenly spaced quantiles cannot be told from that of all scores.
    sample = values if len(values) <= 4000 else np.quantile(values, np.linspace(0, 1, 4000))
    # On a scale of 0 to 1, for the variance of very large or small scores over- or underflows.
    at, span = values[0], values[-1] - values[0]
    density = gaussian_kde((sample - at) / span)((grid - at) / span)
    half = 0.42 * density / density.max()
    outline = np.concatenate([np.stack([grid, place - half], 1), np.stack([grid, place + half], 1)[::-1]])
    ax.add_collection(PolyCollection([outline], facecolor=[color], edgecolor=MUTED, linewidth=0.6, zorder=2))
    q25, q50, q75 = np.quantile(values, [0.25, 0.5, 0.75])
    ax.plot([q25, q75], [place, place], color=INK, linewidth=2.6, solid_capstyle="butt", zorder=3)
    ax.plot(q50, place, "o", color="white", markeredgecolor=INK, markersize=4, markeredgewidth=0.9, zorder=4)
    ax.update_datalim(outline)
    ax.autoscale_view(scaley=False)


def _frame(ax: Axes) -> None:
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(RULE)
    ax.tick_params(axis="x", labelsize=8, labelcolor=MUTED, color=RULE)
    ax.grid(axis="x", color=RULE, linewidth=0.5, zorder=0)
    ax.set_axisbelow(True)
