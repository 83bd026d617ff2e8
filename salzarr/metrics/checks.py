"""What can be said of metrics and maps before a comparison starts: refusals and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from salzarr.errors import MetricError, listed
from salzarr.metrics import normalize
from salzarr.metrics.metric import Metric
from salzarr.schema import Reason

TENFOLD = 10.0
"""Ratio of two models' ranges from which a metric that depends on scale compares scales."""


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
    """Refuse signed maps, and normalisations that make them so, for metrics that need mass.

    Parameters
    ----------
    metrics : sequence of Metric
        With their normalisation.
    low : (model,) float
        Each model's smallest value before normalisation; NaN where it has no map.
    models : sequence of str

    Raises
    ------
    MetricError
        Naming the metrics, the models and the ``--metrics`` that would work.
    """
    mass = [m for m in metrics if Reason.NEGATIVE in m.undefined]
    least: NDArray[np.float64] = np.asarray(low, np.float64)
    signed = [f"{name} ({value:g})" for name, value in zip(models, least, strict=True) if value < 0]
    refused = [m for m in mass if normalize.may_be_negative(m.normalize)]
    if signed and refused:
        raise _no_mass(metrics, refused, f"there are negative values in the maps of {listed(signed, 5)}")
    if made := [m for m in mass if normalize.may_be_negative(m.normalize, signed=False)]:
        raise _no_mass(metrics, made, f"the normalisation {made[0].normalize} makes values negative")


def _no_mass(metrics: Sequence[Metric], refused: Sequence[Metric], why: str) -> MetricError:
    """Name the metrics that are refused, why, and those that would work in place of all."""
    specs = ",".join(_unsigned(m).spec if m in refused else m.spec for m in metrics)
    return MetricError(
        f"{', '.join(m.spec for m in refused)} compare{'s' * (len(refused) == 1)} distributions of mass, "
        f"and {why}; use --metrics {specs} (or 'positive' or 'minmax' in place of 'abs')"
    )


def _unsigned(metric: Metric) -> Metric:
    """Prepend ``abs`` to the metric's normalisation."""
    chain = "+".join(["abs", *(s for s in normalize.steps(metric.normalize) if s != "zscore")])
    given = tuple((k, v) for k, v in metric.given if k != "normalize")
    return replace(metric, normalize=chain, given=(*given, ("normalize", chain)))


def warnings_for(
    metrics: Sequence[Metric], shape: tuple[int, int], low: ArrayLike, high: ArrayLike, models: Sequence[str]
) -> list[str]:
    """Say what is allowed and rarely meant: scales compared in place of maps, and maps too small.

    Parameters
    ----------
    metrics : sequence of Metric
        With their normalisation.
    shape : (H, W)
    low, high : (model,) float
        Each model's smallest and largest value before normalisation; NaN where it has no map.
    models : sequence of str

    Returns
    -------
    list of str
        One sentence per warning.
    """
    said = []
    spread = np.asarray(high, np.float64) - np.asarray(low, np.float64)
    wide = np.where(spread > 0, spread, np.nan)
    raw = [m.spec for m in metrics if m.scale_dependent and not normalize.rescales(m.normalize)]
    if raw and np.isfinite(wide).sum() > 1 and np.nanmax(wide) >= TENFOLD * np.nanmin(wide):
        large, small = int(np.nanargmax(wide)), int(np.nanargmin(wide))
        said.append(
            f"the maps of {models[large]} span {wide[large]:g} and those of {models[small]} {wide[small]:g}, "
            f"so {', '.join(raw)} mostly compare{'s' * (len(raw) == 1)} their scales; "
            "--normalize minmax makes them comparable"
        )
    pixels = shape[0] * shape[1]
    said += [
        f"{m.spec} is biased on maps of {pixels} pixels, fewer than the {m.advised_pixels} it needs"
        for m in metrics
        if pixels < m.advised_pixels
    ]
    return said
