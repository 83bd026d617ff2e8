"""From what people write to metrics: ``"ssim,ssim:window=11,package.module:function"``."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from salzarr import schema
from salzarr.errors import MetricError, PairError, near
from salzarr.metrics import normalize as chains
from salzarr.metrics.block import Block
from salzarr.metrics.metric import (
    METRICS,
    TARGET_METRICS,
    Against,
    Metric,
    Pairs,
    Scores,
    Symmetry,
    Value,
    check_keywords,
    check_parameter,
)
from salzarr.schema import Reason

ALIASES = {
    "cc": "pearson", "sim": "similarity", "kld": "kl", "jsd": "js", "nmi": "mutual_information",
    "mi": "mutual_information", "l1": "mae", "l2": "rmse", "wasserstein": "emd", "jaccard": "iou",
    "f1": "dice", "fa": "feature_agreement", "sa": "sign_agreement", "ra": "rank_agreement",
    "sra": "signed_rank_agreement",
}  # fmt: skip
"""What the literature calls some of the metrics, for a hint."""

SPELLED = {"map": "each other", "points": "points", "mask": "masks"}

Wanted = str | Metric | Callable[..., Any]


def as_metrics(metrics: Wanted | Iterable[Wanted], *against: Against) -> tuple[Metric, ...]:
    """Make metrics of names, specs, metrics and functions.

    Parameters
    ----------
    metrics : str, Metric, callable or an iterable of these
        A string may hold several specs, see :func:`parse_metrics`. A function ``f(a, b) -> float`` of two
        maps (y, x) becomes a metric by :func:`custom`.
    *against : "map", "points" or "mask"
        What maps are scored against; each other by default.

    Returns
    -------
    tuple of Metric

    Raises
    ------
    MetricError
        If there are none, one is unknown, is against something else or lacks a parameter that it needs, or
        two would be stored under one name.

    Examples
    --------
    >>> [metric.slug for metric in as_metrics(["mse", "pearson,ssim:window=11"])]
    ['mse', 'pearson', 'ssim_window_11']
    """
    several = [metrics] if isinstance(metrics, str | Metric) or callable(metrics) else list(metrics)
    found: list[Metric] = []
    for wanted in several:
        if isinstance(wanted, str):
            found += [_parse(token.strip()) for token in wanted.split(",") if token.strip()]
        else:
            found.append(_metric(wanted))
    if not found:
        raise MetricError(f"no metric was given; choose among {', '.join(METRICS)}")
    for metric in found:
        if metric.against not in (against or ("map",)):
            here = " and ".join(SPELLED[kind] for kind in against or ("map",))
            raise MetricError(
                f"{metric.spec} scores maps against {SPELLED[metric.against]}, and not against {here}"
            )
        if metric.required:
            raise MetricError(f"{metric.spec} needs {metric.required}")
    taken = dict.fromkeys((schema.MODEL_A, schema.MODEL_B, schema.PAIR, schema.IMAGE), "")
    for metric in found:
        names = dict.fromkeys((metric.slug, *metric.variables))
        suffixes = ("", "_reason", *(f"_{companion}" for companion in metric.companions))
        for variable in (name + suffix for name in names for suffix in suffixes):
            if variable in taken:
                raise MetricError(
                    f"{metric.spec} would be stored as {variable!r}, "
                    f"and so would {taken[variable] or 'a coordinate of the scores'}; give it once, "
                    "or give a function of yours a name: salzarr.metrics.custom(f, name=...)"
                )
            taken[variable] = metric.spec
    return tuple(found)


def parse_metrics(text: str, *, imports: bool = True) -> tuple[Metric, ...]:
    """Read the metrics of a command line: ``,`` between metrics, ``:`` between parameters.

    Parameters
    ----------
    text : str
        Each metric is a name of :data:`METRICS`, or ``module:function`` for one's own, with parameters
        ``key=value`` behind it.
    imports : bool, default True
        Whether ``module:function`` may be imported: never where the text comes out of a file.

    Returns
    -------
    tuple of Metric

    Raises
    ------
    MetricError
        If one is unknown, cannot take its parameters, or is given twice.

    Examples
    --------
    >>> [metric.spec for metric in parse_metrics("mse, ssim:window=11:data_range=1")]
    ['mse', 'ssim:window=11:data_range=1']
    >>> parse_metrics("cc")
    Traceback (most recent call last):
    ...
    salzarr.errors.MetricError: unknown metric 'cc'; did you mean 'pearson'? 'salzarr metrics' lists them
    """
    tokens = [token.strip() for token in text.split(",") if token.strip()]
    return as_metrics([_parse(token, imports=imports) for token in tokens])


def _known(name: str) -> Metric | None:
    """Find a registered metric."""
    return METRICS.get(name) or TARGET_METRICS.get(name)


def _metric(wanted: object) -> Metric:
    if isinstance(wanted, Metric):
        return wanted
    if not callable(wanted):
        raise MetricError(f"a metric is a name, a Metric or a function f(a, b) -> float, not {wanted!r}")
    known = _known(getattr(wanted, "__name__", ""))
    return known if known is not None and known.factory is wanted else custom(wanted)


def _parse(token: str, *, imports: bool = True) -> Metric:
    name, *rest = (part.strip() for part in token.split(":"))
    known = _known(name)
    own = bool(rest) and "=" not in rest[0] and not (known and rest[0] in (*dict(known.params), "normalize"))
    given: dict[str, Any] = {}
    for part in rest[own:]:
        key, equals, text = part.partition("=")
        if not (key and equals and text):
            raise MetricError(f"{token!r}: {part!r} is not a parameter; write name:key=value:key=value")
        if key in given:
            raise MetricError(f"{token!r} gives {key} twice")
        given[key] = text if key == "normalize" else _value(text)
    if own and not imports:
        raise MetricError(f"{token!r} is a function in a module, and a file does not decide what is imported")
    if own:
        return _load(name, rest[0], given)
    if known is None:
        meant = (
            near(name, [*METRICS, *TARGET_METRICS])
            if name not in ALIASES
            else f"did you mean {ALIASES[name]!r}? "
        )
        raise MetricError(f"unknown metric {name!r}; {meant}'salzarr metrics' lists them")
    assert known.factory is not None
    return known.factory(**given)


def _value(text: str) -> Value:
    """Read the value of a parameter: an int, a float, none, true or false, else text."""
    words: dict[str, Value] = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            pass
    return text


def _load(module: str, name: str, given: dict[str, Any]) -> Metric:
    found = _look_up(module, name)
    if isinstance(found, Metric):
        if given:
            raise MetricError(f"{module}:{name} is a Metric and takes no parameters here")
        return found
    spelt = tuple(given.items())
    if isinstance(given.get("prepare"), str):
        home, _, function = given["prepare"].rpartition(".")
        given["prepare"] = _look_up(home or module, function)
    check_keywords(f"{module}:{name}", given, list(inspect.signature(custom).parameters)[1:])
    return replace(custom(found, **{"name": f"{module}:{name}", **given}), given=spelt)


def _look_up(module: str, name: str) -> Any:
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # a command finds modules of the folder it is run in, as python -m does
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:  # ValueError: no name, or a character of none
        raise MetricError(
            f"Could not load {module}:{name}: {error}; put the module into this folder or on PYTHONPATH"
        ) from error


def custom(
    function: Callable[[Any, Any], float],
    *,
    prepare: Callable[[NDArray[Any]], Any] | None = None,
    name: str | None = None,
    kind: Literal["similarity", "dissimilarity"] = "dissimilarity",
    self_value: float = np.nan,
    low: float = -np.inf,
    high: float = np.inf,
    symmetry: Symmetry = "symmetric",
    normalize: str | None = None,
) -> Metric:
    """Make a metric of a function of one's own.

    Parameters
    ----------
    function : callable
        ``function(a, b) -> float`` of two maps (y, x), or of what ``prepare`` makes of them. It must not
        write to them. NaN means that the pair has no score.
    prepare : callable, optional
        ``prepare(map) -> anything``, called once per map in place of once per pair.
    name : str, optional
        The function's own name if not given.
    kind : {"similarity", "dissimilarity"}
    self_value, low, high : float
        The score of a map against itself (NaN: not known, the matrix's diagonal stays empty), and bounds.
    symmetry : {"symmetric", "directed", "antisymmetric"}
        What f(b, a) is: f(a, b); a score of its own, which is computed too; or -f(a, b).
    normalize : str, optional
        See :func:`salzarr.metrics.normalize.apply`.

    Returns
    -------
    Metric

    Raises
    ------
    MetricError
        On an invalid parameter.

    Examples
    --------
    >>> from salzarr.metrics import score_block
    >>> def largest_difference(a, b):
    ...     return abs(a - b).max()
    >>> metric = custom(largest_difference, self_value=0, low=0)
    >>> score_block(np.array([[[[0.0, 1.0]]], [[[3.0, 1.0]]]]), [(0, 1)], [metric])[metric.slug].values
    array([[3.]])
    """
    title = name or str(getattr(function, "__name__", type(function).__name__))
    check_parameter(f"{title}: function", function, callable(function), "callable as f(a, b)")
    check_parameter(f"{title}: prepare", prepare, prepare is None or callable(prepare), "callable as f(map)")
    kinds = ("similarity", "dissimilarity")
    check_parameter(f"{title}: kind", kind, kind in kinds, "similarity or dissimilarity")
    known = ("symmetric", "directed", "antisymmetric")
    check_parameter(f"{title}: symmetry", symmetry, symmetry in known, ", ".join(known))
    chain = None if normalize is None else chains.checked(normalize)
    code = "".join(_source(f) for f in (function, prepare) if f is not None)
    return Metric(
        _Custom(function, prepare, symmetry == "directed", title),
        definition=(inspect.getdoc(function) or "a function of the user's").partition("\n")[0],
        kind=kind,
        self_value=float(self_value),
        bounds=(float(low), float(high)),
        nan_reason=Reason.NON_FINITE,
        symmetry=symmetry,
        cost="high",
        reference=f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', title)}",
        name=title,
        # Stored scores are taken over only if the function that made them has not been edited since.
        params=(("source", hashlib.sha256(code.encode()).hexdigest()[:16]),),
        given=() if chain is None else (("normalize", chain),),
        normalize=chain,
    )


def _source(function: Callable[..., Any]) -> str:
    """Text of a function and the plain values it is bound to: an edited one differs from its former self."""
    target = function.func if isinstance(function, functools.partial) else function
    try:
        text = inspect.getsource(target)
    except (OSError, TypeError):
        text = str(getattr(target, "__qualname__", type(target)))
    bound = [*getattr(function, "args", ()), *getattr(function, "keywords", {}).items()]
    bound += getattr(target, "__defaults__", None) or ()
    bound += [cell.cell_contents for cell in getattr(target, "__closure__", None) or ()]
    return text + repr([value for value in bound if isinstance(value, int | float | str | tuple)])


@dataclass(frozen=True)
class _Custom:
    """Scores pairs by a function of the user's."""

    function: Callable[[Any, Any], float]
    prepare: Callable[[NDArray[Any]], Any] | None
    directed: bool
    name: str

    def __call__(self, block: Block, pairs: Pairs, ok: NDArray[np.bool_]) -> Scores:
        orders = (pairs, pairs[:, ::-1])[: 1 + self.directed]
        scores = np.full((len(orders), *ok.shape), np.nan)
        maps = block.maps.view()
        maps.flags.writeable = False
        for image in range(ok.shape[1]):
            ready = {m: maps[m, image] for m in np.unique(pairs[ok[:, image]])}
            if self.prepare is not None:
                ready = {m: self.prepare(one) for m, one in ready.items()}
            for direction, order in enumerate(orders):
                for pair in np.flatnonzero(ok[:, image]):
                    a, b = order[pair]
                    try:
                        scores[direction, pair, image] = self.function(ready[a], ready[b])
                    except Exception as error:
                        why = f"{type(error).__name__}: {error}"
                        raise PairError(self.name, int(a), int(b), image, why) from error
        return scores if self.directed else scores[0]


def describe() -> list[dict[str, Any]]:
    """List every metric for people and programs.

    Returns
    -------
    list of dict
        By name. Per metric: ``name``, ``definition``, ``kind``, ``symmetry``, ``cost``, ``unit``,
        ``self_value``, ``bounds`` (two strings), ``parameters`` (name to default), ``undefined`` (labels),
        ``companions``, ``smallest`` (side in pixels) and ``reference``.
    """
    return [
        {
            "name": metric.name,
            "definition": metric.definition,
            "kind": metric.kind,
            "symmetry": metric.symmetry,
            "cost": metric.cost,
            "unit": metric.unit,
            "self_value": metric.self_value,
            "bounds": [str(bound) for bound in metric.bounds],
            "parameters": dict(metric.params),
            "undefined": sorted(reason.label for reason in metric.undefined),
            "companions": list(metric.companions),
            "smallest": metric.smallest,
            "reference": metric.reference,
        }
        for _, metric in sorted(METRICS.items())
    ]
