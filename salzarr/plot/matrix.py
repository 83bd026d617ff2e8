"""The N x N matrix of a metric, as a heatmap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colorbar import Colorbar
from matplotlib.patches import Rectangle
from scipy.cluster.hierarchy import dendrogram as dendrogram_layout

from salzarr.errors import UsageError
from salzarr.plot.style import (
    COUNT,
    INK,
    MISSING,
    MUTED,
    RULE,
    Scale,
    colour_scale,
    ensure_axes,
    heading,
    metric_variable,
    name_ticks,
    numbers,
    short,
)
from salzarr.statistics.rows import model_names
from salzarr.statistics.structure import cluster, distances
from salzarr.statistics.summary import NO_SELF, to_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from salzarr.metrics.metric import Metric
    from salzarr.statistics.structure import Clustering

ANNOTATED = 15
"""Up to how many models the cells of a matrix carry their numbers."""

_GONE: dict[str, Any] = {"facecolor": MISSING, "edgecolor": "#9aa1ac", "linewidth": 0}

Order = Literal["given", "name", "cluster"]


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

    The more alike, the darker and bluer, for similarities and distances alike. A cell without a score is grey
    and hatched. Of a directed metric f, the cell in row a and column b is f(a, b). Where every pair has one
    model in common (a comparison with a reference), only that model's column is drawn.

    Parameters
    ----------
    summary : Dataset
        Of :func:`salzarr.summarize`.
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
        Spread the colours over the values at hand, instead of between the metric's self value and bound.
    title : str, optional

    Returns
    -------
    Axes
        Of a figure that pyplot does not know: show it as ``ax.figure``, write it by :func:`save`.

    Raises
    ------
    UsageError
        If the metric or statistic does not exist, the options contradict each other, or there are too few
        scores to cluster the models.
    """
    variable = metric_variable(summary, metric)
    slug = str(variable.name)
    directed = "direction" in variable.dims
    known = model_names(summary)
    if names is not None and len(names) != len(known):
        raise UsageError(
            f"{len(names)} names for {len(known)} models; give one per model, in the summary's order"
        )
    if triangle == "lower" and directed:
        raise UsageError(
            f"{variable.name} is directed, its two triangles differ; draw it with triangle='full'"
        )
    require_statistics(
        variable, [statistic, *([f"{statistic}_low", f"{statistic}_high"] if interval else [])]
    )

    matrix = to_matrix(summary, slug, statistic).values
    tree = cluster(distances(summary, slug)) if order == "cluster" else None
    rows = columns = arrange(known, order, tree)
    reference = reference_model(summary)
    if reference is not None:
        rows, columns, tree = rows[rows != reference], np.array([reference]), None
    values = matrix[np.ix_(rows, columns)]
    own = rows[:, None] == columns[None, :]
    hidden = (
        np.triu(np.ones(values.shape, bool), 1)
        if triangle == "lower" and reference is None
        else np.zeros_like(own)
    )
    scale = colour_scale(variable.attrs, matrix[~np.eye(len(known), dtype=bool)], statistic, stretch=stretch)

    written = len(rows) <= ANNOTATED if annotate == "auto" else annotate
    cell = max(0.085, min(0.62 if written else 0.3, 11 / len(rows)))
    labels = short(known if names is None else names)
    margin = 0.075 * max(map(len, labels)) * min(1.0, cell / 0.14) + 0.5
    show_tree = tree is not None and dendrogram
    size = (len(columns) * cell + margin + (2.0 if show_tree else 1.1), len(rows) * cell + margin + 0.5)
    ax = ensure_axes(ax, size)

    draw_cells(ax, values, scale, own, hidden)
    font = min(9.0, max(3.5, _cell_points(ax, len(rows)) * 0.8))
    name_ticks(ax, "y", range(len(rows)), [labels[k] for k in rows], font)
    name_ticks(ax, "x", range(len(columns)), [labels[k] for k in columns], font)
    if directed:
        call = variable.attrs.get("spec", variable.name)
        ax.set_ylabel("a (row)", color=MUTED, fontsize=8)
        ax.set_xlabel(f"b (column); each cell is {call}(a ‖ b)", color=MUTED, fontsize=8, parse_math=False)
    if written:
        texts = np.reshape(numbers(values), values.shape).astype(object)
        if interval:
            ends = [
                to_matrix(summary, slug, f"{statistic}_{end}").values[np.ix_(rows, columns)]
                for end in ("low", "high")
            ]
            low, high = np.reshape(numbers(ends), (2, *values.shape)).astype(object)
            texts = np.where(own | (texts == ""), texts, texts + "\n" + low + " – " + high)
        write_numbers(ax, values, texts, scale, hidden, font)
    if tree is not None and show_tree:
        _draw_tree(ax, tree)
    gone = bool((~np.isfinite(values) & ~own & ~hidden).any())
    unit = variable.attrs.get("unit")
    draw_legend(
        ax,
        scale,
        f"{statistic}, {unit}" if unit and statistic != COUNT else statistic,
        1.2 if show_tree else 1.03,
        len(rows) * cell,
        gone=gone,
        flip=variable.attrs["kind"] == "dissimilarity" and statistic not in NO_SELF,
    )
    heading(
        ax,
        str(variable.attrs.get("spec", variable.name)) if title is None else title,
        _note(summary, variable, statistic),
    )
    return ax


def require_statistics(variable: xr.DataArray, wanted: Sequence[str]) -> None:
    """Refuse a statistic that the summary does not hold."""
    known = [str(s) for s in variable["statistic"].values]
    for statistic in wanted:
        if statistic not in known:
            raise UsageError(f"the summary of {variable.name} has no {statistic!r}, only {', '.join(known)}")


def arrange(names: Sequence[str], order: Order, tree: Clustering | None = None) -> NDArray[np.intp]:
    """Put the indices of the models in an order."""
    if order == "cluster" and tree is not None:
        return np.array([names.index(name) for name in tree.order], np.intp)
    if order == "name":
        return np.array(sorted(range(len(names)), key=lambda k: (names[k].casefold(), names[k])), np.intp)
    return np.arange(len(names))


def tree_lines(tree: Clustering) -> tuple[list[list[float]], list[list[float]]]:
    """Lay out a dendrogram: four heights of each fork, and four rows (0 is the first leaf)."""
    drawn = dendrogram_layout(tree.linkage, no_plot=True)
    return drawn["dcoord"], [[place / 10 - 0.5 for place in fork] for fork in drawn["icoord"]]


def reference_model(summary: xr.Dataset) -> int | None:
    """Find the model that is part of every pair, where the others are never compared."""
    known = model_names(summary)
    if len(known) <= 2 or summary.sizes["pair"] == len(known) * (len(known) - 1) // 2:
        return None
    a, b = summary["model_a"].values, summary["model_b"].values
    return next((k for k, name in enumerate(known) if ((a == name) | (b == name)).all()), None)


def draw_cells(
    ax: Axes, values: NDArray[np.float64], scale: Scale, own: NDArray[np.bool_], hidden: NDArray[np.bool_]
) -> None:
    """Draw values as cells; those that are NaN are hatched, unless they are a model's own, or hidden."""
    rows, columns = values.shape
    shown = np.ma.masked_where(~np.isfinite(values) | hidden, values)
    edge = 0.8 if rows <= 40 else 0.0
    ax.pcolormesh(
        np.arange(columns + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        shown,
        cmap=scale.cmap,
        norm=scale.norm,
        edgecolors="white" if edge else "none",
        linewidth=edge,
        rasterized=rows > 60,
        zorder=2,
    )
    gone = np.argwhere(~np.isfinite(values) & ~own & ~hidden)
    if len(gone):
        squares = [Rectangle((j - 0.5, i - 0.5), 1, 1) for i, j in gone]
        ax.add_collection(PatchCollection(squares, **_GONE, hatch="////" if rows <= 40 else None, zorder=1.5))
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5), aspect="equal")


def write_numbers(
    ax: Axes,
    values: NDArray[np.float64],
    texts: NDArray[Any],
    scale: Scale,
    hidden: NDArray[np.bool_],
    font: float,
) -> None:
    """Write a text into each cell that has a value, of a size that fits."""
    dark = scale.dark(np.nan_to_num(values))
    longest = max(len(line) for text in texts.flat for line in str(text).split("\n"))
    size = min(font, _cell_points(ax, len(values)) / (0.68 * max(longest, 3)))
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value) and not hidden[i, j]:
            ax.text(
                j,
                i,
                str(texts[i, j]),
                ha="center",
                va="center",
                fontsize=size,
                zorder=3,
                linespacing=1.35,
                color="white" if dark[i, j] else INK,
                parse_math=False,
            )


def _cell_points(ax: Axes, rows: int) -> float:
    """Height of a cell in points, as far as can be known before the figure is laid out."""
    box = ax.get_position()
    figure = ax.get_figure(root=True)
    assert figure is not None
    return float(min(box.height * figure.get_figheight(), box.width * figure.get_figwidth()) * 72 / rows)


def _draw_tree(ax: Axes, tree: Clustering) -> None:
    """Draw the clustering at the right of the rows, its leaves at their centres."""
    side = ax.inset_axes((1.015, 0, 0.15, 1))
    for heights, rows in zip(*tree_lines(tree), strict=True):
        side.plot(heights, rows, color=MUTED, linewidth=0.9, solid_joinstyle="miter")
    side.set(ylim=ax.get_ylim(), xlim=(0, None))
    side.axis("off")


def draw_legend(
    ax: Axes, scale: Scale, label: str, left: float, height: float, *, gone: bool = False, flip: bool = False
) -> None:
    """Draw the colours at the right of the cells, ``left`` in widths of the axes, whose height is in inches.

    ``gone`` explains the hatching; ``flip`` puts small values at the top, where more alike is.
    """
    share = min(0.9, max(0.35, 3.2 / height))
    bar = ax.inset_axes((left, 1 - share, 0.035, share))
    Colorbar(bar, ScalarMappable(scale.norm, scale.cmap))
    bar.set_ylim(scale.low, scale.high)
    bar.tick_params(labelsize=7, length=2, color=RULE, labelcolor=MUTED)
    for spine in bar.spines.values():
        spine.set_visible(False)
    if flip:
        bar.invert_yaxis()
    if gone:
        bar.add_patch(
            Rectangle((0, -0.09), 1, 0.045, transform=bar.transAxes, clip_on=False, hatch="////", **_GONE)
        )
        bar.annotate(
            "no score",
            (1.35, -0.0675),
            xycoords="axes fraction",
            fontsize=7,
            color=MUTED,
            va="center",
            annotation_clip=False,
        )
    bar.set_ylabel(label, fontsize=8, color=MUTED, parse_math=False)


def _note(summary: xr.Dataset, variable: xr.DataArray, statistic: str) -> str:
    """Say what the colours mean, and over how many images."""
    itself = f"{variable.attrs['self_value']:g} = identical"
    counts = variable.sel(statistic="n").values
    least, most = (int(counts.min()), int(counts.max())) if counts.size else (0, 0)
    images = f"{most:,} images" if least == most else f"{least:,}–{most:,} images (n differs among pairs)"
    return f"{statistic} over {images} · {variable.attrs['kind']}, {itself}"
