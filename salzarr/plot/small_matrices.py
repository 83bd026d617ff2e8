"""One matrix per group of images, side by side and on the same colors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr.errors import UsageError
from salzarr.metrics.metric import Metric
from salzarr.plot.matrix import Cells, Order, arrange, draw_legend, legend_label, require_statistics
from salzarr.plot.style import (
    COUNT,
    any_script,
    color_scale,
    ensure_axes,
    heading,
    metric_variable,
    name_ticks,
    numbers,
    short,
)
from salzarr.schema import STATISTIC
from salzarr.scores.labels import GROUP
from salzarr.statistics.rows import metric_rows, model_names
from salzarr.statistics.structure import cluster, distances
from salzarr.statistics.summary import to_matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes


COLUMNS = 4
PANELS = 24
"""Groups that are drawn, those with the most images first."""
NAMED, WRITTEN = 30, 10
"""Models up to which the panels carry names, and numbers."""


@any_script
def group_panels(
    groups: xr.Dataset,
    metric: str | Metric | None = None,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    statistic: str = "mean",
    order: Order = "given",
    stretch: bool = False,
) -> Axes:
    """Draw a small matrix per group of images, all in the same order and on the same colors.

    Parameters
    ----------
    groups : Dataset
        From :func:`salzarr.summarize` with groups.
    metric : str or Metric, optional
        Which of its metrics; needed if it has several.
    names : sequence of str, optional
        What to call the models, in the summary's order.
    ax : Axes, optional
        The panels become insets of it.
    statistic : str
    order : {"given", "name", "cluster"}
        "cluster" is that of the first group.
    stretch : bool
        Spread the colors over the values at hand.

    Returns
    -------
    Axes
        Its ``child_axes`` are the panels, then the legend.

    Raises
    ------
    UsageError
        If the summary has no groups, or there is no such metric or statistic.
    """
    if GROUP not in groups.dims:
        raise UsageError("this summary has no groups; make it with summarize(scores, group_by=...)")
    variable = metric_variable(groups, metric)
    slug, known = str(variable.name), model_names(groups)
    require_statistics(variable, [statistic])
    chosen = largest(groups, slug, PANELS)
    parts = [groups.sel({GROUP: label}) for label in chosen]
    tree = cluster(distances(parts[0], slug)) if order == "cluster" else None
    rows = arrange(known, order, tree)
    matrices = [to_matrix(part, slug, statistic).values[np.ix_(rows, rows)] for part in parts]
    own = np.eye(len(known), dtype=bool)
    scale = color_scale(variable.attrs, [m[~own] for m in matrices], statistic, stretch=stretch)
    labels = [short(known if names is None else names, 18)[k] for k in rows] if len(known) <= NAMED else []

    across = min(COLUMNS, len(parts))
    panel = 2.1 if len(known) <= 5 else 2.8
    wide, high = across * (panel + 0.2), math.ceil(len(parts) / across) * (panel + 0.5)
    room = 0.06 * max(map(len, labels), default=0)
    ax = ensure_axes(ax, (wide + room + 1.2, high + room + 0.8))
    ax.axis("off")
    texts = np.reshape(numbers(matrices), (len(parts), *own.shape)).astype(object)
    longest = max(len(text) for text in texts.flat)
    gone = False
    for k, (label, part, values) in enumerate(zip(chosen, parts, matrices, strict=True)):
        row, column = divmod(k, across)
        left, top = column * (panel + 0.2), row * (panel + 0.5) + 0.3
        inset = ax.inset_axes(
            (left / wide, 1 - (top + panel) / high, panel / wide, panel / high), anchor="NW"
        )
        cells = Cells(values, scale, own, np.zeros_like(own))
        font = min(7.0, cells.draw(inset))
        if len(known) <= WRITTEN:
            cells.write(inset, texts[k], longest=longest)
        gone |= bool(cells.gone.any())
        title = (
            f"{short([label], 26)[0]}  n = {_range(metric_rows(part, slug).sel({STATISTIC: COUNT}).values)}"
        )
        inset.set_title(title, loc="left", fontsize=8, parse_math=False)
        for axis, outer in (("y", column == 0), ("x", k + across >= len(parts))):
            named = labels if outer else []
            name_ticks(inset, axis, range(len(named)), named, font)
    draw_legend(ax, scale, legend_label(variable, statistic), away=0.1 / high, ratio=high / wide, gone=gone)
    of = (
        f"the largest of {groups.sizes[GROUP]:,} groups"
        if len(chosen) < groups.sizes[GROUP]
        else "each group"
    )
    title = f"{variable.attrs.get('spec', slug)} by group of images"
    heading(ax, title, f"{statistic} over the images of {of}; n: images")
    return ax


def largest(groups: xr.Dataset, slug: str, most: int) -> list[str]:
    """Return the groups that have the most images, in the order of the summary."""
    counts = metric_rows(groups, slug).sel({STATISTIC: COUNT})
    size = counts.max([dim for dim in counts.dims if dim != GROUP]).values
    kept = np.sort(np.argsort(-size, kind="stable")[:most])
    return [str(label) for label in groups[GROUP].values[kept]]


def _range(counts: NDArray[np.float64]) -> str:
    low, high = (int(counts.min()), int(counts.max())) if counts.size else (0, 0)
    return f"{high:,}" if low == high else f"{low:,}–{high:,}"
