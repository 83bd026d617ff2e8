"""What the pictures share: colors by metric, text that is never markup, figures.

"More alike" is blue and dark in every picture, whether the metric measures likeness or distance; zero is
white where scores have a sign. Both color maps keep their order for color-blind readers and in gray.
"""

from __future__ import annotations

import logging
import math
import unicodedata
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, wraps
from itertools import chain, count
from os.path import commonprefix
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import ScaledTranslation
from numpy.typing import ArrayLike, NDArray

from salzarr.errors import UsageError, file_named
from salzarr.metrics.metric import Metric, bound
from salzarr.statistics.rows import metric_rows, metric_slug
from salzarr.statistics.summary import NO_SELF

logger = logging.getLogger(__name__)

P = ParamSpec("P")

INK, MUTED, MISSING, RULE = "#1c2430", "#5d6776", "#e3e5e9", "#c4c9d1"
ACCENT = "#1f5f99"
COUNT = "n"
NO_TEX: dict[Any, Any] = {"text.usetex": False}
"""Names of models are no TeX, which need not be installed, whatever the user's configuration says."""

FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans SC", "Source Han Sans SC",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "PingFang SC", "Hiragino Sans",
    "Hiragino Sans GB", "Apple SD Gothic Neo", "Microsoft YaHei", "SimHei", "Yu Gothic", "MS Gothic",
    "Malgun Gothic", "Noto Sans Arabic", "Geeza Pro", "Noto Sans Hebrew", "Noto Sans Devanagari",
    "Kohinoor Devanagari", "Nirmala UI", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Thai", "Thonburi",
    "Leelawadee UI", "Noto Sans", "Segoe UI", "Segoe UI Symbol", "Noto Sans Symbols2", "Arial Unicode MS",
    "FreeSans", "Unifont",
)  # fmt: skip
"""Fonts of Linux, macOS and Windows for scripts that Matplotlib's own lacks: the first that has a glyph."""


@dataclass(frozen=True)
class Scale:
    """The color of each value, and the part of the colors that a legend shows.

    Attributes
    ----------
    cmap : Colormap
    norm : Normalize
        From values to the color map.
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
        """Return the colors (..., 4) of values."""
        return np.asarray(self.cmap(self.norm(np.asarray(values, float))))

    def dark(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Return where white text reads better than black; the better has a contrast of 4.5:1 or more."""
        rgb = self.rgba(values)[..., :3]
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        dark: NDArray[np.bool_] = linear @ (0.2126, 0.7152, 0.0722) < 0.179
        return dark

    def stops(self, count: int = 33) -> list[str]:
        """Return evenly spaced colors of the whole map, as hex, for another renderer to interpolate."""
        return [to_hex(color) for color in self.cmap(np.linspace(0, 1, count))]


def color_scale(
    attrs: Mapping[str, Any], values: ArrayLike, statistic: str = "mean", *, stretch: bool = False
) -> Scale:
    """Choose the colors of a statistic by the definition of its metric.

    Parameters
    ----------
    attrs : mapping
        Of the metric's variable: its kind, score range and self value.
    values : array_like
        The values to be shown, without the diagonal; NaN is ignored.
    statistic : str
        A spread or a count has its own colors, as it says nothing of likeness.
    stretch : bool
        Spread the colors over the values at hand, instead of between the metric's self value and bound.

    Examples
    --------
    >>> attrs = {"kind": "dissimilarity", "score_range": ["0.0", "inf"], "self_value": 0.0}
    >>> scale = color_scale(attrs, [2.0, 5.0])
    >>> (scale.low, scale.high, scale.cmap.name)
    (0.0, 5.0, 'YlGnBu_r')
    """
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)].clip(-1e300, 1e300)  # the ends of a scale are added
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if statistic in NO_SELF:
        return _scale("Greys" if statistic == COUNT else "Purples", least if stretch else 0.0, most)
    lower, upper = map(bound, attrs["score_range"])
    itself, similar = float(attrs["self_value"]), attrs["kind"] == "similarity"
    if lower < 0 < upper and (least < 0 or not stretch):
        reach = upper if math.isfinite(upper) and not stretch else max(abs(least), abs(most))
        # Zero is white whatever the values; the legend goes as far down as they do, and a -0.00 not to -1.
        low = max(-reach, least) if least < 0 else 0.0
        return _scale("RdBu" if similar else "RdBu_r", low, reach, centered=True)
    if not stretch and similar:
        least, most = lower if math.isfinite(lower) else least, itself if math.isfinite(itself) else most
    elif not stretch:
        least = itself if math.isfinite(itself) else least
    return _scale("YlGnBu" if similar else "YlGnBu_r", least, most)


def _scale(cmap: str, low: float, high: float, *, centered: bool = False) -> Scale:
    if not low < high:
        high = low + (abs(low) or 1.0)
    norm = Normalize(-high if centered else low, high)
    return Scale(mpl.colormaps[cmap], norm, low, high)


def metric_variable(dataset: xr.Dataset, metric: str | Metric | None = None) -> xr.DataArray:
    """Return a metric's rows by slug, spec or Metric; those of the only one if none is named.

    Raises
    ------
    UsageError
        If the dataset has no such metric, or several and none was named.
    """
    return metric_rows(dataset, metric_slug(dataset, metric))


def plain(text: Hashable) -> str:
    r"""Return one printable line: control characters become visible, lone surrogates a replacement sign.

    >>> plain("two\nlines")
    'two␊lines'
    """
    return "".join(
        chr(0x2400 + ord(c)) if ord(c) < 32 else "\ufffd" if unicodedata.category(c) in ("Cs", "Cc") else c
        for c in str(text)
    )


def short(names: Iterable[Hashable], limit: int = 28) -> list[str]:
    """Shorten names to ``limit`` characters, cut in the middle and still distinct.

    An end that all long names share is cut first: it would take the place of what tells them apart.

    >>> short(["VGG16", "a" * 20 + "1", "a" * 20 + "2"], 9)
    ['VGG16', 'aaaa…aaa1', 'aaaa…aaa2']
    >>> short(["resnet50/Baseline_model", "resnet18/Baseline_model"], 12)
    ['resnet50…', 'resnet18…']
    """
    whole = [plain(name) for name in names]
    long = [name for name in whole if len(name) > limit]
    shared = commonprefix([name[::-1] for name in long])  # noqa: RUF071 - of characters, not of paths
    tail = len(shared) if len(set(long)) > 1 else 0
    result: dict[str, None] = {}
    for name in whole:
        cut = name
        if len(name) > limit and tail > 1:
            cut = f"{name[: len(name) - tail]}…"
        if len(cut) > limit:
            cut = f"{cut[: limit // 2]}…{cut[len(cut) - (limit - limit // 2 - 1) :]}"
        variants = chain([cut], (f"{cut} ({k})" for k in count(2)))
        result[next(variant for variant in variants if variant not in result)] = None
    return list(result)


def numbers(values: ArrayLike) -> list[str]:
    """Format values with the same number of decimals, three digits for the largest; NaN is empty.

    Only zero is written as zero: what the decimals would round to it keeps one digit of its own.

    >>> numbers([0.8123, -0.003, 1.0, 0.0, float("nan")])
    ['0.81', '-0.003', '1.00', '0.00', '']
    >>> numbers([21.2132, 8.0]), numbers([0.0123, 0.00002])
    (['21.2', '8.0'], ['0.012', '2e-05'])
    """
    flat = np.asarray(values, float).ravel() + 0.0  # no -0
    most = float(np.abs(flat[np.isfinite(flat)]).max(initial=0.0))
    digits = math.floor(math.log10(most)) if most else 0
    if not -4 < digits < 5:
        return ["" if math.isnan(v) else f"{v:.1e}" for v in flat]
    decimals = max(0, (2 if digits >= 0 else 1) - digits)
    texts = ["" if math.isnan(v) else f"{v:.{decimals}f}" for v in flat]
    both = zip(flat, texts, strict=True)
    return [f"{v:.1g}" if v and text and not float(text) else text for v, text in both]


@cache
def _installed() -> tuple[str, ...]:
    """Return the fallbacks that are installed: Matplotlib warns of others at every text."""
    known = set(font_manager.get_font_names())
    return tuple(name for name in FALLBACKS if name in known)


def any_script(draw: Callable[P, Axes]) -> Callable[P, Axes]:
    """Let a drawing function fall back on installed fonts where the user's font lacks a glyph."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Axes:
        with mpl.rc_context({**NO_TEX, "font.family": [*mpl.rcParams["font.family"], *_installed()]}):
            return draw(*args, **kwargs)

    return drawn


def without_glyph(figure: Figure) -> str:
    """Return the characters of a figure for which none of its fonts has a glyph."""
    lacking: set[str] = set()
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        without = set(text.get_text()) - {"\n"}
        for family in text.get_fontfamily():
            if without:  # or a font of many thousand glyphs is read for nothing
                without -= _glyphs(family)
        lacking |= without
    return "".join(sorted(lacking))


@cache
def _glyphs(family: str) -> frozenset[str]:
    try:
        path = font_manager.findfont(font_manager.FontProperties(family=[family]), fallback_to_default=False)
    except ValueError:  # the user's settings name a font that is not there
        return frozenset()
    return frozenset(map(chr, font_manager.get_font(path).get_charmap()))


@cache
def _say_lacking(characters: str) -> None:
    """Warn once, however many pictures lack the same characters."""
    logger.warning(
        "no installed font has a glyph for %s, so pictures show boxes; install one, such as Noto",
        characters if len(characters) <= 20 else f"{characters[:20]} and {len(characters) - 20} more",
    )


def ensure_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return the caller's axes, or those of a new figure of this size in inches."""
    if ax is not None:
        return ax
    # A layout that has to squeeze a long title or name into a narrow figure gives up.
    shape = (max(size[0], 6.0), size[1])
    if _own.get():
        figure = Figure(figsize=shape, layout="constrained")
        FigureCanvasAgg(figure)
        return figure.add_subplot()
    from matplotlib import pyplot  # chooses a backend, which only a picture that is shown needs

    return pyplot.subplots(figsize=shape, layout="constrained")[1]


_own: ContextVar[bool] = ContextVar("own", default=False)


@contextmanager
def own_figures() -> Iterator[None]:
    """Make figures outside pyplot: nothing shows them, and nobody has to close them."""
    token = _own.set(True)
    try:
        yield
    finally:
        _own.reset(token)


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
    """Put names on an axis, never as mathtext: columns upright or slanted below, rows at the left."""
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
        raise UsageError(f"cannot write a picture as {unknown[0]!r}; use {', '.join(sorted(known))}")
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    written = []
    if lacking := without_glyph(figure):
        _say_lacking(lacking)
    with mpl.rc_context({"svg.hashsalt": "salzarr", **NO_TEX}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # one for each, each time it is laid out
        for suffix in formats:
            target = Path(f"{path}.{suffix}")
            with file_named(target):
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
