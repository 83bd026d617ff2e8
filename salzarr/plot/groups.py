"""One matrix per group of images, side by side and on the same colours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from salzarr.errors import UsageError
from salzarr.plot.matrix import arrange, draw_cells, draw_legend, require_statistics
from salzarr.plot.style import (
    COUNT,
    colour_scale,
    ensure_axes,
    heading,
    metric_variable,
    name_ticks,
    short,
)
from salzarr.schema import STATISTIC
from salzarr.statistics.groups import GROUP
from salzarr.statistics.rows import model_names
from salzarr.statistics.structure import cluster, distances
from salzarr.statistics.summary import NO_SELF, to_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from salzarr.metrics.metric import Metric
    from salzarr.plot.matrix import Order

COLUMNS = 4
PANELS = 24
"""How many groups are drawn; of more, those with the most images."""
NAMED = 30
"""Up to how many models the panels carry names."""


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
    """Draw a small matrix per group of images, all in the same order and on the same colours.

    Parameters
    ----------
    groups : Dataset
        Of :func:`salzarr.summarize` with groups.
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
        Spread the colours over the values at hand.

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
        raise UsageError("this summary has no groups; make it with summarize(scores, groups=...)")
    variable = metric_variable(groups, metric)
    slug, known = str(variable.name), model_names(groups)
    require_statistics(variable, [statistic])
    chosen = largest(groups, slug, PANELS)
    parts = [groups.sel({GROUP: label}) for label in chosen]
    tree = cluster(distances(parts[0], slug)) if order == "cluster" else None
    rows = arrange(known, order, tree)
    matrices = [to_matrix(part, slug, statistic).values[np.ix_(rows, rows)] for part in parts]
    own = np.eye(len(known), dtype=bool)
    scale = colour_scale(variable.attrs, [m[~own] for m in matrices], statistic, stretch=stretch)
    labels = [short(known if names is None else names, 18)[k] for k in rows]

    across = min(COLUMNS, len(parts))
    down = math.ceil(len(parts) / across)
    panel = 2.1 if len(known) <= 15 else 2.8
    named = len(known) <= NAMED
    font = min(7.0, max(4.0, panel * 72 / len(known) * 0.8))
    room = 0.6 * font * max(map(len, labels)) / 72 if named else 0.0
    wide, high = across * (panel + 0.2), down * (panel + 0.5)
    ax = ensure_axes(ax, (wide + room + 1.2, high + room + 0.8))
    ax.axis("off")
    for k, (label, part, values) in enumerate(zip(chosen, parts, matrices, strict=True)):
        row, column = divmod(k, across)
        box = (
            column * (panel + 0.2) / wide,
            1 - (row * (panel + 0.5) + panel + 0.3) / high,
            panel / wide,
            panel / high,
        )
        inset = ax.inset_axes(box)
        draw_cells(inset, values, scale, own, np.zeros_like(own))
        inset.set_anchor("NW")
        counts = part[slug].sel({STATISTIC: COUNT}).values
        inset.set_title(
            f"{short([label], 26)[0]}  n = {_range(counts)}", loc="left", fontsize=8, parse_math=False
        )
        name_ticks(
            inset,
            "y",
            range(len(rows)) if named and column == 0 else [],
            labels if named and column == 0 else [],
            font,
        )
        last = named and k + across >= len(parts)
        name_ticks(inset, "x", range(len(rows)) if last else [], labels if last else [], font)
    spec, unit = str(variable.attrs.get("spec", slug)), variable.attrs.get("unit")
    draw_legend(
        ax,
        scale,
        f"{statistic}, {unit}" if unit and statistic != COUNT else statistic,
        1.01,
        high,
        gone=any(np.isnan(m[~own]).any() for m in matrices),
        flip=variable.attrs["kind"] == "dissimilarity" and statistic not in NO_SELF,
    )
    of = (
        "each group"
        if len(chosen) == groups.sizes[GROUP]
        else f"the largest of {groups.sizes[GROUP]:,} groups"
    )
    heading(ax, f"{spec} by group of images", f"{statistic} over the images of {of}; n: images")
    return ax


def largest(groups: xr.Dataset, slug: str, most: int) -> list[str]:
    """Name the groups that have the most images, in the order of the summary."""
    counts = groups[slug].sel({STATISTIC: COUNT})
    size = counts.max([dim for dim in counts.dims if dim != GROUP]).values
    kept = np.sort(np.argsort(-size, kind="stable")[:most])
    return [str(label) for label in groups[GROUP].values[kept]]


def _range(counts: NDArray[np.float64]) -> str:
    low, high = (int(counts.min()), int(counts.max())) if counts.size else (0, 0)
    return f"{high:,}" if low == high else f"{low:,}–{high:,}"
