"""Scores that exist already: a run resumes them, grows them, or refuses."""

from __future__ import annotations

import json
import logging
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr import schema, store
from salzarr.errors import ChangedError, listed, redacted
from salzarr.maps import Maps, StoreMaps
from salzarr.metrics import Metric
from salzarr.schema import SOURCE_CRC, Reason, reason_name
from salzarr.scores import score_store
from salzarr.scores.designs import UniquePairs
from salzarr.scores.label_store import labels_in
from salzarr.scores.request import Request

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Earlier:
    """Scores of the same maps that need not be computed again.

    Attributes
    ----------
    url, run : str
        Their store.
    pairs, images : int
        How many of the first pairs and images they cover.
    metrics : frozenset of str
        Slugs.
    stale : frozenset of int
        Images of which a map was missing then and is there now.
    """

    url: str
    run: str
    pairs: int
    images: int
    metrics: frozenset[str]
    stale: frozenset[int] = frozenset()

    def known(self, metric: Metric, images: slice) -> NDArray[np.bool_]:
        """Return on which of these images the metric's scores still hold: (image,) bool."""
        known = np.zeros(images.stop - images.start, np.bool_)
        if metric.slug in self.metrics and images.start < self.images:
            name = reason_name(metric.variables[-1])
            reasons = score_store.read(
                self.url, self.run, [name], slice(images.start, min(images.stop, self.images))
            )
            known[: reasons[name].shape[1]] = (reasons[name] != Reason.FAILED).all(axis=0)
            known &= [image not in self.stale for image in range(images.start, images.stop)]
        return known


def record(request: Request, block: int, tile: int, earlier: Earlier | None = None) -> dict[str, Any]:
    """Return the plan that later runs on the same scores must follow, as JSON types."""
    assert isinstance(request.maps, StoreMaps)
    plan = {
        "block": block,
        "grown_from": earlier and earlier.run,
        "tile": tile,
        "reference": None if request.reference is None else request.models[request.reference],
        "primary": request.primary,
        "metrics": {metric.slug: metric.attrs() for metric in request.metrics},
        "automatic": sorted(request.automatic),
        "maps": redacted(request.maps.url),
        "options": _options(request.maps.url),
        "map_shape": request.maps.map_shape,
    }
    plain: dict[str, Any] = json.loads(json.dumps(plan))
    return plain


def _options(url: str) -> Any:
    """Return the options that the maps store was made with."""
    options = store.open_dataset(url, allow_incomplete=True).attrs.get(schema.ATTR_FINGERPRINT)
    return None if options is None else json.loads(options)


def input_crc(maps: Maps) -> NDArray[np.uint32]:
    """Read the checksums of the maps, (model, image); 0 where a map is missing."""
    assert isinstance(maps, StoreMaps)
    found = store.open_dataset(maps.url, allow_incomplete=True)[SOURCE_CRC.name]
    return np.asarray(found.values[np.ix_(maps.rows, maps.columns)], np.uint32)


def reconcile(request: Request, url: str, attrs: dict[str, Any]) -> tuple[Request, Earlier | None]:
    """Compare a request with the scores that exist at a URL.

    Returns
    -------
    Request
        In the order of the scores: what is new comes last.
    Earlier or None
        None if nothing is new; otherwise what is kept of the scores while they grow.

    Raises
    ------
    ChangedError
        If something is gone or is not what it was.
    """
    plan = attrs[score_store.ATTR_PLAN]
    opened = score_store.arrays(url, attrs["run"])
    models, images = attrs[score_store.ATTR_MODELS], [str(i) for i in np.asarray(opened[schema.IMAGE][:])]
    request = _with_primary(_in_order(request, models, images), plan["primary"])
    request = _with_labels(request, labels_in(opened, attrs, request.images))
    wanted = record(request, plan["block"], plan["tile"])
    for what in ("reference", "options", "map_shape"):
        if wanted[what] != plan[what]:
            raise _changed(f"{_WHAT[what]} was {plan[what]} and is now {wanted[what]}")
    widened = _redefined(plan, wanted)
    then, now = np.asarray(opened[score_store.INPUT_CRC][:]), input_crc(request.maps)
    common = now[: len(models), : len(images)]
    changed = (then != common) & (then != 0)
    if changed.any():
        who = [models[i] for i in np.flatnonzero(changed.any(axis=1))]
        where = [images[i] for i in np.flatnonzero(changed.any(axis=0))]
        raise _changed(f"the maps of {listed(who, 3)} changed, on image {listed(where, 3)}")
    stale = frozenset(np.flatnonzero((then != common).any(axis=0)).tolist())
    kept = frozenset(plan["metrics"]) - widened
    new = (
        len(request.models) > len(models)
        or len(request.images) > len(images)
        or len(request.metrics) > len(kept)
        or bool(stale)
    )
    if not new:
        return request, None
    pairs = UniquePairs(len(models), request.reference).pairs
    return request, Earlier(url, attrs["run"], len(pairs), len(images), kept, stale)


_WHAT = {
    "reference": "the reference model",
    "options": "the conversion of the maps",
    "map_shape": "the maps' size",
}


def _with_labels(request: Request, stored: dict[str, NDArray[Any]]) -> Request:
    """Keep the labels that are stored with the scores, unless they are given anew."""
    kept = {name: (schema.IMAGE, values) for name, values in stored.items()}
    return replace(request, maps=replace(request.maps, labels={**kept, **request.maps.labels}))


def _with_primary(request: Request, was: str | None) -> Request:
    """Keep the primary metric that was marked before anything was scored; refuse one that is marked after."""
    if request.primary not in (None, was):
        before = f"{was} was marked" if was else "none was marked"
        raise _changed(f"{request.primary} is marked as the primary metric, and {before} before the scoring")
    return replace(request, primary=was)


def _in_order(request: Request, models: list[str], images: list[str]) -> Request:
    """Put the models and images that have scores first, in their order; refuse if one of them is gone."""
    positions = []
    for what, had, have in (("model", models, request.models), ("image", images, request.images)):
        where = {name: position for position, name in enumerate(have)}
        gone = [name for name in had if name not in where]
        if gone:
            raise _changed(
                f"{what} {listed(gone, 3)} {'is' if len(gone) == 1 else 'are'} not compared any more"
            )
        known = set(had)
        positions.append([where[n] for n in had] + [where[n] for n in have if n not in known])
    rows, columns = positions
    reference = None if request.reference is None else rows.index(request.reference)
    design = UniquePairs(len(rows), reference)
    return replace(request, maps=request.maps.part(rows, columns), design=design)


def _redefined(plan: dict[str, Any], wanted: dict[str, Any]) -> frozenset[str]:
    """Find the metrics whose automatic data range has changed; refuse any other change."""
    widened = set()
    for slug, was in plan["metrics"].items():
        now = wanted["metrics"].get(slug)
        if now is None:
            specs = [attrs["spec"] for attrs in (plan["metrics"] | wanted["metrics"]).values()]
            raise ChangedError(
                f"these results hold {was['spec']}, too; give --metrics {','.join(specs)}, which computes "
                "only what is new, or choose another results folder, or --overwrite"
            )
        if now == was:
            continue
        keys = sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
        ranges = [json.loads(attrs["parameters"]).pop("data_range", None) for attrs in (was, now)]
        rest = [json.loads(attrs["parameters"]) | {"data_range": None} for attrs in (was, now)]
        automatic = slug in plan["automatic"] and slug in wanted["automatic"]
        if automatic and keys == ["parameters"] and rest[0] == rest[1]:
            widened.add(slug)
            warnings.warn(
                f"the range of the data was {ranges[0]:g} and is now {ranges[1]:g}: "
                f"{was['spec']} is computed again",
                UserWarning,
                stacklevel=2,
            )
        else:
            told = "; ".join(f"{key} was {was.get(key)} and is now {now.get(key)}" for key in keys)
            raise _changed(f"the definition of {was['spec']} changed: {told}")
    return frozenset(widened)


def _changed(what: str) -> ChangedError:
    return ChangedError(
        f"these results do not match this command: {what}; choose another results folder, or --overwrite"
    )


def is_same(request: Request, earlier: Earlier, url: str, attrs: dict[str, Any]) -> bool:
    """Whether grown scores were begun towards exactly this request."""
    plan = attrs[score_store.ATTR_PLAN]
    if plan != record(request, plan["block"], plan["tile"], earlier):
        return False
    opened = score_store.arrays(url, attrs["run"])
    return (
        attrs[score_store.ATTR_MODELS] == list(request.models)
        and tuple(map(str, np.asarray(opened[schema.IMAGE][:]))) == request.images
        and np.array_equal(opened[score_store.INPUT_CRC][:], input_crc(request.maps))
    )
