"""The durable comparison: block by block into a scores store, and what fails is isolated."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from salzarr import cluster, plan, schema
from salzarr.errors import RunError, listed
from salzarr.metrics import Metric
from salzarr.pairwise import scores
from salzarr.pairwise.budget import fit
from salzarr.pairwise.earlier import Earlier, input_crc, is_same, reconcile, record, settle, swap
from salzarr.pairwise.request import Request, StoredMaps, runs_of
from salzarr.pairwise.scoring import Arrays, Scoring
from salzarr.schema import Reason

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One task: the maps of a block of images, read, scored, and written as one chunk of each metric.

    Attributes
    ----------
    maps : StoredMaps
        Of the block only.
    block : slice
        Its images, in the scores.
    scoring : Scoring
        With the metrics that are not done on this block.
    url, run : str
        The store of the scores.
    earlier : Earlier or None
    """

    maps: StoredMaps
    block: slice
    scoring: Scoring
    url: str
    run: str
    earlier: Earlier | None = None

    def part(self, images: slice) -> Job:
        """Give the same for a part of the block's images."""
        block = slice(self.block.start + images.start, self.block.start + images.stop)
        return replace(self, maps=self.maps.part(range(len(self.maps.models)), images), block=block)


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes
    ----------
    block : slice
    scored : int
        Scores that were computed: pairs times images times metrics; any others were copied.
    failed : dict of int to str
        Images that could not be scored, by position in the scores, and why.
    """

    block: slice
    scored: int
    failed: dict[int, str]


def work(job: Job) -> Outcome:
    """Do one job, on a worker: read, score all metrics, write. An image that cannot be scored is FAILED."""
    found, outcome = attempt(job)
    scores.write(job.url, job.run, job.block, found)
    return outcome


def attempt(job: Job) -> tuple[Arrays, Outcome]:
    """Score one job without writing."""
    groups: dict[bytes, tuple[list[Metric], NDArray[np.bool_]]] = {}
    for metric in job.scoring.metrics:
        none = np.zeros(job.maps.shape[1], np.bool_)
        known = none if job.earlier is None else job.earlier.known(metric, job.block)
        groups.setdefault(known.tobytes(), ([], known))[0].append(metric)
    found: Arrays = {}
    outcome = Outcome(job.block, 0, {})
    for metrics, known in groups.values():
        result, scored = _score_unknown(
            job, replace(job.scoring, metrics=tuple(metrics)), known, outcome.failed
        )
        found |= result
        outcome = replace(outcome, scored=outcome.scored + scored)
    return found, outcome


def _score_unknown(
    job: Job, scoring: Scoring, known: NDArray[np.bool_], failed: dict[int, str]
) -> tuple[Arrays, int]:
    """Copy the scores that are known, and compute the others: new pairs of known images, all of the rest."""
    pairs, old = scoring.pairs, 0
    found = scoring.empty(len(pairs), len(known), Reason.FAILED)
    if job.earlier is not None and known.any():
        old = job.earlier.pairs
        block = slice(job.block.start, min(job.block.stop, job.earlier.images))
        for name, values in scores.read(job.earlier.url, job.earlier.run, found, block).items():
            found[name][..., :old, : values.shape[-1]] = values
    scored = 0
    for new, images in ((pairs[old:], np.flatnonzero(known)), (pairs, np.flatnonzero(~known))):
        if len(new) and images.size:
            for run in runs_of(images.tolist()):
                part = job.part(run)
                for name, values in scoring.score_isolated(part.maps, new, failed, part.block.start).items():
                    found[name][..., len(pairs) - len(new) :, run] = values
            scored += len(new) * images.size * len(scoring.metrics)
    return found, scored


def bring_up(
    request: Request,
    url: str,
    *,
    memory: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Bring the scores at a URL to where the request is: from nothing, from where a run stopped, or grown.

    Parameters
    ----------
    request : Request
        Of stored maps.
    url : str
        Where the scores are, or will be.
    memory : int, optional
        Bytes that one process may take.
    progress : callable, optional
        ``progress(done, total)``, in blocks of images.

    Raises
    ------
    ChangedError, BudgetError, RunError, StoreError
        See :func:`salzarr.compare`.
    """
    cluster.check_workers(cluster.current_client(), request.maps.url)
    settle(url)
    request, begun = _begin(request, url, memory)
    pairs, images, metrics = len(request.pairs), len(request.images), len(request.metrics)
    counts = {"pair": pairs, "image": images, "metric": metrics}
    scope = " x ".join(f"{count:,} {what}{'s' * (count > 1)}" for what, count in counts.items())
    if begun.finished:
        blocks = -(-len(request.images) // begun.block)
        scores.check_chunks(begun.url, begun.run, request.metrics, blocks)
        logger.info("nothing to do: all of %s is scored", scope)
        return
    jobs = _jobs(request, begun)
    if kept := images - sum(job.maps.shape[1] for job in jobs):
        logger.info("continued: %s of %s images were scored already", f"{kept:,}", f"{images:,}")
    outcomes = _run(jobs, progress)
    failed = {image: why for outcome in outcomes for image, why in outcome.failed.items()}
    done = {
        "tasks": len(outcomes),
        "computing": sum(outcome.scored > 0 for outcome in outcomes),
        "scores": sum(outcome.scored for outcome in outcomes),
    }
    there = pairs * images * metrics - done["scores"]
    rest = f", {there:,} were there already" if there else ""
    logger.info("%s: %s scores computed%s", scope, f"{done['scores']:,}", rest)
    scores.finish(begun.url, sorted(failed), done)
    if begun.earlier is not None:
        swap(url)
    if failed:
        raise RunError(f"{failure(request, failed)}; the same command tries these again")


@dataclass(frozen=True)
class Begun:
    """A scores store that has its plan.

    Attributes
    ----------
    url, run : str
    block, tile : int
        Of its plan.
    earlier : Earlier or None
        What it is grown from.
    finished : bool
        Whether all of it is there, and nothing failed.
    """

    url: str
    run: str
    block: int
    tile: int
    earlier: Earlier | None = None
    finished: bool = False


def _begin(request: Request, url: str, memory: int | None) -> tuple[Request, Begun]:
    """Find the scores store to go on with, or make it; the request comes back in its order."""
    recorded, earlier, target = scores.attributes(url), None, url
    kept: dict[str, int] = {}
    if recorded is not None:
        request, earlier = reconcile(request, url, recorded)
    if earlier is not None:
        assert recorded is not None
        # Blocks stay what they were: one of the new scores is copied from one of the old.
        kept, target = {"block": recorded[scores.ATTR_PLAN]["block"]}, scores.growing(url)
        recorded = scores.attributes(target)
        if recorded is not None and not is_same(request, earlier, target, recorded):
            recorded = None  # grown towards something else, and never finished
    if recorded is None:
        cut = fit(request, memory, **kept)
        made = record(request, cut.block, cut.tile, earlier)
        run = scores.create(target, request, input_crc(request.maps), made)
        return request, Begun(target, run, cut.block, cut.tile, earlier)
    block, tile = (recorded[scores.ATTR_PLAN][key] for key in ("block", "tile"))
    fit(request, memory, block=block, tile=tile)
    finished = recorded[schema.ATTR_COMPLETE] and not recorded[scores.ATTR_FAILED]
    if not finished:
        scores.begin(target)
    return request, Begun(target, recorded["run"], block, tile, earlier, finished and earlier is None)


def _jobs(request: Request, begun: Begun) -> list[Job]:
    """Make a job of every block and the metrics that are not done on it."""
    done = scores.done(begun.url, begun.run, request.metrics)
    scoring = Scoring(len(request.models), request.reference, request.metrics, begun.tile, request.models)
    jobs = []
    for number, images in enumerate(plan.blocks(len(request.images), begun.block)):
        metrics = tuple(metric for metric in request.metrics if number not in done[metric.slug])
        if metrics:
            maps = request.maps.part(range(len(request.models)), images)
            left = replace(scoring, metrics=metrics)
            jobs.append(Job(maps, images, left, begun.url, begun.run, begun.earlier))
    return jobs


def _run(jobs: list[Job], progress: Callable[[int, int], None] | None) -> list[Outcome]:
    """Run the jobs; those that kill their workers are taken apart until the images that do it are alone."""
    outcomes: list[Outcome] = []

    def done(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if progress is not None:
            progress(len(outcomes), len(jobs))

    if progress is not None:
        progress(0, len(jobs))
    for job, why in cluster.run(work, jobs, done):
        logger.warning("images %d to %d: %s; trying them apart", job.block.start, job.block.stop - 1, why)
        images = job.block.stop - job.block.start
        found, outcome = cluster.run_apart(attempt, job, images, _blank, _join)
        scores.write(job.url, job.run, job.block, found)
        done(outcome)
    return outcomes


def _blank(job: Job, why: str) -> tuple[Arrays, Outcome]:
    """Give the scores of an image that cannot be scored."""
    arrays = job.scoring.empty(len(job.scoring.pairs), 1, Reason.FAILED)
    return arrays, Outcome(job.block, 0, {job.block.start: why})


def _join(a: tuple[Arrays, Outcome], b: tuple[Arrays, Outcome]) -> tuple[Arrays, Outcome]:
    """Put neighbouring parts of a block together."""
    arrays = {name: np.concatenate([a[0][name], b[0][name]], axis=-1) for name in a[0]}
    block = slice(a[1].block.start, b[1].block.stop)
    return arrays, Outcome(block, a[1].scored + b[1].scored, a[1].failed | b[1].failed)


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
