"""The models as points on a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr.metrics.metric import Metric
from salzarr.plot.style import (
    ACCENT,
    INK,
    RULE,
    any_script,
    ensure_axes,
    heading,
    metric_variable,
    short,
)
from salzarr.schema import MODEL
from salzarr.statistics import structure
from salzarr.statistics.rows import model_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes


POOR_STRESS = 0.2
"""Stress above which the plane distorts the distances."""
PLACES: tuple[tuple[int, int, Literal["left", "center", "right"]], ...] = (
    (6, 0, "left"), (-6, 0, "right"), (0, 8, "center"), (0, -8, "center"),
    (5, 6, "left"), (5, -6, "left"), (-5, 6, "right"), (-5, -6, "right"),
)  # fmt: skip
"""Offsets of a name from its point, in points, the best first."""
FAR: tuple[tuple[int, int, Literal["center"]], ...] = (
    (0, 20, "center"), (0, -20, "center"), (0, 32, "center"), (0, -32, "center"),
)  # fmt: skip
"""Further offsets among few points, with a line to the name."""


@any_script
def model_map(
    summary: xr.Dataset,
    metric: str | Metric | None = None,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    statistic: str = "mean",
    seed: int = 0,
) -> Axes:
    """Draw the models as points, the closer the more alike (multidimensional scaling).

    Parameters
    ----------
    summary : Dataset
        From :func:`salzarr.summarize`.
    metric : str or Metric, optional
        Which of its metrics; needed if it has several.
    names : sequence of str, optional
        What to call the models, in the summary's order.
    ax : Axes, optional
    statistic : str
        Which statistic stands for a pair.
    seed : int
        From :func:`salzarr.statistics.structure.embed`.

    Returns
    -------
    Axes
        Names that would cover others are left out, and the note says how many.

    Raises
    ------
    UsageError
        If there is no such metric, or too few scores to place the models.
    """
    variable = metric_variable(summary, metric)
    known = model_names(summary)
    apart = structure.distances(summary, str(variable.name), statistic)
    placed = structure.embed(apart, seed=seed).sel({MODEL: known})
    points = placed.values
    there = np.isfinite(points).all(axis=1)
    labels = [
        name for name, ok in zip(short(known if names is None else names, 22), there, strict=True) if ok
    ]
    points = points[there]

    side = 5.0 if len(points) <= 15 else 7.5 if len(points) <= 60 else 11.0
    span = np.maximum(np.ptp(points, axis=0), 1e-9 + 0.25 * np.ptp(points, axis=0).max())
    ax = ensure_axes(ax, (side + 1.4, side * min(1.2, span[1] / span[0]) + 1.2))
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    low, high = middle - span * [0.72, 0.6], middle + span * [0.72, 0.6]
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_color(RULE)
    ax.scatter(
        points[:, 0],
        points[:, 1],
        s=34 if len(points) <= 60 else 14,
        color=ACCENT,
        edgecolor="white",
        linewidth=0.8,
        zorder=3,
    )
    size = 8.5 if len(points) <= 30 else 6.5
    left_out = _label_points(ax, points, labels, size)
    stress = float(placed.attrs["stress"])
    trust = "the plane distorts the distances" if stress > POOR_STRESS else "the closer, the more alike"
    note = f"{trust}; stress {stress:.2f}"
    note += f"; names left out for room: {left_out}" if left_out else ""
    heading(ax, f"Map of the models: {variable.attrs.get('spec', variable.name)}", note)
    return ax


def _label_points(ax: Axes, points: NDArray[np.float64], labels: Sequence[str], size: float) -> int:
    """Write each name beside its point where it covers nothing; return how many did not fit."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    box = ax.get_position()
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    inches = box.width * figure.get_figwidth(), box.height * figure.get_figheight()
    unit = 72 * min(inches[0] / (x1 - x0), inches[1] / (y1 - y0))
    at = (points - [x0, y0]) * unit
    taken = [np.array([x - 3, y - 3, x + 3, y + 3]) for x, y in at]
    edge = np.array([0, 0, (x1 - x0) * unit, (y1 - y0) * unit])
    left_out = 0
    for own, (name, (x, y)) in enumerate(zip(labels, at, strict=True)):
        wide = 0.62 * size * len(name)
        for dx, dy, align in (*PLACES, *(FAR if len(points) <= 12 else ())):
            start = x + dx - {"left": 0, "center": wide / 2, "right": wide}[align]
            area = np.array([start, y + dy - size / 2, start + wide, y + dy + size / 2])
            inside = (area[:2] >= edge[:2]).all() and (area[2:] <= edge[2:]).all()
            others = (t for k, t in enumerate(taken) if k != own)
            if inside and not any((area[:2] < t[2:]).all() and (t[:2] < area[2:]).all() for t in others):
                taken.append(area)
                line = {"arrowstyle": "-", "color": RULE} if abs(dy) > 8 else None
                ax.annotate(name, points[own], (dx, dy), textcoords="offset points", ha=align, va="center",
                            fontsize=size, color=INK, parse_math=False, zorder=4,
                            arrowprops=line)  # fmt: skip
                break
        else:
            left_out += 1
    return left_out
