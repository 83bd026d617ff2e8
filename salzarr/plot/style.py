"""What all the pictures share: colours that know a metric, text that is never markup, figures without pyplot.

"More alike" is blue and dark in every picture, whether the metric measures likeness or distance; zero is
white where scores have a sign. Both colour maps keep their order for colour-blind readers and in grey.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from salzarr.errors import UsageError
from salzarr.metrics.metric import DIAGONAL, SIDES
from salzarr.statistics.rows import metric_names, metric_slug
from salzarr.statistics.summary import NO_SELF

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

    from salzarr.metrics.metric import Metric

INK, MUTED, MISSING, RULE = "#1c2430", "#5d6776", "#e3e5e9", "#c4c9d1"
ACCENT = "#1f5f99"
COUNT = "n"


@dataclass(frozen=True)
class Scale:
    """Which colour a value has, and which part of the colours a legend shows.

    Attributes
    ----------
    cmap : Colormap
    norm : Normalize
        From values to the colour map.
    low, high : float
        The ends of the legend.
    """

    cmap: Colormap
    norm: Normalize
    low: float
    high: float

    @property
    def flip(self) -> bool:
        """Whether low values are alike, so that a legend has them at its top."""
        return self.cmap.name.endswith("_r")

    def rgba(self, values: ArrayLike) -> NDArray[np.float64]:
        """Colours (..., 4) of values."""
        return np.asarray(self.cmap(self.norm(np.asarray(values, float))))

    def dark(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Where white text reads better than black on a value's colour."""
        linear = self.rgba(values)[..., :3] ** 2.2
        bright: NDArray[np.bool_] = linear @ (0.2126, 0.7152, 0.0722) < 0.215
        return bright

    def stops(self, count: int = 33) -> list[str]:
        """Evenly spaced colours of the whole map, as hex: what another renderer interpolates."""
        return [to_hex(colour) for colour in self.cmap(np.linspace(0, 1, count))]


def colour_scale(
    attrs: Mapping[str, Any], values: ArrayLike, statistic: str = "mean", *, stretch: bool = False
) -> Scale:
    """Choose the colours of a statistic from what is known of the metric.

    Parameters
    ----------
    attrs : mapping
        Of the metric's variable: its kind, bounds and self value.
    values : array_like
        The values to be shown, without the diagonal; NaN is ignored.
    statistic : str
        A spread or a count has its own colours, as it says nothing of likeness.
    stretch : bool
        Spread the colours over the values at hand, instead of between the metric's self value and bound.

    Examples
    --------
    >>> attrs = {"kind": "dissimilarity", "bounds": ["0.0", "inf"], "self_value": 0.0}
    >>> scale = colour_scale(attrs, [2.0, 5.0])
    >>> (scale.low, scale.high, scale.cmap.name)
    (0.0, 5.0, 'YlGnBu_r')
    """
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)].clip(-1e300, 1e300)  # the ends of a scale are added
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if statistic in NO_SELF:
        return _scale("Greys" if statistic == COUNT else "Purples", least if stretch else 0.0, most)
    lower, upper = (math.inf if bound in (DIAGONAL, SIDES) else float(bound) for bound in attrs["bounds"])
    itself, similar = float(attrs["self_value"]), attrs["kind"] == "similarity"
    if lower < 0 < upper and (least < 0 or not stretch):
        reach = upper if math.isfinite(upper) and not stretch else max(abs(least), abs(most))
        low = -reach if least < 0 else 0.0
        return _scale("RdBu" if similar else "RdBu_r", low, reach, centred=True)
    if not stretch and similar:
        least, most = lower if math.isfinite(lower) else least, itself if math.isfinite(itself) else most
    elif not stretch:
        least = itself if math.isfinite(itself) else least
    return _scale("YlGnBu" if similar else "YlGnBu_r", least, most)


def _scale(cmap: str, low: float, high: float, *, centred: bool = False) -> Scale:
    if not low < high:
        high = low + (abs(low) or 1.0)
    norm = Normalize(-high if centred else low, high)
    return Scale(mpl.colormaps[cmap], norm, low, high)


def metric_variable(dataset: xr.Dataset, metric: str | Metric | None = None) -> xr.DataArray:
    """Find a metric's variable by its slug, its spec, or a Metric; the only one if none is named.

    Raises
    ------
    UsageError
        If the dataset has no such metric, or several and none was named.
    """
    if metric is not None:
        return dataset[metric_slug(dataset, metric)]
    slugs = metric_names(dataset)
    if len(slugs) > 1:
        raise UsageError(f"name one of the metrics: {', '.join(slugs)}")
    return dataset[slugs[0]]


def plain(text: Hashable) -> str:
    r"""Make one printable line: control characters become visible, lone surrogates a replacement sign.

    >>> plain("two\nlines")
    'two␊lines'
    """
    return "".join(
        chr(0x2400 + ord(c)) if ord(c) < 32 else "\ufffd" if unicodedata.category(c) in ("Cs", "Cc") else c
        for c in str(text)
    )


def short(names: Iterable[Hashable], limit: int = 28) -> list[str]:
    """Names of at most ``limit`` characters, cut in their middles, and still distinct.

    >>> short(["VGG16", "a" * 20 + "1", "a" * 20 + "2"], 9)
    ['VGG16', 'aaaa…aaa1', 'aaaa…aaa2']
    """
    result: dict[str, None] = {}
    for name in map(plain, names):
        cut = name
        if len(name) > limit:
            cut = f"{name[: limit // 2]}…{name[len(name) - (limit - limit // 2 - 1) :]}"
        variants = chain([cut], (f"{cut} ({k})" for k in count(2)))
        result[next(variant for variant in variants if variant not in result)] = None
    return list(result)


def numbers(values: ArrayLike) -> list[str]:
    """Write values with one number of decimals for all of them, three digits for the largest; NaN as nothing.

    >>> numbers([0.8123, -0.004, 1.0, float("nan")])
    ['0.81', '0.00', '1.00', '']
    >>> numbers([21.2132, 8.0]), numbers([0.0123, 0.0004])
    (['21.2', '8.0'], ['0.012', '0.000'])
    """
    flat = np.asarray(values, float).ravel() + 0.0  # no -0
    most = float(np.abs(flat[np.isfinite(flat)]).max(initial=0.0))
    digits = math.floor(math.log10(most)) if most else 0
    if not -4 < digits < 5:
        return ["" if math.isnan(v) else f"{v:.1e}" for v in flat]
    decimals = max(0, (2 if digits >= 0 else 1) - digits)
    zero = f"{-0.0:.{decimals}f}"
    texts = ["" if math.isnan(v) else f"{v:.{decimals}f}" for v in flat]
    return [text.lstrip("-") if text == zero else text for text in texts]


def ensure_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Hand back the caller's axes, or those of a new figure of this size in inches, unknown to pyplot."""
    if ax is not None:
        return ax
    # A layout that has to squeeze a long title or name into a narrow figure gives up.
    figure = Figure(figsize=(max(size[0], 6.0), size[1]), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def heading(ax: Axes, title: str, note: str = "") -> None:
    """Set a bold title at the left and a quiet note below it; neither is ever mathtext."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    # Both are titles of the axes, as a layout takes the height of titles into account and not their width.
    left = ax.set_title(plain(title), loc="left", y=1, fontsize=11, fontweight="bold", color=INK)
    below = ax.set_title(plain(note), loc="center", y=1, fontsize=8, color=MUTED)
    for text, points in ((left, 21 if note else 6), (below, 6)):
        text.set(parse_math=False, horizontalalignment="left", x=0)
        text.set_transform(ax.transAxes + ScaledTranslation(0, points / 72, figure.dpi_scale_trans))


def name_ticks(ax: Axes, axis: str, positions: Sequence[float], names: Sequence[str], size: float) -> None:
    """Put names on an axis: columns upright or slanted below, rows at the left; never mathtext."""
    which = ax.xaxis if axis == "x" else ax.yaxis
    which.set_ticks(list(positions), labels=list(names), parse_math=False, fontsize=size, color=INK)
    ax.tick_params(axis=axis, length=0, pad=3)  # type: ignore[arg-type]
    if axis == "x":
        for label in ax.get_xticklabels():
            label.set(
                rotation=90 if len(names) > 20 else 45,
                rotation_mode="anchor",
                ha="right",
                va="center" if len(names) > 20 else "top",
            )


def save(
    picture: Axes | Figure, path: str | Path, formats: Sequence[str] = ("png", "svg"), dpi: int = 200
) -> list[Path]:
    """Write a picture as ``path`` with each format's suffix; the same picture gives the same bytes.

    Parameters
    ----------
    picture : Axes or Figure
    path : str or Path
        Without a suffix.
    formats : sequence of str
        Such as ``"png"``, ``"svg"``, ``"pdf"``.
    dpi : int
        Of pixel pictures.

    Returns
    -------
    list of Path

    Raises
    ------
    UsageError
        If Matplotlib cannot write a format.
    """
    figure = picture.get_figure(root=True) if isinstance(picture, Axes) else picture
    assert figure is not None
    known = figure.canvas.get_supported_filetypes()
    if unknown := [suffix for suffix in formats if suffix not in known]:
        raise UsageError(f"a picture cannot be written as {unknown[0]!r}, but as {', '.join(sorted(known))}")
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    written = []
    with mpl.rc_context({"svg.hashsalt": "salzarr"}):
        for suffix in formats:
            target = Path(f"{path}.{suffix}")
            figure.savefig(
                target,
                dpi=dpi,
                metadata=dates.get(suffix),
                facecolor="white",
                bbox_inches="tight",
                pad_inches=0.15,
            )
            written.append(target)
    return written
