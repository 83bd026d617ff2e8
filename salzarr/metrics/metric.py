"""What a metric is: a frozen value that says how to score pairs of maps and what the scores mean."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from salzarr.errors import MetricError
from salzarr.schema import Reason

if TYPE_CHECKING:
    from salzarr.metrics.block import Block

Scores = NDArray[np.float64]
Pairs = NDArray[np.intp]
ScoreFunction = Callable[["Block", Pairs, NDArray[np.bool_]], "Scores | tuple[Scores, ...]"]
Value = int | float | str | bool | None

DIAGONAL = "diagonal"
"""As an upper bound: the diagonal of the map in pixels, between the centres of its corners."""


@dataclass(frozen=True)
class Metric:
    """One way to compare two maps, with everything that its scores' readers need to know.

    Parameters
    ----------
    score : callable
        ``score(block, pairs, ok) -> scores``: ``pairs`` is (pair, 2) of indices into the block's models,
        ``ok`` is (pair, image) and False where the pair is undefined (whatever stands there is replaced by
        NaN, and a slow metric skips it). Returns float64 (pair, image); a directed metric returns
        (2, pair, image): f(a, b), then f(b, a); one with companions a tuple, the scores first.
    definition : str
        One line, for people.
    kind : {"similarity", "dissimilarity"}
        Whether more is more alike.
    self_value : float
        The score of a map against itself: the matrix's diagonal.
    bounds : (float, float or "diagonal")
        What the scores lie between.
    undefined : frozenset of Reason
        Which of CONSTANT, ZERO_MASS and NEGATIVE in either map leave the pair without a score. Missing and
        non-finite maps never have one.
    directed : bool
        Whether f(a, b) and f(b, a) differ.
    companions : tuple of str
        Names of further values per pair and image, stored as ``<slug>_<companion>``.
    smallest : int
        Smallest side of a map, in pixels.
    unit : str
        Of the scores; empty for none.
    cost : {"low", "medium", "high"}
        Its class: about a sum over the map, about a sort, or an optimisation per pair.
    reference : str
        The source of the definition, and the public function that it equals.
    map_bytes, pair_bytes : float
        Memory of its features per pixel and map of a block, and per pixel while one pair is scored.
    revision : int
        Raised when the numbers change, so that stored scores are not mixed.
    name, params, given, normalize, factory
        Filled in by :func:`register`.
    """

    score: ScoreFunction = field(compare=False, repr=False)
    definition: str
    kind: Literal["similarity", "dissimilarity"]
    self_value: float
    bounds: tuple[float, float | str]
    undefined: frozenset[Reason] = frozenset()
    directed: bool = False
    companions: tuple[str, ...] = ()
    smallest: int = 1
    unit: str = ""
    cost: Literal["low", "medium", "high"] = "low"
    reference: str = ""
    map_bytes: float = 0.0
    pair_bytes: float = 0.0
    revision: int = 1
    name: str = ""
    params: tuple[tuple[str, Value], ...] = ()
    given: tuple[tuple[str, Value], ...] = ()
    normalize: str | None = None
    factory: Callable[..., Metric] | None = field(default=None, compare=False, repr=False)

    @property
    def spec(self) -> str:
        """How to ask for it on the command line: ``ssim:window=11``."""
        return ":".join([self.name, *(f"{k}={v}" for k, v in self.given)])

    @property
    def slug(self) -> str:
        """Its spec as a name for variables and files: ``ssim_window_11``."""
        return re.sub(r"[^A-Za-z0-9]+", "_", self.spec).strip("_")

    @property
    def needs_data_range(self) -> bool:
        """Whether it must still be told the range of the data."""
        return ("data_range", None) in self.params

    def with_data_range(self, data_range: float) -> Metric:
        """Give the same metric, under the same name, the range of the data."""
        assert self.factory is not None
        resolved = self.factory(**{**dict(self.params), "data_range": float(data_range)})
        return replace(resolved, given=self.given, normalize=self.normalize)

    def limits(self, shape: tuple[int, int]) -> tuple[float, float]:
        """Bounds of the scores of maps of this shape (H, W), in the metric's unit."""
        low, high = self.bounds
        if high == DIAGONAL:
            high = float(np.hypot(shape[0] - 1, shape[1] - 1))
        return low, float(high)

    def attrs(self) -> dict[str, Any]:
        """Everything about the metric that is stored with its scores; plain JSON types."""
        low, high = self.bounds
        return {
            "metric": self.name,
            "spec": self.spec,
            "definition": self.definition,
            "kind": self.kind,
            "self_value": self.self_value,
            "bounds": [str(low), str(high)],
            "directed": self.directed,
            "companions": list(self.companions),
            "undefined": sorted(reason.label for reason in self.undefined),
            "unit": self.unit,
            "parameters": json.dumps(dict(self.params), sort_keys=True),
            "normalize": self.normalize or "none",
            "reference": self.reference,
            "revision": self.revision,
        }


METRICS: dict[str, Metric] = {}
"""Every metric by name, each with its default parameters."""


def register(factory: Callable[..., Metric]) -> Callable[..., Metric]:
    """Make a function of parameters into a metric of the function's name.

    The function's keywords are the metric's parameters; ``normalize=`` is understood by every metric.

    >>> from salzarr.metrics import mse
    >>> mse(normalize="minmax").spec
    'mse:normalize=minmax'
    """
    name = factory.__name__
    signature = inspect.signature(factory)

    @functools.wraps(factory)
    def make(*args: Value, normalize: str | None = None, **kwargs: Value) -> Metric:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            takes = ", ".join([*signature.parameters, "normalize"])
            raise MetricError(f"{name}: {error}; its parameters are {takes}") from None
        given = dict(bound.arguments)
        if normalize is not None:
            given["normalize"] = normalize
        bound.apply_defaults()
        return replace(
            factory(*bound.args, **bound.kwargs),
            name=name,
            params=tuple(bound.arguments.items()),
            given=tuple(given.items()),
            normalize=normalize,
            factory=make,
        )

    METRICS[name] = make()
    return make
