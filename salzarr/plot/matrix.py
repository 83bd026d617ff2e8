"""The N x N matrix of a metric, as a heatmap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colorbar import Colorbar
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from scipy.cluster.hierarchy import dendrogram as dendrogram_layout

from salzarr.errors import UsageError
from salzarr.metrics.metric import Metric
from salzarr.plot.style import (
    COUNT,
    MISSING,
    MUTED,
    RULE,
    Scale,
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
from salzarr.statistics.rows import model_names, require_summary
from salzarr.statistics.structure import Clustering, cluster, distances, reference_model
from salzarr.statistics.summary import data_range, to_matrix

ANNOTATED = 15
"""Models up to which the cells carry their numbers."""

GONE: dict[str, Any] = {"facecolor": MISSING, "edgecolor": "#9aa1ac", "linewidth": 0}

Order = Literal["given", "name", "cluster"]


@any_script
def similarity_matrix(
    summary: xr.Dataset,
    metric: str | Metric | None = None,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    statistic: str = "mean",
    order: Order = "given",
    triangle: Literal["full", "lower"] = "full",
    annotate: bool | Literal["auto"] = "auto",
    interval: bool = False,
    dendrogram: bool = True,
    stretch: bool = False,
    title: str | None = None,
) -> Axes:
    """Draw how alike the models are by one metric: a heatmap of N x N cells.

    The more alike, the darker and bluer, for similarities and distances alike. A cell without a score is gray
    and hatched; one over fewer images than others says its n, or has a dot if there are no numbers. Of a
    directed metric f, the cell in row a and column b is f(a, b). Where every pair has one model in common (a
    comparison with a reference), only that model's column is drawn.

    Parameters
    ----------
    summary : Dataset
        From :func:`salzarr.summarize`.
    metric : str or Metric, optional
        Which of its metrics; needed if it has several.
    names : sequence of str, optional
        What to call the models, in the summary's order. Names are never read as mathtext.
    ax : Axes, optional
        Where to draw; by default in a new figure, whose size follows from the number of models.
    statistic : str
        Which statistic of the scores over images.
    order : {"given", "name", "cluster"}
        Of the models; "cluster" puts similar models side by side.
    triangle : {"full", "lower"}
        "lower" shows each pair once.
    annotate : bool or "auto"
        Write the numbers into the cells: "auto" does so up to 15 models.
    interval : bool
        Write the interval of the statistic too; the summary must have been made with a bootstrap.
    dendrogram : bool
        Draw the tree of the clustering beside the matrix, where the order is "cluster".
    stretch : bool
        Spread the colors over the values at hand, instead of between the metric's self value and bound.
    title : str, optional

    Returns
    -------
    Axes
        A notebook shows its figure; :func:`save` writes it.

    Raises
    ------
    UsageError
        If the metric or statistic does not exist, the options contradict each other, or there are too few
        scores to cluster the models.
    """
    require_summary(summary)
    variable = metric_variable(summary, metric)
    slug, call = str(variable.name), str(variable.attrs.get("spec", variable.name))
    known = model_names(summary)
    directed = variable.attrs.get("symmetry") == "directed"
    check_names(names, known)
    if triangle == "lower" and directed:
        raise UsageError(f"{call} is directed, so that its two triangles differ; use triangle='full'")
    require_statistics(variable, [statistic, *_ends(statistic)] if interval else [statistic])
    matrix, counts = (to_matrix(summary, slug, name).values for name in (statistic, COUNT))
    scale = color_scale(variable.attrs, matrix[~np.eye(len(known), dtype=bool)], statistic, stretch=stretch)
    tree = cluster(distances(summary, slug)) if order == "cluster" else None
    rows = columns = arrange(known, order, tree)
    reference = reference_model(summary)
    if reference is not None:
        rows, columns, tree = rows[rows != reference], np.array([reference]), None
    at = np.ix_(rows, columns)
    upper = np.arange(len(rows))[:, None] < np.arange(len(columns))
    hidden = upper & (triangle == "lower" and reference is None)
    cells = Cells(matrix[at], scale, own=rows[:, None] == columns, hidden=hidden)
    most = np.nanmax(counts, initial=0)
    fewer = np.where(counts[at] < most, counts[at], 0).astype(np.int64) * (statistic != COUNT)

    written = len(rows) <= ANNOTATED if annotate == "auto" else annotate
    labels = short(known if names is None else names)
    tree = tree if dendrogram else None
    ax = ensure_axes(
        ax, _size(matrix[at].shape, labels, written=written, beside=1.1 if tree is None else 2.0)
    )
    font = cells.draw(ax)
    name_ticks(ax, "y", range(len(rows)), [labels[k] for k in rows], font)
    name_ticks(ax, "x", range(len(columns)), [labels[k] for k in columns], font)
    if directed:
        _name_axes(ax, call)
    if written:
        ends = [to_matrix(summary, slug, end).values[at] for end in _ends(statistic)] if interval else None
        cells.write(ax, _texts(cells, ends), fewer)
    else:
        cells.dot(ax, fewer > 0)
    if tree is not None:
        _draw_tree(ax, tree)
    cells.legend(ax, legend_label(variable, statistic), away=0.03 if tree is None else 0.2)
    mark = ("n is written" if written else "a dot") if fewer.any() else ""
    heading(ax, call if title is None else title, _note(variable, statistic, mark))
    return ax


def check_names(names: Sequence[str] | None, models: Sequence[str]) -> None:
    """Refuse names that are not one per model."""
    if names is not None and len(names) != len(models):
        raise UsageError(
            f"{len(names)} names for {len(models)} models; give one per model, in the order of the summary"
        )


def _name_axes(ax: Axes, call: str) -> None:
    """Label the axes of a directed metric with the place of each model."""
    ax.set_ylabel("a (row)", color=MUTED, fontsize=8)
    ax.set_xlabel(f"b (column); each cell is {call}(a ‖ b)", color=MUTED, fontsize=8, parse_math=False)


def _size(
    shape: tuple[int, ...], labels: Sequence[str], *, written: bool, beside: float
) -> tuple[float, float]:
    """Return width and height in inches of a matrix with its names, and what stands beside it."""
    rows, columns = shape
    inch = max(0.085, min(0.62 if written else 0.3, 11 / rows))
    margin = 0.075 * max(map(len, labels)) * min(1.0, inch / 0.14) + 0.5
    return columns * inch + margin + beside, rows * inch + margin + 0.5


@dataclass(frozen=True)
class Cells:
    """Values that are drawn as squares in rows and columns.

    Attributes
    ----------
    values : (row, column) float64
        NaN where there is none: hatched, except in cells that are a model's own or hidden.
    scale : Scale
    own, hidden : (row, column) bool
    """

    values: NDArray[np.float64]
    scale: Scale
    own: NDArray[np.bool_]
    hidden: NDArray[np.bool_]

    @property
    def gone(self) -> NDArray[np.bool_]:
        """The cells that are hatched."""
        return ~np.isfinite(self.values) & ~self.own & ~self.hidden

    def draw(self, ax: Axes) -> float:
        """Draw the squares, and return the font size in points that fits their rows."""
        rows, columns = self.values.shape
        shown = np.ma.masked_where(~np.isfinite(self.values) | self.hidden, self.values)
        edge = 0.8 if rows <= 40 else 0.0
        ax.pcolormesh(
            np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5, shown, cmap=self.scale.cmap,
            norm=self.scale.norm, edgecolors="white" if edge else "none", linewidth=edge,
            rasterized=rows > 60, zorder=2,
        )  # fmt: skip
        if self.gone.any():
            squares = [Rectangle((j - 0.5, i - 0.5), 1, 1) for i, j in np.argwhere(self.gone)]
            hatch = "////" if rows <= 40 else None
            ax.add_collection(PatchCollection(squares, **GONE, hatch=hatch, zorder=1.5))
        for spine in ax.spines.values():
            spine.set_visible(False)
        ax.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5), aspect="equal")
        return min(9.0, max(3.5, self._points(ax) * 0.8))

    @property
    def ink(self) -> NDArray[Any]:
        """The color of text on each cell."""
        return np.where(self.scale.dark(np.nan_to_num(self.values)), "white", "black")

    def dot(self, ax: Axes, which: NDArray[np.bool_]) -> None:
        """Draw a dot in some of the cells that have a value."""
        i, j = np.nonzero(which & np.isfinite(self.values) & ~self.hidden)
        ax.scatter(j, i, s=(0.2 * self._points(ax)) ** 2, c=self.ink[i, j], linewidth=0, zorder=3)

    def write(
        self, ax: Axes, texts: NDArray[Any], fewer: NDArray[np.int64] | None = None, longest: int = 0
    ) -> None:
        """Write a text into each cell that has a value, and its n below, unless that is 0.

        The size fits the longest line, or one of so many characters: other panels may have longer ones.
        """
        longest = max(longest, *(len(line) for text in texts.flat for line in str(text).split("\n")))
        size = min(9.0, self._points(ax) / (0.68 * max(longest, 3)))
        ink = self.ink
        for i, j in np.argwhere(np.isfinite(self.values) & ~self.hidden):
            lines = [(i, str(texts[i, j]), size)]
            if fewer is not None and fewer[i, j]:
                lines = [(i - 0.1, str(texts[i, j]), size), (i + 0.32, f"n={fewer[i, j]:,}", 0.7 * size)]
            for y, line, points in lines:
                ax.text(j, y, line, ha="center", va="center", fontsize=points, linespacing=1.35, zorder=3,
                        color=ink[i, j], parse_math=False)  # fmt: skip

    def legend(self, ax: Axes, label: str, away: float) -> None:
        """Draw the colors at the right, ``away`` in heights of the axes."""
        rows, columns = self.values.shape
        draw_legend(ax, self.scale, label, away=away, ratio=rows / columns, gone=bool(self.gone.any()))

    def _points(self, ax: Axes) -> float:
        """Height of a row in points, as far as can be known before the figure is laid out."""
        box, figure = ax.get_position(), ax.get_figure(root=True)
        assert figure is not None
        high = box.height * figure.get_figheight() / self.values.shape[0]
        wide = box.width * figure.get_figwidth() / self.values.shape[1]
        return float(min(high, wide) * 72)


def require_statistics(variable: xr.DataArray, wanted: Sequence[str]) -> None:
    """Refuse a statistic that the summary does not hold."""
    known = [str(s) for s in variable[STATISTIC].values]
    for statistic in wanted:
        if statistic not in known:
            raise UsageError(
                f"no statistic {statistic!r} of {variable.name}; the summary has {', '.join(known)}"
            )


def arrange(names: Sequence[str], order: Order, tree: Clustering | None = None) -> NDArray[np.intp]:
    """Return the indices of the models in an order."""
    if order == "cluster" and tree is not None:
        return np.array([names.index(name) for name in tree.order], np.intp)
    if order == "name":
        return np.array(sorted(range(len(names)), key=lambda k: (names[k].casefold(), names[k])), np.intp)
    return np.arange(len(names))


def tree_lines(tree: Clustering) -> tuple[list[list[float]], list[list[float]]]:
    """Lay out a dendrogram: four heights and four rows of each fork; row 0 is the first leaf."""
    drawn = dendrogram_layout(tree.linkage, no_plot=True)
    return drawn["dcoord"], [[place / 10 - 0.5 for place in fork] for fork in drawn["icoord"]]


def _draw_tree(ax: Axes, tree: Clustering) -> None:
    """Draw the clustering at the right of the rows, its leaves at their centers."""
    side = ax.inset_axes((1.015, 0, 0.15, 1))
    for heights, rows in zip(*tree_lines(tree), strict=True):
        side.plot(heights, rows, color=MUTED, linewidth=0.9, solid_joinstyle="miter")
    side.set(ylim=ax.get_ylim(), xlim=(0, None))
    side.axis("off")


def draw_legend(ax: Axes, scale: Scale, label: str, *, away: float, ratio: float, gone: bool) -> None:
    """Draw the colors at the right of axes that are ``ratio`` times as high as wide, more alike at the top.

    ``away`` is the distance in heights of the axes; ``gone`` adds what the hatching means.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    share = min(0.9, max(0.35, 3.2 / (ax.get_position().height * figure.get_figheight())))
    bar = ax.inset_axes((1 + away * ratio, 1 - share, 0.035 * ratio, share))
    Colorbar(bar, ScalarMappable(scale.norm, scale.cmap))
    bar.set_ylim((scale.high, scale.low) if scale.flip else (scale.low, scale.high))
    bar.tick_params(labelsize=7, length=2, color=RULE, labelcolor=MUTED)
    bar.set_ylabel(label, fontsize=8, color=MUTED, parse_math=False)
    for spine in bar.spines.values():
        spine.set_visible(False)
    if gone:
        swatch = Rectangle((0, -0.09), 1, 0.045, transform=bar.transAxes, clip_on=False, hatch="////", **GONE)
        bar.add_patch(swatch)
        bar.annotate("no score", (1.35, -0.0675), xycoords="axes fraction", fontsize=7, color=MUTED,
                     va="center", annotation_clip=False)  # fmt: skip


def legend_label(variable: xr.DataArray, statistic: str) -> str:
    """Return the name of a statistic with its unit."""
    unit = variable.attrs.get("unit")
    return f"{statistic}, {unit}" if unit and statistic != COUNT else statistic


def _ends(statistic: str) -> list[str]:
    return [f"{statistic}_low", f"{statistic}_high"]


def _texts(cells: Cells, ends: Sequence[NDArray[np.float64]] | None) -> NDArray[Any]:
    """Return the text of each cell: its number, and its interval below if there is one."""
    shape = cells.values.shape
    texts = np.reshape(numbers(cells.values), shape).astype(object)
    if ends is None:
        return texts
    low, high = np.reshape(numbers(ends), (2, *shape)).astype(object)
    return np.where(cells.own | (texts == ""), texts, texts + "\n" + low + " – " + high)


def _note(variable: xr.DataArray, statistic: str, mark: str) -> str:
    """Return the note: what the colors mean, the number of images, and the mark of cells over fewer."""
    counts = variable.sel({STATISTIC: COUNT}).values
    counts = counts[counts > 0]
    least, most = (int(counts.min()), int(counts.max())) if counts.size else (0, 0)
    images = f"{most:,} images" if least == most else f"{least:,}–{most:,} images"
    images += f" ({mark} where it is less than {most:,})" if mark else ""
    itself = float(variable.attrs["self_value"])
    meaning = "" if np.isnan(itself) else f", {itself:g} = identical"
    span = data_range(variable.attrs)
    known = "" if span is None else f" · data range {span:.4g}"
    return f"{statistic} over {images} · {variable.attrs['kind']}{meaning}{known}"
