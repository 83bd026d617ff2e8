"""What can be said of metrics and maps before a comparison starts: refusals and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from salzarr.errors import MetricError, listed
from salzarr.metrics import normalize
from salzarr.metrics.metric import Caution, Metric
from salzarr.schema import Reason

Floats = NDArray[np.float64]

TENFOLD = 10.0
"""Ratio of two ranges from which a metric that depends on scale compares scales, not maps."""


def check_size(metrics: Sequence[Metric], shape: tuple[int, int]) -> None:
    """Refuse metrics that maps of this size rule out.

    Parameters
    ----------
    metrics : sequence of Metric
    shape : (H, W)

    Raises
    ------
    MetricError
        Naming each of them and its smallest side.
    """
    height, width = shape
    small = [f"{m.spec} (at least {m.smallest} pixels a side)" for m in metrics if min(shape) < m.smallest]
    if small:
        raise MetricError(
            f"maps of {height} x {width} pixels are too small for {', '.join(small)}; leave "
            f"{'it' if len(small) == 1 else 'them'} out of the metrics, or convert the maps to a larger size"
        )


def check_maps(metrics: Sequence[Metric], low: ArrayLike, models: Sequence[str]) -> None:
    """Refuse signed maps for metrics that need mass, and maps without signs for metrics that compare them.

    Parameters
    ----------
    metrics : sequence of Metric
        With their normalization.
    low : (model,) float
        Each model's smallest value before normalization; NaN where it has no map.
    models : sequence of str

    Raises
    ------
    MetricError
        Naming the metrics, the models and the remedy.
    """
    mass = [m for m in metrics if Reason.NEGATIVE in m.undefined]
    least: NDArray[np.float64] = np.asarray(low, np.float64)
    _check_signs(metrics, least, models)
    signed = [f"{name} ({value:g})" for name, value in zip(models, least, strict=True) if value < 0]
    refused = [m for m in mass if normalize.may_be_negative(m.normalize)]
    if signed and refused:
        raise _no_mass(metrics, refused, f"there are negative values in the maps of {listed(signed, 5)}")
    if made := [m for m in mass if normalize.may_be_negative(m.normalize, signed=False)]:
        raise _no_mass(metrics, made, f"the normalization {made[0].normalize} makes values negative")


def _check_signs(metrics: Sequence[Metric], least: NDArray[np.float64], models: Sequence[str]) -> None:
    """Refuse metrics that compare signs where a model has no negative value, or none after normalization."""
    signs = [m for m in metrics if Reason.UNSIGNED in m.undefined]
    without = [name for name, value in zip(models, least, strict=True) if value >= 0]
    lost = [m for m in signs if not normalize.may_be_negative(m.normalize)]
    if lost:
        why = f"there are none after the normalization {lost[0].normalize}"
    elif refused := [m for m in signs if not normalize.may_be_negative(m.normalize, signed=False)]:
        lost = refused if without else []
        why = f"the maps of {listed(without, 5)} have no negative value"
    if lost:
        raise MetricError(
            f"{', '.join(m.spec for m in lost)} compare{'s' * (len(lost) == 1)} signs, and {why}; use "
            "feature_agreement or rank_agreement"
        )


def _no_mass(metrics: Sequence[Metric], refused: Sequence[Metric], why: str) -> MetricError:
    """Name the metrics that are refused, why, and those that would work in place of all."""
    specs = ",".join(_unsigned(m).spec if m in refused else m.spec for m in metrics)
    return MetricError(
        f"{', '.join(m.spec for m in refused)} compare{'s' * (len(refused) == 1)} distributions of mass, "
        f"and {why}; use --metrics {specs} (or 'positive' or 'minmax' in place of 'abs')"
    )


def _unsigned(metric: Metric) -> Metric:
    """Prepend ``abs`` to the metric's normalization."""
    chain = "+".join(["abs", *(s for s in normalize.steps(metric.normalize) if s != "zscore")])
    given = tuple((k, v) for k, v in metric.given if k != "normalize")
    return replace(metric, normalize=chain, given=(*given, ("normalize", chain)))


def warnings_for(
    metrics: Sequence[Metric], shape: tuple[int, int], low: ArrayLike, high: ArrayLike, models: Sequence[str]
) -> list[str]:
    """List what is allowed and rarely meant: scales compared in place of maps, signs, zeros, small maps.

    Parameters
    ----------
    metrics : sequence of Metric
        With their normalization.
    shape : (H, W)
    low, high : (model, image) float
        Smallest and largest value of each map before normalization; NaN where there is no map.
    models : sequence of str

    Returns
    -------
    list of str
        One sentence per warning.
    """
    lows, highs = (np.asarray(facts, np.float64).reshape(len(models), -1) for facts in (low, high))
    pixels = shape[0] * shape[1]
    found = [_scales(metrics, lows, highs, models), _signs(metrics, lows, models)]
    found += [_zeros(m, lows, highs) for m in metrics if Caution.ZEROS in m.cautions]
    found += [
        f"{m.spec} is biased on maps of {pixels} pixels, fewer than the {m.advised_pixels} it needs"
        for m in metrics
        if pixels < m.advised_pixels
    ]
    return [warning for warning in found if warning]


def _scales(metrics: Sequence[Metric], low: Floats, high: Floats, models: Sequence[str]) -> str:
    """Warn of models whose values span very different ranges."""
    raw = [m.spec for m in metrics if m.scale_dependent and not normalize.rescales(m.normalize)]
    spread = np.fmax.reduce(high, axis=1, initial=np.nan) - np.fmin.reduce(low, axis=1, initial=np.nan)
    wide = np.where(spread > 0, spread, np.nan)
    if not raw or np.isfinite(wide).sum() < 2 or np.nanmax(wide) < TENFOLD * np.nanmin(wide):
        return ""
    large, small = int(np.nanargmax(wide)), int(np.nanargmin(wide))
    return (
        f"the maps of {models[large]} span {wide[large]:g} and those of {models[small]} {wide[small]:g}, "
        f"so {', '.join(raw)} mostly compare{'s' * (len(raw) == 1)} their scales; "
        "--normalize minmax makes them comparable"
    )


def _signs(metrics: Sequence[Metric], low: Floats, models: Sequence[str]) -> str:
    """Warn of signed maps where opposite ones may score as alike."""
    signed = [name for name, row in zip(models, low, strict=True) if (row < 0).any()]
    blind = [
        m.spec
        for m in metrics
        if Caution.SIGNED in m.cautions and normalize.may_be_negative(m.normalize, signed=bool(signed))
    ]
    if not blind:
        return ""
    whose = f"the maps of {listed(signed, 5)}" if signed else "maps after zscore"
    return (
        f"{whose} have negative values, for which {', '.join(blind)} can be high where maps are opposite "
        "(two opposite signs cancel in its product: 0.955 of a map and its negative); "
        "--normalize minmax or abs avoids that"
    )


def _zeros(metric: Metric, low: Floats, high: Floats) -> str:
    """Warn of maps with pixels of 0, after the metric's normalization."""
    # minmax makes a single pixel 0, which weighs nothing.
    chain = [step for step in normalize.steps(metric.normalize) if step != "minmax"]
    least, most = normalize.spans("+".join(chain) or None, low, high)
    if "abs" in chain:  # of a signed map, nobody knows how near to 0 it comes
        least = np.where(low < 0, np.nan, least)
    zeros, maps = int(((least == 0) & (most > 0)).sum()), int(np.isfinite(low).sum())
    if not zeros:
        return ""
    return (
        f"{zeros} of {maps} maps have pixels of 0: mass of the other map there counts in {metric.spec} by "
        "its eps alone, by default 36 nats per unit; js needs none, and kl:eps=1e-6 weighs such pixels less"
    )


def range_warnings(metrics: Sequence[Metric], low: ArrayLike, high: ArrayLike) -> list[str]:
    """Warn of a data range that most maps use a small part of, so that they look alike to the metric.

    Parameters
    ----------
    metrics : sequence of Metric
        With their data range, of one normalization.
    low, high : float arrays of one shape
        Smallest and largest value of each map after that normalization; NaN where there is no map.

    Returns
    -------
    list of str
        One sentence per metric that has a data range at least ten times that of the median map.

    Examples
    --------
    >>> from salzarr.metrics import ssim
    >>> range_warnings([ssim(data_range=500.0)], [0, 0, 0], [1, 1, 500])[0].partition(",")[0]
    'the data range of ssim'
    """
    spread = np.asarray(high, np.float64) - np.asarray(low, np.float64)
    spread = spread[spread > 0]
    median = float(np.median(spread)) if spread.size else np.nan
    return [
        f"the data range of {m.name}, {m.data_range:g}, is {m.data_range / median:,.0f} times that of the "
        "median map, so that most maps look alike; use --normalize minmax, or give --data-range"
        for m in metrics
        if m.data_range is not None and m.data_range >= TENFOLD * median
    ]
