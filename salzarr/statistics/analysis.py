"""Everything that can be said from scores, in one call; each part is a function of its own elsewhere.

==================  ===========================================================
``summary``         :func:`salzarr.statistics.summary.summarize`, with bootstrap intervals
``groups``          the same per group of images
``images``          :func:`salzarr.statistics.ranking.rank_images`
``reliability``     :func:`salzarr.statistics.inference.split_half`
``tests``           :func:`salzarr.statistics.inference.closer`
``agreement``       :func:`salzarr.statistics.structure.metric_agreement`
``clusters``        :func:`salzarr.statistics.structure.cluster`
``places``          :func:`salzarr.statistics.structure.embed`
``consensus``       :func:`salzarr.scores.leave_one_out.agreement`, summarised
``corrected``       :func:`salzarr.statistics.baseline.corrected`
==================  ===========================================================
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from salzarr.bootstrap import warning_once
from salzarr.errors import UsageError
from salzarr.scores import leave_one_out, mismatched
from salzarr.statistics import baseline
from salzarr.statistics.groups import Groups
from salzarr.statistics.inference import closer, split_half
from salzarr.statistics.ranking import rank_images
from salzarr.statistics.rows import MEMORY, load_if_small, metric_names, model_names
from salzarr.statistics.structure import Clustering, cluster, distances, embed, metric_agreement
from salzarr.statistics.summary import summarize, to_frame, write_table

log = logging.getLogger(__name__)

OPTIONAL = ("groups", "consensus", "corrected", "tests")
"""Tables that are there only if they were asked for, or are not too large."""

MOST_TESTS = 5_000
"""Comparisons per metric up to which all are tested without being asked for: those of 22 models."""


@dataclass(frozen=True)
class Analysis:
    """What :func:`analyse` found; see the module for which function made which part.

    Attributes
    ----------
    summary, images, reliability, agreement : Dataset
    groups, consensus, corrected : Dataset or None
        None if there are no groups, or no maps were given.
    tests : DataFrame or None
        None if there would be more than 5,000 per metric: call :func:`~salzarr.statistics.inference.closer`
        with the models that the question is about.
    clusters : dict of slug to Clustering
    places : dict of slug to DataArray (model, axis)
        Metrics for which too few pairs have a score are not in these two.
    """

    summary: xr.Dataset
    images: xr.Dataset
    reliability: xr.Dataset
    agreement: xr.Dataset
    groups: xr.Dataset | None
    consensus: xr.Dataset | None
    corrected: xr.Dataset | None
    tests: pd.DataFrame | None
    clusters: dict[str, Clustering]
    places: dict[str, xr.DataArray]

    def tables(self) -> dict[str, pd.DataFrame]:
        """Lay it all out as tables, by name."""
        found = {
            "summary": to_frame(self.summary),
            "images": self.images.to_dataframe().reset_index(),
            "reliability": self.reliability.to_dataframe().reset_index(),
            "agreement": self.agreement.to_dataframe().reset_index(),
        }
        for name in OPTIONAL:
            part = getattr(self, name)
            if part is not None:
                found[name] = part if name == "tests" else to_frame(part)
        return found

    def write(self, folder: str | PathLike[str]) -> list[Path]:
        """Write the tables as CSV files that are safe to open in a spreadsheet.

        Parameters
        ----------
        folder : path
            Made if it does not exist; files of these names in it are replaced, and those of tables that there
            are not are removed, since they are of other scores or options.

        Returns
        -------
        list of Path
        """
        where = Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        tables, written = self.tables(), []
        for name, table in tables.items():
            written.append(where / f"{name}.csv")
            write_table(table, written[-1])
        stale = [where / f"{name}.csv" for name in OPTIONAL if name not in tables]
        for path in (path for path in stale if path.exists()):
            log.info("%s was of an earlier run with other options, and is removed", path)
            path.unlink()
        return written


@warning_once()
def analyse(
    scores: xr.Dataset,
    *,
    maps: Any = None,
    groups: Groups | None = None,
    bootstrap: int = 2000,
    permutations: int = 9999,
    confidence: float = 0.95,
    normalize: str = leave_one_out.SUM,
    seed: int = 0,
    memory: int = MEMORY,
    progress: Callable[[int, int], None] | None = None,
) -> Analysis:
    """Say everything that can be said from scores, and, if the maps are given, from a second look at them.

    Parameters
    ----------
    scores : Dataset
        Of :func:`salzarr.compare` or :func:`salzarr.open_scores`.
    maps : path or URL of a maps store, DataArray, dict or list of arrays, optional
        The maps that were compared: for the consensus and the chance baseline, each of which reads them.
    groups : mapping of image to label, or path of a CSV file, optional
        See :func:`salzarr.summarize`.
    bootstrap, permutations : int
        Number of resamples, and of sign flips and permutations of models.
    confidence : float
        Of all intervals.
    normalize : str
        Of the maps before they are averaged to a consensus.
    seed : int
        Of everything that is drawn.
    memory : int
        Bytes.
    progress : callable, optional
        Is told (done, total) tasks of each reading of the maps.

    Returns
    -------
    Analysis

    Warns
    -----
    SmallSampleWarning
        If a pair, or a group of it, has fewer than 20 images: once, for the fewest.
    """
    scores = load_if_small(scores, memory)
    reduce = partial(summarize, bootstrap=bootstrap, confidence=confidence, seed=seed, memory=memory)
    summary = reduce(scores)
    count = len(model_names(scores))
    clusters, places = {}, {}
    for slug in metric_names(scores):
        try:
            apart = distances(summary, slug)
            clusters[slug], places[slug] = cluster(apart), embed(apart, seed=seed)
        except UsageError as error:
            log.info("%s: no clusters and no map of the models: %s", slug, error)
    tested = count * (count - 1) * (count - 2) // 2 <= MOST_TESTS
    if not tested:
        log.info("%d models are too many to test all pairs against each other; name some to closer()", count)
    agreed = corrected = None
    if maps is not None:
        alike = leave_one_out.agreement(scores, maps, normalize=normalize, memory=memory, progress=progress)
        agreed = reduce(alike).assign_coords(leave_one_out.made_from(alike))
        chance = mismatched.chance(scores, maps, seed=seed, memory=memory, progress=progress)
        corrected = baseline.corrected(
            scores, chance, repeats=bootstrap, confidence=confidence, seed=seed, memory=memory
        )
    return Analysis(
        summary=summary,
        images=rank_images(scores, memory=memory),
        reliability=split_half(scores, seed=seed, memory=memory),
        agreement=metric_agreement(summary, repeats=min(permutations, 9999), seed=seed),
        groups=None if groups is None else reduce(scores, groups=groups),
        consensus=agreed,
        corrected=corrected,
        tests=closer(scores, repeats=permutations, seed=seed, memory=memory) if tested else None,
        clusters=clusters,
        places=places,
    )
