"""The durable comparison: block by block into a scores store, and what fails is isolated."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from salzarr import plan, schema, store
from salzarr.cluster import check_workers, current_client
from salzarr.errors import ChangedError, RunError, listed, storage_errors
from salzarr.maps import StoreMaps
from salzarr.metrics import Metric
from salzarr.run import Progress, run
from salzarr.schema import Reason
from salzarr.scores import score_store
from salzarr.scores.budget import fit
from salzarr.scores.growth import Earlier, input_crc, is_same, reconcile, record
from salzarr.scores.replacement import growing, remove, settle, swap
from salzarr.scores.request import Request
from salzarr.scores.scoring import MapsJob, Scores, Scoring
from salzarr.sources.source import runs

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreJob(MapsJob):
    """Read the maps of a block of images, score them, and write one chunk of each metric.

    A part of a block does not write, since a chunk has one writer: its scores come back.

    Attributes
    ----------
    block : slice
        The images of the whole block.
    scoring : Scoring
        With the metrics that are not done on this block.
    url, run : str
        The store of the scores.
    earlier : Earlier or None
        Scores that can be copied.
    """

    block: slice
    scoring: Scoring
    url: str
    run: str
    earlier: Earlier | None = None

    def __call__(self) -> ScoreResult:
        """Score all metrics; an image that cannot be scored is FAILED."""
        groups: dict[bytes, tuple[list[Metric], NDArray[np.bool_]]] = {}
        for metric in self.scoring.metrics:
            none = np.zeros(len(self), np.bool_)
            known = none if self.earlier is None else self.earlier.known(metric, self.images)
            groups.setdefault(known.tobytes(), ([], known))[0].append(metric)
        arrays: Scores = {}
        failed: dict[int, str] = {}
        scored = 0
        for metrics, known in groups.values():
            scoring = replace(self.scoring, metrics=tuple(metrics))
            more, count = self._score_unknown(scoring, known, failed)
            arrays |= more
            scored += count
        if self.images != self.block:
            return ScoreResult(self, scored, failed, arrays)
        score_store.write(self.url, self.run, self.block, arrays)
        return ScoreResult(None, scored, failed)

    def failed(self, why: str) -> ScoreResult:
        """Return the result for an image that cannot be scored."""
        arrays = self.scoring.empty(1, Reason.FAILED)
        return ScoreResult(self, 0, {self.images.start: why}, arrays)

    def _score_unknown(
        self, scoring: Scoring, known: NDArray[np.bool_], failed: dict[int, str]
    ) -> tuple[Scores, int]:
        """Copy the known scores and compute the others: new pairs of known images, all pairs of the rest."""
        arrays = scoring.empty(len(known), Reason.FAILED)
        pairs, old = len(scoring.design.pairs), 0
        if self.earlier is not None and known.any():
            old = self.earlier.pairs
            there = slice(self.images.start, min(self.images.stop, self.earlier.images))
            for name, values in score_store.read(self.earlier.url, self.earlier.run, arrays, there).items():
                arrays[name][..., :old, : values.shape[-1]] = values
        scored = 0
        for first, images in ((old, np.flatnonzero(known)), (0, np.flatnonzero(~known))):
            if first < pairs and images.size:
                new = replace(scoring, design=scoring.design.after(first))
                for some in runs(images.tolist()):
                    part = self.part(some)
                    for name, values in new.score_isolated(part.inputs, failed, part.images.start).items():
                        arrays[name][..., first:, some] = values
                scored += (pairs - first) * images.size * len(scoring.metrics)
        return arrays, scored


@dataclass(frozen=True)
class ScoreResult:
    """The result of a job.

    Attributes
    ----------
    part : ScoreJob or None
        Of what part of a block the arrays are; None for a whole block, which is written.
    scored : int
        Scores that were computed: pairs times images times metrics; any others were copied.
    failed : dict of int to str
        Images that could not be scored, by position in the scores, and why.
    arrays : dict of str to ndarray
        The scores of a part.
    """

    part: ScoreJob | None
    scored: int
    failed: dict[int, str]
    arrays: Scores | None = None


def bring_up(
    request: Request,
    url: str,
    *,
    memory: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Compute whatever scores are missing at a URL.

    Parameters
    ----------
    request : Request
        Of stored maps.
    memory : int, optional
        Bytes per process.
    progress : callable, optional
        ``progress(done, total)``, in blocks of images.

    Raises
    ------
    ChangedError, BudgetError, RunError, StoreError
        See :func:`salzarr.compare`.
    """
    assert isinstance(request.maps, StoreMaps)
    read = partial(store.open_dataset, request.maps.url, allow_incomplete=True)
    check_workers(current_client(), request.maps.url, read)
    settle(url)
    request, begun = _begin(request, url, memory)
    pairs, images, metrics = len(request.pairs), len(request.images), len(request.metrics)
    counts = {"pair": pairs, "image": images, "metric": metrics}
    scope = " x ".join(f"{count:,} {what}{'s' * (count > 1)}" for what, count in counts.items())
    if begun.finished:
        blocks = -(-len(request.images) // begun.block)
        score_store.check_chunks(begun.url, begun.run, request.metrics, blocks)
        logger.info("nothing to do: all of %s is scored", scope)
        return
    jobs = _jobs(request, begun)
    if kept := images - sum(map(len, jobs)):
        logger.info("continued: %s of %s images were scored already", f"{kept:,}", f"{images:,}")
    results = _run(jobs, progress)
    failed = {image: why for result in results for image, why in result.failed.items()}
    done = {
        "tasks": len(results),
        "computing": sum(result.scored > 0 for result in results),
        "scores": sum(result.scored for result in results),
    }
    there = pairs * images * metrics - done["scores"]
    rest = f", {there:,} were there already" if there else ""
    logger.info("%s: %s scores computed%s", scope, f"{done['scores']:,}", rest)
    assert isinstance(request.maps, StoreMaps)
    compared = score_store.arrays(begun.url, begun.run)[score_store.INPUT_CRC]
    if not np.array_equal(np.asarray(compared[:]), input_crc(request.maps)):
        raise ChangedError(
            f"{request.maps.url} was replaced or changed while it was compared; give the same command with "
            "--overwrite"
        )
    score_store.finish(begun.url, sorted(failed), done)
    if begun.earlier is not None:
        swap(url)
    if failed:
        raise RunError(f"{failure(request, failed)}; the same command tries these again")


@dataclass(frozen=True)
class Begun:
    """A scores store that has its plan: block and tile.

    ``earlier`` is what it grows from; ``finished`` means that all of it is there, and nothing failed.
    """

    url: str
    run: str
    block: int
    tile: int
    earlier: Earlier | None = None
    finished: bool = False


def _begin(request: Request, url: str, memory: int | None) -> tuple[Request, Begun]:
    """Find the scores store to go on with, or create it; the request comes back in its order."""
    recorded, earlier, target = score_store.attributes(url), None, url
    kept: dict[str, int] = {}
    if recorded is not None:
        request, earlier = reconcile(request, url, recorded)
    if earlier is not None:
        assert recorded is not None
        # Blocks stay what they were: one of the new scores is copied from one of the old.
        kept, target = {"block": recorded[score_store.ATTR_PLAN]["block"]}, growing(url)
        recorded = score_store.attributes(target)
        if recorded is not None and not is_same(request, earlier, target, recorded):
            recorded = None  # grown towards something else, and never finished
    if recorded is None:
        cut = fit(request, memory, **kept)
        made = record(request, cut.block, cut.tile, earlier)
        with storage_errors(target):
            remove(target)
        run = score_store.create(target, request, input_crc(request.maps), made)
        return request, Begun(target, run, cut.block, cut.tile, earlier)
    block, tile = (recorded[score_store.ATTR_PLAN][key] for key in ("block", "tile"))
    fit(request, memory, block=block, tile=tile)
    finished = recorded[schema.ATTR_COMPLETE] and not recorded[score_store.ATTR_FAILED]
    relabeled = score_store.update_labels(target, recorded["run"], request)
    finished = finished and not relabeled
    if not finished:
        score_store.begin(target)
    return request, Begun(target, recorded["run"], block, tile, earlier, finished and earlier is None)


def _jobs(request: Request, begun: Begun) -> list[ScoreJob]:
    """Make a job of every block and the metrics that are not done on it."""
    done = score_store.done(begun.url, begun.run, request.metrics)
    scoring = Scoring(request.design, request.metrics, begun.tile)
    jobs = []
    for number, images in enumerate(plan.blocks(len(request.images), begun.block)):
        metrics = tuple(metric for metric in request.metrics if number not in done[metric.slug])
        if metrics:
            inputs = request.design.inputs(request.maps, images)
            left = replace(scoring, metrics=metrics)
            jobs.append(ScoreJob(inputs, images, images, left, begun.url, begun.run, begun.earlier))
    return jobs


def _run(jobs: list[ScoreJob], progress: Progress | None) -> list[ScoreResult]:
    """Run the jobs, and write the blocks that had to be taken apart; return one result for each block."""
    results: list[ScoreResult] = []
    parts: list[ScoreResult] = []

    def done(result: ScoreResult) -> None:
        if result.part is None:
            results.append(result)
            return
        parts.append(result)
        job = result.part
        if job.images.stop == job.block.stop:  # the last of its block
            arrays = [part.arrays or {} for part in parts]
            joined = {name: np.concatenate([of[name] for of in arrays], axis=-1) for name in arrays[0]}
            score_store.write(job.url, job.run, job.block, joined)
            failed = {image: why for part in parts for image, why in part.failed.items()}
            results.append(ScoreResult(None, sum(part.scored for part in parts), failed))
            parts.clear()

    run(jobs, done, progress, lambda job, why: done(job.failed(why)))
    return results


def failure(request: Request, failed: dict[int, str]) -> str:
    """Name the images that could not be scored, by what went wrong."""
    told: dict[str, list[str]] = {}
    for image, why in sorted(failed.items()):
        told.setdefault(why, []).append(str(request.images[image]))
    reasons = [f"{listed(images, 3)} ({why})" for why, images in list(told.items())[:5]]
    more = f"; {len(told) - 5} more reasons" if len(told) > 5 else ""
    rest = "; all others are done" if len(failed) < len(request.images) else ""
    return (
        f"{len(failed)} of {len(request.images)} images could not be scored: {'; '.join(reasons)}{more}{rest}"
    )
