"""A comparison of which only statistics are kept: scores are reduced where they are made."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from salzarr import cluster, plan
from salzarr.bootstrap import PoissonMeans
from salzarr.pairwise.budget import fit
from salzarr.pairwise.durable import failure
from salzarr.pairwise.earlier import record
from salzarr.pairwise.lazy import attributes, coordinates
from salzarr.pairwise.request import Request, StoredMaps
from salzarr.pairwise.scores import ATTR_PLAN, provenance
from salzarr.pairwise.scoring import Scoring
from salzarr.pairwise.sketch import STATISTICS, Sketch
from salzarr.schema import (
    ATTR_KIND,
    ATTR_PROVENANCE,
    DIRECTION,
    IMAGE,
    PAIR,
    REASON,
    STATISTIC,
    Reason,
    reason_name,
)

logger = logging.getLogger(__name__)

MOST_POINTS = 512
"""Points of a sketch: a quartile is within about 0.2 % of its rank."""

SKETCH_BYTES = 64 * 2**20
"""All sketches of a task, about; with very many pairs, each keeps fewer points."""

CONFIDENCE = 0.95
INTERVAL = ("mean_low", "mean_high")

REPEATS = 1000
BOOTSTRAP_BYTES = 64 * 2**20
"""All resampled means of a task, about: with very many pairs there are fewer resamples, or none below 100."""

UNSCORED = tuple(reason for reason in Reason if reason is not Reason.SCORED)


@dataclass(frozen=True)
class Reduced:
    """What is kept of the scores of some images.

    Attributes
    ----------
    images : slice
    sketches : dict of str to Sketch
        By the metric's slug; its rows are pairs, or directions times pairs.
    means : dict of str to PoissonMeans
        Resampled means, for the interval of the mean; empty with very many pairs.
    reasons : dict of str to (reason, pair) int64
        Images without a score.
    failed : dict of int to str
        Images that could not be scored, and why.
    """

    images: slice
    sketches: dict[str, Sketch]
    means: dict[str, PoissonMeans]
    reasons: dict[str, NDArray[np.int64]]
    failed: dict[int, str]

    def merge(self, other: Reduced) -> Reduced:
        """Put together what is kept of two sets of images."""
        return Reduced(
            slice(min(self.images.start, other.images.start), max(self.images.stop, other.images.stop)),
            {slug: sketch.merge(other.sketches[slug]) for slug, sketch in self.sketches.items()},
            {slug: means.merge(other.means[slug]) for slug, means in self.means.items()},
            {slug: counts + other.reasons[slug] for slug, counts in self.reasons.items()},
            self.failed | other.failed,
        )


@dataclass(frozen=True)
class Part:
    """One task: the maps of some images, to be read, scored and reduced."""

    maps: StoredMaps
    images: slice
    scoring: Scoring
    points: int
    repeats: int

    def part(self, images: slice) -> Part:
        """Give the same for a part of the images."""
        where = slice(self.images.start + images.start, self.images.start + images.stop)
        return replace(self, maps=self.maps.part(range(len(self.maps.models)), images), images=where)


def reduce_part(part: Part) -> Reduced:
    """Do one task, on a worker: score a stored chunk of images at a time, and keep a sketch of it."""
    found = None
    pairs = part.scoring.pairs
    for chunk in part.maps.chunks():
        one = part.part(chunk)
        failed: dict[int, str] = {}
        arrays = part.scoring.score_isolated(one.maps, pairs, failed, one.images.start)
        sketches, means, reasons = {}, {}, {}
        # A resample weighs an image by its place in the store, in whichever block it is read.
        places = [str(place) for place in one.maps.images]
        for metric in part.scoring.metrics:
            values = arrays[metric.slug].reshape(-1, arrays[metric.slug].shape[-1])
            sketches[metric.slug] = Sketch.of(values, part.points)
            if part.repeats:
                means[metric.slug] = PoissonMeans.of(values, places, part.repeats)
            why = arrays[reason_name(metric.slug)]
            reasons[metric.slug] = np.stack([np.count_nonzero(why == reason, axis=1) for reason in UNSCORED])
        reduced = Reduced(one.images, sketches, means, reasons, failed)
        found = reduced if found is None else found.merge(reduced)
    assert found is not None
    return found


def stream(
    request: Request, *, memory: int | None = None, progress: Callable[[int, int], None] | None = None
) -> xr.Dataset:
    """Compare stored maps and keep statistics only.

    Parameters
    ----------
    request : Request
        Of stored maps.
    memory : int, optional
        Bytes that one process may take.
    progress : callable, optional
        ``progress(done, total)``, in blocks of images.

    Returns
    -------
    xarray.Dataset
        As :func:`salzarr.summarize` gives it: per metric (statistic, pair) or (statistic, direction, pair),
        and ``<metric>_reason`` (reason, pair). Quartiles are exact for as many images as a sketch has points,
        which ``attrs["sketch_points"]`` says, and approximate beyond. The interval of the mean is from a
        Poisson bootstrap.

    Raises
    ------
    BudgetError
        If a block does not fit the memory.
    RunError
        If the cluster is gone. Nothing is kept of a run that did not end.
    """
    cluster.check_workers(cluster.current_client(), request.maps.url)
    cut = fit(request, memory)
    scoring = Scoring(len(request.models), request.reference, request.metrics, cut.tile, request.models)
    rows = len(request.pairs) * sum(1 + metric.directed for metric in request.metrics)
    points = int(np.clip(SKETCH_BYTES // (8 * rows), 32, MOST_POINTS))
    repeats = min(REPEATS, BOOTSTRAP_BYTES // (16 * rows))
    every = range(len(request.models))
    parts = [
        Part(request.maps.part(every, images), images, scoring, points, repeats if repeats >= 100 else 0)
        for images in plan.blocks(len(request.images), cut.block)
    ]
    tree = _Tree(len(parts))
    finished = 0

    def done(reduced: Reduced) -> None:
        nonlocal finished
        finished += 1
        tree.add(reduced.images.start // cut.block, reduced)
        if progress is not None:
            progress(finished, len(parts))

    if progress is not None:
        progress(0, len(parts))
    with _beginning_anew():
        for part, why in cluster.run(reduce_part, parts, done):
            first, count = part.images.start, part.images.stop - part.images.start
            logger.warning("images %d to %d: %s; trying them apart", first, first + count - 1, why)
            done(cluster.run_apart(reduce_part, part, count, _blank, Reduced.merge))
    if tree.root.failed:
        warnings.warn(failure(request, tree.root.failed), UserWarning, stacklevel=3)
    made = record(request, cut.block, cut.tile)
    told = {ATTR_PLAN: made, ATTR_PROVENANCE: json.dumps(provenance(made), sort_keys=True)}
    return _summary(request, tree.root, points).assign_attrs(told)


@contextmanager
def _beginning_anew() -> Iterator[None]:
    """Tell whoever interrupts a run that keeps no scores what becomes of it."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("no scores are kept, so that the same command begins anew") from None


class _Tree:
    """Merges neighbours two by two, whichever comes first: the result is always the same."""

    def __init__(self, leaves: int) -> None:
        self.widths = [leaves]
        while self.widths[-1] > 1:
            self.widths.append(-(-self.widths[-1] // 2))
        self.waiting: dict[tuple[int, int], Reduced] = {}

    @property
    def root(self) -> Reduced:
        """What is left when all leaves have been added."""
        return self.waiting[len(self.widths) - 1, 0]

    def add(self, position: int, reduced: Reduced) -> None:
        """Add a leaf, and merge all that thereby have their neighbours."""
        for level, width in enumerate(self.widths[:-1]):
            left, right = position & ~1, position | 1
            if right < width:
                other = self.waiting.pop((level, left + right - position), None)
                if other is None:
                    self.waiting[level, position] = reduced
                    return
                reduced = other.merge(reduced) if position == right else reduced.merge(other)
            position //= 2
        self.waiting[len(self.widths) - 1, 0] = reduced


def _blank(part: Part, why: str) -> Reduced:
    """Give what is kept of an image that cannot be scored."""
    pairs = len(part.scoring.pairs)
    sketches, means, reasons = {}, {}, {}
    for metric in part.scoring.metrics:
        nothing = np.full((pairs * (1 + metric.directed), 1), np.nan)
        sketches[metric.slug] = Sketch.of(nothing, part.points)
        if part.repeats:
            means[metric.slug] = PoissonMeans.of(nothing, ["0"], part.repeats)
        reasons[metric.slug] = np.zeros((len(UNSCORED), pairs), np.int64)
        reasons[metric.slug][UNSCORED.index(Reason.FAILED)] = 1
    return Reduced(part.images, sketches, means, reasons, {part.images.start: why})


def _summary(request: Request, reduced: Reduced, points: int) -> xr.Dataset:
    """Label the statistics."""
    import xarray as xr

    variables: dict[str, Any] = {}
    for metric in request.metrics:
        values = reduced.sketches[metric.slug].statistics()
        if reduced.means:
            values = np.concatenate([values, reduced.means[metric.slug].interval(CONFIDENCE)])
        dims: tuple[str, ...] = (STATISTIC, PAIR)
        if metric.directed:
            dims, values = (STATISTIC, DIRECTION, PAIR), values.reshape(len(values), 2, -1)
        variables[metric.slug] = (dims, values, metric.attrs())
        variables[reason_name(metric.slug)] = ((REASON, PAIR), reduced.reasons[metric.slug], metric.attrs())
    labels = {name: label for name, label in coordinates(request).items() if name != IMAGE}
    labels[STATISTIC] = (STATISTIC, [*STATISTICS, *(INTERVAL if reduced.means else ())])
    labels[REASON] = (REASON, [reason.label for reason in UNSCORED])
    attrs = attributes(request) | {
        ATTR_KIND: "summary",
        "sketch_points": points,
        "failed": {str(request.images[image]): why for image, why in sorted(reduced.failed.items())},
    }
    if reduced.means:
        repeats = len(next(iter(reduced.means.values())).sums)
        how = {"repeats": repeats, "confidence": CONFIDENCE, "method": "poisson"}
        attrs["bootstrap"] = json.dumps(how)
    return xr.Dataset(variables, labels, attrs)
