"""Normalization: what is done to each map on its own before any metric sees it.

A chain names its steps in order: ``"abs+sum"`` takes absolute values, then divides by their sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr.errors import MetricError, near
from salzarr.schema import Reason

Maps = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]

NONE = "none"


Facts = tuple[Floats, Floats, Floats | None]
"""Smallest and largest value of each map, and its sum if that is known."""


@dataclass(frozen=True)
class Step:
    """One normalization.

    Attributes
    ----------
    apply : callable
        (..., pixel) maps to (..., pixel) maps; NaN where it is undefined.
    foresee : callable
        The facts of maps to the facts of the normalized maps, or None if the maps have to be read.
    span : callable
        Smallest and largest value before to those after, but for a factor: enough to tell whether a map is
        undefined (NaN), 0 everywhere or constant.
    definition : str
    undefined : set of Reason
        Which of CONSTANT, ZERO_MASS and NEGATIVE may make a map NaN.
    signed : bool or None
        Whether its results may be negative; None if that is as it was before.
    rescales : bool
        Whether it makes maps of different scales comparable.
    """

    apply: Callable[[Maps], Maps]
    foresee: Callable[[Floats, Floats, Floats | None], Facts | None]
    span: Callable[[Floats, Floats], tuple[Floats, Floats]]
    definition: str
    undefined: frozenset[Reason]
    signed: bool | None
    rescales: bool


def _divide(wide: Floats, divisor: Floats) -> Floats:
    """Divide in place; NaN where the divisor is 0."""
    wide /= np.where(divisor == 0, np.nan, divisor)
    return wide


def _minmax(flat: Maps) -> Floats:
    low, high = flat.min(axis=-1, keepdims=True), flat.max(axis=-1, keepdims=True)
    wide = np.subtract(flat, low, dtype=np.float64)
    return _divide(wide, np.subtract(high, low, dtype=np.float64))


def _max(flat: Maps) -> Floats:
    return _divide(flat.astype(np.float64), np.maximum(flat.max(axis=-1, keepdims=True), 0))


def _sum(flat: Maps) -> Floats:
    wide = flat.astype(np.float64)
    negative = flat.min(axis=-1, keepdims=True) < 0
    return _divide(wide, np.where(negative, 0, wide.sum(axis=-1, keepdims=True)))


def _zscore(flat: Maps) -> Floats:
    wide = flat.astype(np.float64)
    constant = flat.min(axis=-1, keepdims=True) == flat.max(axis=-1, keepdims=True)
    wide -= wide.mean(axis=-1, keepdims=True)
    squares = np.einsum("...i,...i->...", wide, wide)[..., None]  # std() would copy the maps
    return _divide(wide, np.where(constant, 0, np.sqrt(squares / wide.shape[-1])))


def _foresee_minmax(low: Floats, high: Floats, total: Floats | None) -> Facts:
    undefined = np.where(low < high, 0.0, np.nan)
    return undefined, undefined + 1, None


def _foresee_max(low: Floats, high: Floats, total: Floats | None) -> Facts:
    top = np.where(high > 0, high, np.nan)
    return low / top, high / top, None if total is None else total / top


def _foresee_sum(low: Floats, high: Floats, total: Floats | None) -> Facts | None:
    if total is None:
        return None
    mass = np.where((low >= 0) & (total > 0), total, np.nan)
    return low / mass, high / mass, mass / mass


def _foresee_abs(low: Floats, high: Floats, total: Floats | None) -> Facts | None:
    return None if (low < 0).any() else (low, high, total)


def _foresee_positive(low: Floats, high: Floats, total: Floats | None) -> Facts:
    return np.maximum(low, 0), np.maximum(high, 0), None if (low < 0).any() else total


def _where(defined: NDArray[np.bool_], low: Floats, high: Floats) -> tuple[Floats, Floats]:
    return np.where(defined, low, np.nan), np.where(defined, high, np.nan)


def _span_minmax(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    return _where(low < high, np.zeros_like(low), np.ones_like(high))


def _span_zscore(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    return _where(low < high, -np.ones_like(low), np.ones_like(high))


def _span_max(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    return _where(high > 0, low, high)


def _span_sum(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    return _where((low >= 0) & (high > 0), low, high)


def _span_abs(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Assume a signed map has values near 0 (false only for maps of ±c)."""
    nearest = np.where(low < 0, np.where(high > 0, 0, -high), low)
    return nearest, np.maximum(-low, high)


def _span_positive(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    return np.maximum(low, 0), np.maximum(high, 0)


_CONSTANT = frozenset({Reason.CONSTANT})
_NO_MASS = frozenset({Reason.ZERO_MASS, Reason.NEGATIVE})

STEPS = {
    "minmax": Step(_minmax, _foresee_minmax, _span_minmax, "(x - min) / (max - min)", _CONSTANT, False, True),
    "max": Step(_max, _foresee_max, _span_max, "x / max, if max > 0", _NO_MASS, None, True),
    "sum": Step(_sum, _foresee_sum, _span_sum, "x / sum(x), if no x is negative", _NO_MASS, None, True),
    "zscore": Step(
        _zscore, lambda *_: None, _span_zscore, "(x - mean) / population std", _CONSTANT, True, True
    ),
    "abs": Step(np.abs, _foresee_abs, _span_abs, "abs(x)", frozenset(), False, False),
    "positive": Step(
        lambda flat: np.maximum(flat, 0),
        _foresee_positive,
        _span_positive,
        "max(x, 0)",
        frozenset(),
        False,
        False,
    ),
}
"""Every step by name."""


def steps(chain: str | None) -> tuple[str, ...]:
    """Names of the steps of a chain.

    Raises
    ------
    MetricError
        If a step is unknown.

    Examples
    --------
    >>> steps("abs+sum"), steps("none")
    (('abs', 'sum'), ())
    """
    if chain is None or chain == NONE:
        return ()
    names = tuple(part.strip() for part in str(chain).split("+"))
    for name in names:
        if name not in STEPS:
            raise MetricError(
                f"unknown normalization {name!r}{f' (in {chain!r})' if name != chain else ''}; "
                f"{near(name, STEPS)}use {NONE}, {', '.join(STEPS)} or a chain such as abs+sum"
            )
    return names


def checked(chain: str) -> str:
    """Spell a chain the one way it is stored.

    >>> checked("abs + sum")
    'abs+sum'
    """
    return "+".join(steps(chain)) or NONE


def apply(maps: Maps, chain: str | None) -> Maps:
    """Normalize each map on its own.

    Parameters
    ----------
    maps : (..., y, x) float
    chain : str or None
        Steps joined by ``+``, or ``none``.

    Returns
    -------
    (..., y, x) float
        float64, or the maps' own dtype where all steps are exact in it (``abs``, ``positive``). A map for
        which a step is undefined, or that holds a non-finite value, is NaN.

    Examples
    --------
    >>> apply(np.array([[0.0, -1.0], [2.0, 1.0]]), "abs+max")
    array([[0. , 0.5],
           [1. , 0.5]])
    """
    names = steps(chain)
    if not names:
        return maps
    flat = maps.reshape(*maps.shape[:-2], -1)
    with np.errstate(invalid="ignore", over="ignore"):
        for name in names:
            flat = STEPS[name].apply(flat)
    return flat.reshape(maps.shape)


def may_be_negative(chain: str | None, *, signed: bool = True) -> bool:
    """Whether maps may hold negative values after this chain, ``signed`` or not before it.

    >>> may_be_negative("abs+sum"), may_be_negative("abs+zscore")
    (False, True)
    >>> may_be_negative("sum", signed=False), may_be_negative("zscore", signed=False)
    (False, True)
    """
    for name in steps(chain):
        step = STEPS[name].signed
        signed = signed if step is None else step
    return signed


def rescales(chain: str | None) -> bool:
    """Whether maps of different scales are comparable after this chain.

    >>> rescales("abs+sum"), rescales("abs")
    (True, False)
    """
    return any(STEPS[name].rescales for name in steps(chain))


def extremes(chain: str | None, low: Floats, high: Floats, total: Floats) -> tuple[Floats, Floats] | None:
    """Smallest and largest value of each map after a chain, from those before it, if they follow.

    Parameters
    ----------
    chain : str or None
    low, high, total : (...) float64
        Smallest and largest value and sum of each map; NaN where there are none.

    Returns
    -------
    (...) float64, (...) float64; or None
        None where the maps themselves have to be read: after ``zscore``, and after ``abs`` of signed maps.

    Examples
    --------
    >>> one = np.array([2.0]), np.array([4.0]), np.array([8.0])
    >>> extremes("sum", *one)
    (array([0.25]), array([0.5]))
    >>> extremes("zscore", *one) is None
    True
    """
    facts: Facts = (low, high, total)
    with np.errstate(invalid="ignore", divide="ignore"):
        for name in steps(chain):
            after = STEPS[name].foresee(*facts)
            if after is None:
                return None
            facts = after
    return facts[:2]


def spans(chain: str | None, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return the extremes of maps after a chain, but for a factor: what tells zero and constant maps.

    Parameters
    ----------
    chain : str or None
    low, high : (...) float64
        Smallest and largest value of each map; NaN where there are none.

    Returns
    -------
    (...) float64, (...) float64
        The same after the chain, but for a factor; NaN where the chain is undefined.

    Examples
    --------
    >>> spans("positive+max", np.array([-2.0, -2.0]), np.array([4.0, -1.0]))
    (array([ 0., nan]), array([ 4., nan]))
    """
    with np.errstate(invalid="ignore"):
        for name in steps(chain):
            low, high = STEPS[name].span(low, high)
    return low, high
