"""What a comparison asks for, checked before anything is computed."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr import metrics as measures
from salzarr.errors import ChangedError, MetricError, UsageError, listed, near
from salzarr.maps import Facts, Maps, as_maps, distinct
from salzarr.metrics import Metric, normalize, parse_metrics
from salzarr.schema import (
    ATTR_PRIMARY,
    ATTR_SLUG,
    ATTR_WHERE,
    IMAGE,
    MODEL_A,
    MODEL_B,
    Reason,
    reason_name,
)
from salzarr.scores.designs import Design, GivenPairs, UniquePairs
from salzarr.sources.expression import matches, typed
from salzarr.sources.image_labels import Labels, join_labels
from salzarr.sources.names import spelled

Floats = NDArray[np.float64]
Scan = Callable[[Maps, str | None], tuple[Floats, Floats]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Request:
    """A comparison, checked and complete: which maps, which pairs, which metrics.

    Attributes
    ----------
    maps : Maps
    metrics : tuple of Metric
        With their normalization and data range.
    design : Design
    automatic : frozenset of str
        Slugs of the metrics whose data range was found, not given.
    where : str or None
        The expression that chose the images, as a note: it is not evaluated again.
    primary : str or None
        Slug of the metric that a study will report, marked before anything is scored.
    """

    maps: Maps
    metrics: tuple[Metric, ...]
    design: Design
    automatic: frozenset[str] = frozenset()
    where: str | None = None
    primary: str | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return self.maps.models

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the images."""
        return self.maps.images

    @property
    def pairs(self) -> NDArray[np.intp]:
        """(pair, 2) positions among the names of the design."""
        return self.design.pairs

    @property
    def reference(self) -> int | None:
        """Position of the model that every other is compared with, if there is one."""
        return self.design.reference if isinstance(self.design, UniquePairs) else None

    @property
    def notes(self) -> dict[str, str]:
        """What else is written down beside the scores."""
        notes = {ATTR_WHERE: self.where, ATTR_PRIMARY: self.primary}
        return {name: note for name, note in notes.items() if note is not None}


def resolve(
    maps: Any,
    metrics: Any,
    *,
    names: Sequence[str] | None = None,
    models: Iterable[str] | None = None,
    images: slice | int | Iterable[str] | None = None,
    normalize: str = "none",
    also_normalize: Iterable[str] | None = None,
    data_range: float | None = None,
    reference: str | None = None,
    complete_cases: bool = False,
    allow_incomplete: bool = False,
    labels: Labels | None = None,
    where: str | None = None,
    primary: str | None = None,
    scan: Scan | None = None,
) -> Request:
    """Check a comparison; see :func:`salzarr.compare` for the parameters.

    ``scan(maps, chain) -> (low, high)`` finds the range of normalized values by reading all maps; without it,
    a metric that needs that is refused.
    """
    chosen = as_maps(maps, names, allow_incomplete=allow_incomplete)
    if models is not None or images is not None:
        chosen = chosen.part(_model_positions(chosen.models, models), _image_positions(chosen.images, images))
    if labels is not None:
        columns = join_labels(labels, chosen.images)
        chosen = replace(chosen, labels={**chosen.labels, **{k: (IMAGE, v) for k, v in columns.items()}})
    if where is not None:
        chosen = _where(chosen, where)
    if len(chosen.models) < 2:
        raise UsageError(f"a comparison takes two models or more, not {len(chosen.models)}")
    if reference is not None:
        reference = _known("reference model", reference, chosen.models)
    parsed = measures.as_metrics(metrics)
    again = _once_more(parsed, [chain for chain in also_normalize or () if chain != normalize])
    variants = {metric.slug for metric in again}
    as_asked = [m.with_normalize(normalize).for_shape(chosen.map_shape) for m in (*parsed, *again)]
    if primary is not None:
        first = _primary(as_asked, primary)
        as_asked = [first, *(metric for metric in as_asked if metric is not first)]
        primary = first.slug
    facts = chosen.facts()
    _check(as_asked, chosen, facts)
    if complete_cases:
        chosen, facts = _complete(chosen, as_asked, facts)
    if not len(chosen.images):
        raise UsageError("no image is left to compare; choose others")
    return Request(
        chosen,
        tuple(
            _with_range(m, None if m.slug in variants else data_range, chosen, facts, scan) for m in as_asked
        ),
        UniquePairs(len(chosen.models), None if reference is None else chosen.models.index(reference)),
        frozenset(
            m.slug for m in as_asked if m.needs_data_range and (data_range is None or m.slug in variants)
        ),
        where,
        primary,
    )


def _once_more(metrics: Sequence[Metric], chains: Iterable[str]) -> list[Metric]:
    """Return the metrics under further normalizations, as metrics of their own, where they can take these."""
    found: list[Metric] = []
    for chain in chains:
        signed = normalize.may_be_negative(normalize.checked(chain))
        for metric in metrics:
            cannot = metric.undefined & ({Reason.NEGATIVE} if signed else {Reason.UNSIGNED})
            if metric.normalize is None and metric.name in measures.METRICS and not cannot:
                found += parse_metrics(f"{metric.spec}:normalize={chain}")
    known = {metric.slug for metric in metrics}
    return [metric for metric in found if metric.slug not in known]


def _where(maps: Maps, expression: str) -> Maps:
    """Keep the images that an expression over their labels is true of."""
    columns = {name: typed(values) for name, (dim, values) in maps.labels.items() if dim == IMAGE}
    if not columns:
        raise UsageError(f"where={expression!r} asks for labels of the images; give labels= (--labels FILE)")
    kept = np.flatnonzero(matches(expression, columns)).tolist()
    if not kept:
        raise UsageError(f"{expression!r} is true of none of the {len(maps.images)} images; choose others")
    logger.info("%d of %d images are chosen by %s", len(kept), len(maps.images), expression)
    return maps.part(range(len(maps.models)), kept)


def _primary(metrics: Sequence[Metric], name: str) -> Metric:
    """Find the metric that is named the primary one."""
    for metric in metrics:
        if name in (metric.slug, metric.spec, metric.name):
            return metric
    known = listed([metric.spec for metric in metrics])
    raise UsageError(f"the primary metric {name!r} is none of those compared: {known}")


def repeat(scores: xr.Dataset, maps: Any, metrics: Any = None) -> Request:
    """Request the models, images, pairs and metrics of scores once more, from the maps that were compared."""
    a, b = (scores[end].values.astype(str).tolist() for end in (MODEL_A, MODEL_B))
    in_pairs = dict.fromkeys(name for pair in zip(a, b, strict=True) for name in pair)
    models = [str(name) for name in scores.attrs.get("models", in_pairs)]
    chosen = as_maps(maps).named(models, scores[IMAGE].values.astype(str).tolist())
    place = {name: i for i, name in enumerate(models)}
    pairs = np.array([[place[name] for name in end] for end in (a, b)], np.intp).T.reshape(-1, 2)
    wanted = metrics_of(scores) if metrics is None else measures.as_metrics(metrics)
    return Request(chosen, wanted, GivenPairs(pairs))


def _definitions(scores: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Return the attributes of each metric, by slug; a directed one has them at both of its variables."""
    variables = [scores[name] for name in scores.data_vars if reason_name(str(name)) in scores]
    return {str(one.attrs.get(ATTR_SLUG, one.name)): one.attrs for one in variables}


def metrics_of(scores: xr.Dataset) -> tuple[Metric, ...]:
    """Rebuild the metrics of scores from what is stored beside them.

    Raises
    ------
    UsageError
        If one of them is a function of the user's, which a store cannot hold.
    ChangedError
        If this salzarr defines one of them differently.
    """
    found = []
    for slug, attrs in _definitions(scores).items():
        try:
            (metric,) = parse_metrics(attrs["spec"], imports=False)
        except MetricError as error:
            raise UsageError(f"{slug} cannot be made from its name ({error}); give metrics=") from error
        metric = metric.with_normalize(attrs["normalize"]).with_settled(json.loads(attrs["parameters"]))
        now = metric.attrs()
        for what in ("revision", "parameters", "normalize"):
            if now[what] != attrs[what]:
                raise ChangedError(
                    f"{slug} was computed with {what} {attrs[what]}, and here it would be {now[what]}; "
                    "compare the maps again"
                )
        found.append(metric)
    return tuple(found)


def _known(what: str, name: str, known: Collection[str]) -> str:
    """Return the known spelling of a name that was asked for."""
    for spelling in (name, spelled(name)):
        if spelling in known:
            return spelling
    raise UsageError(f"there is no {what} {name!r}; {near(name, known)}there are {listed([*known])}")


def _model_positions(known: Sequence[str], wanted: Iterable[str] | None) -> Sequence[int]:
    if wanted is None:
        return range(len(known))
    wanted = [wanted] if isinstance(wanted, str) else wanted
    names = distinct("model", [_known("model", str(name), known) for name in wanted])
    return [known.index(name) for name in names]


def _image_positions(
    known: Sequence[str], wanted: slice | int | Iterable[str] | None
) -> range | Sequence[int]:
    everything = range(len(known))
    if wanted is None:
        return everything
    if isinstance(wanted, int):
        return everything[:wanted]
    if isinstance(wanted, slice):
        return everything[wanted]
    where = {name: position for position, name in enumerate(known)}
    wanted = [wanted] if isinstance(wanted, str) else wanted
    names = distinct("image", [_known("image", str(name), where) for name in wanted])
    return [where[name] for name in names]


def _check(metrics: Sequence[Metric], maps: Maps, facts: Facts | None) -> None:
    """Refuse what cannot be scored before the run, rather than answer with NaN for every image; warn."""
    measures.check_size(metrics, maps.map_shape)
    if facts is None:
        return
    measures.check_maps(metrics, np.fmin.reduce(facts.low, axis=1, initial=np.nan), maps.models)
    for said in measures.warnings_for(metrics, maps.map_shape, facts.low, facts.high, maps.models):
        warnings.warn(said, UserWarning, stacklevel=4)


def _complete(maps: Maps, metrics: Iterable[Metric], facts: Facts | None) -> tuple[Maps, Facts]:
    """Keep the images on which every model's map can be scored by every metric."""
    if facts is None:
        raise UsageError(
            "complete_cases needs to know which maps are missing, and a lazy array does not say; "
            "store it first with salzarr.create, or load it into memory"
        )
    usable = facts.is_finite
    for metric in metrics:
        low, high = normalize.spans(metric.normalize, facts.low, facts.high)
        usable = usable & np.isfinite(low)
        if Reason.CONSTANT in metric.undefined:
            usable &= low < high
        if Reason.ZERO_MASS in metric.undefined:
            usable &= (low != 0) | (high != 0)
        if Reason.UNSIGNED in metric.undefined:
            usable &= low < 0
    kept = np.flatnonzero(usable.all(axis=0)).tolist()
    logger.info("%d of %d images are complete", len(kept), len(maps.images))
    return maps.part(range(len(maps.models)), kept), facts.on(kept)


def _with_range(
    metric: Metric, given: float | None, maps: Maps, facts: Facts | None, scan: Scan | None
) -> Metric:
    """Set a metric's data range: the given one, or one from the facts, or from reading all maps."""
    if metric.needs_data_range and given is not None:
        metric = metric.with_data_range(given)
    if not metric.needs_data_range:
        known = metric.data_range and facts and normalize.extremes(metric.normalize, *facts[:3])
        if known:
            _warn_of_range(metric, *known)
        return metric
    unknown = np.array([0.0]), np.array([1.0]), np.array([np.nan])
    found = normalize.extremes(metric.normalize, *(unknown if facts is None else facts[:3]))
    if facts is None and normalize.steps(metric.normalize)[-1:] != ("minmax",):
        found = None
    if found is None and scan is not None:
        found = scan(maps, metric.normalize)
    if found is None:
        raise MetricError(
            f"{metric.spec} needs the range of the data, and that is not known without reading every map; "
            "give data_range= (--data-range), or normalize='minmax', for which it is 1"
        )
    low = np.fmin.reduce(found[0], axis=None, initial=np.nan)
    high = np.fmax.reduce(found[1], axis=None, initial=np.nan)
    if not high > low:
        raise MetricError(
            f"{metric.spec} needs the range of the data, and all maps hold one value; "
            "give data_range= (--data-range)"
        )
    metric = metric.with_data_range(float(high - low))
    _warn_of_range(metric, *found)
    return metric


def _warn_of_range(metric: Metric, low: Floats, high: Floats) -> None:
    for said in measures.range_warnings([metric], low, high):
        warnings.warn(said, UserWarning, stacklevel=6)
