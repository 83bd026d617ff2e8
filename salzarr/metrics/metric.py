"""The metric: a frozen value that says how to score pairs of maps and what the scores mean."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from salzarr.errors import MetricError, near
from salzarr.metrics import normalize as chains
from salzarr.schema import WAYS, Reason

if TYPE_CHECKING:  # block.py needs Metric
    from salzarr.metrics.block import Block

Scores = NDArray[np.float64]
Pairs = NDArray[np.intp]
ScoreFunction = Callable[["Block", Any, NDArray[np.bool_]], "Scores | tuple[Scores, ...]"]
Against = Literal["map", "points", "mask"]
Value = int | float | str | bool | None
Symmetry = Literal["symmetric", "directed", "antisymmetric"]

DIAGONAL, SIDES, WIDTH, HEIGHT = "diagonal", "sides", "width", "height"

LENGTHS: dict[str, Callable[[int, int], float]] = {
    DIAGONAL: lambda height, width: float(np.hypot(height - 1, width - 1)),
    SIDES: lambda height, width: height - 1.0 + width - 1.0,
    WIDTH: lambda height, width: width - 1.0,
    HEIGHT: lambda height, width: height - 1.0,
    f"-{WIDTH}": lambda height, width: 1.0 - width,
    f"-{HEIGHT}": lambda height, width: 1.0 - height,
}
"""What a bound may be beside a number: a length of the map (height, width) in pixels, between the centers of
its outer pixels; from corner to corner straight, or along the sides."""


def bound(text: str) -> float:
    """Read a stored bound; one that depends on the size of the maps counts as infinite.

    >>> bound("1.0"), bound("diagonal"), bound("-width")
    (1.0, inf, -inf)
    """
    if text in LENGTHS:
        return -np.inf if text.startswith("-") else np.inf
    return float(text)


NEEDS_MASS = frozenset({Reason.ZERO_MASS, Reason.NEGATIVE})
"""``undefined`` of the metrics that compare distributions of mass."""


class Caution(StrEnum):
    """A property of maps with which a metric's scores mean less than they seem to."""

    SIGNED = "signed"
    """Maps of both signs: opposite ones may score as alike."""
    ZEROS = "zeros"
    """Pixels of 0: where one map has them, a constant of the definition sets the score."""


@dataclass(frozen=True)
class Metric:
    """One way to compare two maps, with everything that its scores' readers need to know.

    Parameters
    ----------
    score : callable
        ``score(block, pairs, ok) -> scores``: ``pairs`` is (pair, 2) of indices into the block's models,
        ``ok`` is (pair, image) and False where the pair is undefined (whatever stands there is replaced by
        NaN, and a slow metric skips it). Returns float64 (pair, image); a directed metric returns
        (2, pair, image): f(a, b), then f(b, a); one with companions a tuple, the scores first. Against points
        or masks the second argument is the target, and ``ok`` and the scores are (model, image).
    definition : str
        One line, for people.
    kind : {"similarity", "dissimilarity"}
        Whether more is more alike.
    self_value : float
        The score of a map against itself: the matrix's diagonal. NaN if it is not known. If it depends on
        the map, this is its best, and a companion ``self`` holds the mean of the two maps' own self scores.
    bounds : (float or str, float or str)
        What the scores lie between; see :data:`LENGTHS`.
    undefined : frozenset of Reason
        Which of CONSTANT, ZERO_MASS, NEGATIVE and UNSIGNED in either map leave the pair without a score.
        Missing and non-finite maps never have one.
    nan_reason : Reason
        Why a pair has no score if ``ok`` holds and the score is NaN or infinite all the same.
    against : {"map", "points", "mask"}
        What a map is scored against.
    required : str
        Names a parameter that must be given, and why; empty if there is none, or it was given.
    cautions : frozenset of Caution
        What draws a warning before the comparison.
    symmetry : {"symmetric", "directed", "antisymmetric"}
        What f(b, a) is: f(a, b); a score of its own, stored in a variable of its own; or -f(a, b).
    scale_dependent : bool
        Whether multiplying both maps by one number changes the score.
    companions : tuple of str
        Names of further values per pair and image, stored as ``<variable>_<companion>``.
    features : tuple of str
        Names of the block's features that it reads and other metrics may share; see :class:`Block`.
    smallest : int
        Smallest side of a map, in pixels.
    advised_pixels : int
        Pixels of a map below which the score is biased.
    unit : str
        Of the scores; empty for none.
    resolution : callable, optional
        ``resolution(shape) -> side``: of the blocks that it sums maps of this shape into, in pixels.
    by_shape : callable, optional
        ``by_shape(shape) -> parameters``: those that follow from the shape of the maps, to be stored.
    cost : {"low", "medium", "high"}
        Its class: about a sum over the map, about a sort, or an optimization per pair.
    reference : str
        The source of the definition, and the public function that it equals. :func:`register` takes it from
        the factory's docstring.
    map_bytes, image_bytes, pair_bytes : float
        Memory per pixel: of its features for every map of a block, of its scratch for every model while one
        image is scored, and while one pair is scored.
    revision : int
        Raised when the numbers change, so that stored scores are not mixed.
    name, params, given, normalize, factory
        Filled in by :func:`register`. ``given`` holds the parameters that differ from the defaults;
        ``normalize`` is None where nothing was said, so that a comparison may say it.

    See Also
    --------
    register : Makes a metric of a function.
    """

    score: ScoreFunction = field(compare=False, repr=False)
    definition: str
    kind: Literal["similarity", "dissimilarity"]
    self_value: float
    bounds: tuple[float | str, float | str]
    undefined: frozenset[Reason] = frozenset()
    nan_reason: Reason = Reason.OVERFLOW
    against: Against = "map"
    required: str = ""
    cautions: frozenset[Caution] = frozenset()
    symmetry: Symmetry = "symmetric"
    scale_dependent: bool = False
    companions: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    smallest: int = 1
    advised_pixels: int = 1
    unit: str = ""
    resolution: Callable[[tuple[int, int]], int] | None = field(default=None, compare=False, repr=False)
    by_shape: Callable[[tuple[int, int]], dict[str, Value]] | None = field(
        default=None, compare=False, repr=False
    )
    cost: Literal["low", "medium", "high"] = "low"
    reference: str = ""
    map_bytes: float = 0.0
    image_bytes: float = 0.0
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
        return re.sub(r"[^A-Za-z0-9]+", "_", self.spec).strip("_") or "metric"

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables that hold its scores of pairs a, b: one, or two if it is directed.

        >>> METRICS["mse"].variables, METRICS["kl"].variables
        (('mse',), ('kl_a_to_b', 'kl_b_to_a'))
        """
        return tuple(f"{self.slug}_{way}" for way in WAYS) if self.directed else (self.slug,)

    @property
    def directed(self) -> bool:
        """Whether f(b, a) is a score of its own."""
        return self.symmetry == "directed"

    @property
    def data_range(self) -> float | None:
        """Range of the data that the scores are relative to; None if there is none, or none yet."""
        found = dict(self.params).get("data_range")
        return None if found is None else float(found)

    @property
    def needs_data_range(self) -> bool:
        """Whether it must still be told the range of the data."""
        return ("data_range", None) in self.params

    def with_data_range(self, data_range: float) -> Metric:
        """Return the same metric, under the same name, with the range of the data.

        Raises
        ------
        MetricError
            If the range is negative or not finite.
        """
        return self._with(data_range=float(data_range))

    def _with(self, **params: Value) -> Metric:
        """Return the same metric, under the same name, with some of its parameters settled."""
        assert self.factory is not None
        resolved = self.factory(**{**dict(self.params), **params})
        return replace(resolved, given=self.given, normalize=self.normalize)

    def with_settled(self, parameters: Mapping[str, Value]) -> Metric:
        """Return the same metric with those of these stored parameters that it left to the maps."""
        left = {key: parameters.get(key) for key, value in self.params if value is None}
        return self._with(**left) if any(value is not None for value in left.values()) else self

    def with_normalize(self, chain: str) -> Metric:
        """Return the same metric, under the same name, with a normalization, unless it has its own."""
        return self if self.normalize is not None else replace(self, normalize=chains.checked(chain))

    def for_shape(self, shape: tuple[int, int]) -> Metric:
        """Return the same metric with what follows from this shape (H, W): parameters, and how fine it is."""
        metric = self if self.by_shape is None else self._with(**self.by_shape(shape))
        side = 1 if metric.resolution is None else metric.resolution(shape)
        if side == 1:
            return metric
        return replace(metric, definition=f"{metric.definition} ({side} x {side} pixels a block)")

    def limits(self, shape: tuple[int, int]) -> tuple[float, float]:
        """Bounds of the scores of maps of this shape (H, W), in the metric's unit."""
        low, high = (LENGTHS[end](*shape) if isinstance(end, str) else float(end) for end in self.bounds)
        return low, high

    def attrs(self) -> dict[str, Any]:
        """Everything about the metric that is stored with its scores; plain JSON types."""
        low, high = self.bounds
        return {
            "metric": self.name,
            "slug": self.slug,
            "spec": self.spec,
            "definition": self.definition,
            "kind": self.kind,
            "self_value": str(self.self_value) if np.isnan(self.self_value) else self.self_value,
            "score_range": [str(low), str(high)],
            "against": self.against,
            "symmetry": self.symmetry,
            "companions": list(self.companions),
            "undefined": sorted(reason.label for reason in self.undefined),
            "unit": self.unit,
            "parameters": json.dumps(dict(self.params), sort_keys=True),
            "normalize": self.normalize or chains.NONE,
            "reference": self.reference,
            "revision": self.revision,
        }

    def __dask_tokenize__(self) -> object:
        """Name of the metric in a Dask graph: its definition, and a user's function itself."""
        return self.attrs(), self.score if self.factory is None else None

    def __getstate__(self) -> dict[str, Any]:
        # A registered metric's score is a closure over compiled functions: workers make their own, from
        # their own cache, instead of being sent one.
        return {k: v for k, v in self.__dict__.items() if k != "score" or self.factory is None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "score" not in state:
            state = {**state, "score": state["factory"](**dict(state["params"])).score}
        self.__dict__.update(state)
        if np.isnan(self.self_value):  # metrics are equal by this one NaN
            self.__dict__["self_value"] = np.nan


METRICS: dict[str, Metric] = {}
"""Every metric of two maps by name, each with its default parameters."""

TARGET_METRICS: dict[str, Metric] = {}
"""Every metric of a map against points or a mask by name, each with its default parameters."""


def register(factory: Callable[..., Metric]) -> Callable[..., Metric]:
    """Make a function of parameters into a metric of the function's name.

    The function's keywords are the metric's parameters; ``normalize=`` is understood by every metric.

    Parameters
    ----------
    factory : callable
        Takes the parameters, checks them and returns a :class:`Metric`.

    Returns
    -------
    callable
        The same, returning metrics that know their name and parameters. The one with default parameters
        is in :data:`METRICS`, or in :data:`TARGET_METRICS` if it is not against a map.

    Examples
    --------
    >>> from salzarr.metrics import mse
    >>> mse(normalize="minmax").spec
    'mse:normalize=minmax'
    """
    name = factory.__name__
    signature = inspect.signature(factory)
    defaults = {key: parameter.default for key, parameter in signature.parameters.items()}

    @functools.wraps(factory)
    def make(*args: Value, normalize: str | None = None, **kwargs: Value) -> Metric:
        check_keywords(name, kwargs, [*defaults, "normalize"])
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            takes = ", ".join([*defaults, "normalize"])
            raise MetricError(f"{name}: {error}; its parameters are {takes}") from None
        bound.apply_defaults()
        params = {k: v.item() if isinstance(v, np.generic) else v for k, v in bound.arguments.items()}
        given = {k: v for k, v in params.items() if v != defaults[k]}
        if normalize is not None:
            given["normalize"] = normalize = chains.checked(normalize)
        return replace(
            factory(**params),
            name=name,
            params=tuple(params.items()),
            given=tuple(given.items()),
            normalize=normalize,
            factory=make,
            reference=_reference(factory),
        )

    metric = make()
    (METRICS if metric.against == "map" else TARGET_METRICS)[name] = metric
    return make


def _reference(factory: Callable[..., Metric]) -> str:
    """Text of the section References of a docstring, without its markup."""
    section = (inspect.getdoc(factory) or "").partition("References\n----------\n")[2].partition("\n\n")[0]
    return re.sub(r":\w+:`([^`]*)`", r"\1", " ".join(section.split()))


def check_keywords(name: str, given: Iterable[str], known: Sequence[str]) -> None:
    """Refuse parameters that a metric does not have.

    Raises
    ------
    MetricError
        Naming the first, what may have been meant, and all there are.
    """
    for key in given:
        if key not in known:
            raise MetricError(
                f"{name} has no parameter {key!r}; {near(key, known)}its parameters are {', '.join(known)}"
            )


def check_parameter(name: str, value: object, holds: bool, needed: str) -> None:
    """Refuse a parameter's value.

    Raises
    ------
    MetricError
        Unless ``holds``.
    """
    if not holds:
        raise MetricError(f"{name} must be {needed}, not {value!r}")


def check_data_range(value: object) -> None:
    """Refuse a data range that is not a number from 0, nor None: not known yet."""
    fits = value is None or is_number(value, 0)
    check_parameter("data_range", value, fits, "a finite number of at least 0, or none")


def is_number(value: object, low: float = -np.inf, high: float = np.inf) -> bool:
    """Whether a parameter is a finite number from low to high.

    >>> is_number(1, 0), is_number(float("nan")), is_number("1")
    (True, False, False)
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) < np.inf and low <= value <= high


def is_whole(value: object, low: int = 0, high: float = np.inf) -> bool:
    """Whether a parameter is an int from low to high; True and False are not.

    >>> is_whole(7, 1), is_whole(7.0, 1), is_whole(True, 1)
    (True, False, False)
    """
    return isinstance(value, int) and is_number(value, low, high)
