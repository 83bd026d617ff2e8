"""Everything that is said of scores, computed once: what tables, pictures and the report show.

==================  ===========================================================
``summary``         :func:`salzarr.statistics.summary.summarize`, with intervals
``groups``          the same per group of images
``images``          :func:`salzarr.statistics.ranking.rank_images`
``extremes``        :func:`salzarr.statistics.ranking.extremes`
``histograms``      :func:`salzarr.statistics.ranking.histograms`
``reliability``     :func:`salzarr.statistics.inference.split_half`
``tests``           :func:`salzarr.statistics.inference.closer`
``agreement``       :func:`salzarr.statistics.structure.metric_agreement`
``trees``           :func:`salzarr.statistics.structure.cluster`, by metric
``places``          :func:`salzarr.statistics.structure.embed`, by metric
``consensus``       :func:`salzarr.scores.agreement`, summarized
``corrected``       :func:`salzarr.statistics.baseline.corrected`
==================  ===========================================================
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path

import pandas as pd
import xarray as xr

from salzarr.bootstrap import warning_once
from salzarr.errors import UsageError
from salzarr.scores.leave_one_out import made_from
from salzarr.statistics.baseline import corrected
from salzarr.statistics.groups import Groups
from salzarr.statistics.inference import closer, split_half
from salzarr.statistics.ranking import extremes, histograms, rank_images
from salzarr.statistics.rows import ScoreReader, metric_names, model_names
from salzarr.statistics.structure import (
    Clustering,
    cluster,
    distances,
    embed,
    metric_agreement,
    reference_model,
)
from salzarr.statistics.summary import summarize, to_frame, write_table

log = logging.getLogger(__name__)

OPTIONAL = ("groups", "consensus", "corrected", "tests")
"""Tables that exist only if they were asked for, or are not too large."""

MOST_TESTS = 5_000
"""Comparisons per metric up to which all are tested without being asked for: those of 22 models."""

EXTREMES = 5
"""Images at either end of each pair."""


@dataclass(frozen=True)
class Settings:
    """What decides the numbers of an analysis, beside the scores.

    Attributes
    ----------
    bootstrap : int
        Resamples of the images for intervals; 0 for none.
    permutations : int
        Sign flips of images, and permutations of models.
    confidence : float
        Of all intervals.
    seed : int
        Of everything that is drawn at random.
    """

    bootstrap: int = 2000
    permutations: int = 9999
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Analysis:
    """What :func:`analyze` found; the module's table says which function made which part.

    Attributes
    ----------
    settings : Settings
    summary, images, extremes, histograms, reliability, agreement : Dataset
    groups, consensus, corrected : Dataset or None
        None if there are no groups, or no scores of that kind were given.
    tests : DataFrame or None
        None if there would be more than 5,000 per metric: call :func:`~salzarr.statistics.inference.closer`
        with the models that the question is about.
    trees : dict of slug to Clustering
    places : dict of slug to DataArray (model, axis)
        Metrics of which too few pairs have a score are in neither, nor is any below three models or where all
        were compared with one reference.
    """

    settings: Settings
    summary: xr.Dataset
    images: xr.Dataset
    extremes: xr.Dataset
    histograms: xr.Dataset
    reliability: xr.Dataset
    agreement: xr.Dataset
    groups: xr.Dataset | None
    consensus: xr.Dataset | None
    corrected: xr.Dataset | None
    tests: pd.DataFrame | None
    trees: dict[str, Clustering]
    places: dict[str, xr.DataArray]

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the analysis as tables, by name."""
        tables = {
            "summary": to_frame(self.summary),
            "images": self.images.to_dataframe().reset_index(),
            "reliability": self.reliability.to_dataframe().reset_index(),
            "agreement": self.agreement.to_dataframe().reset_index(),
        }
        for name in OPTIONAL:
            part = getattr(self, name)
            if part is not None:
                tables[name] = part if name == "tests" else to_frame(part)
        return tables

    def write(self, folder: str | PathLike[str]) -> list[Path]:
        """Write the tables as CSV files that are safe to open in a spreadsheet.

        Parameters
        ----------
        folder : path
            Created if it does not exist. Files of these names in it are replaced, and those of tables that
            this analysis does not have are deleted, since they belong to other scores or options.

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
            log.info("deleted %s, which an earlier run with other options wrote", path)
            path.unlink()
        return written


@warning_once()
def analyze(
    scores: xr.Dataset | ScoreReader,
    *,
    chance: xr.Dataset | None = None,
    consensus: xr.Dataset | None = None,
    groups: Groups | None = None,
    settings: Settings | None = None,
) -> Analysis:
    """Compute everything that is said of scores.

    Parameters
    ----------
    scores : Dataset or ScoreReader
        Of :func:`salzarr.compare` or :func:`salzarr.open_scores`.
    chance : Dataset, optional
        Scores of mismatched images, of :func:`salzarr.scores.chance`: for what remains beyond chance.
    consensus : Dataset, optional
        Scores of each model and the consensus of the others, of :func:`salzarr.scores.agreement`.
    groups : mapping of image to label, or path of a CSV file, optional
        See :func:`salzarr.summarize`.
    settings : Settings, optional
        Resamples, permutations, confidence and seed.

    Returns
    -------
    Analysis
        The same for the same scores and settings.

    Warns
    -----
    SmallSampleWarning
        If a pair, or a group of it, has fewer than 20 images: once, for the fewest.

    Examples
    --------
    >>> import numpy as np, salzarr
    >>> rng = np.random.default_rng(0)
    >>> maps = {name: rng.random((30, 8, 8)) for name in ("a", "b", "c")}
    >>> found = analyze(salzarr.compare(maps, "mse, pearson"))
    >>> sorted(found.tables())
    ['agreement', 'images', 'reliability', 'summary', 'tests']
    """
    use = settings or Settings()
    reader = ScoreReader.of(scores)
    reduce = partial(summarize, bootstrap=use.bootstrap, confidence=use.confidence, seed=use.seed)
    summary = reduce(reader)
    count = len(model_names(summary))
    tested = count * (count - 1) * (count - 2) // 2 <= MOST_TESTS
    if not tested:
        log.info("%d models are too many to test all pairs against each other; name some to closer()", count)
    trees, places = _arranged(summary, use.seed)
    return Analysis(
        settings=use,
        summary=summary,
        images=rank_images(reader),
        extremes=extremes(reader, EXTREMES),
        histograms=histograms(reader),
        reliability=split_half(reader, seed=use.seed),
        agreement=metric_agreement(summary, repeats=use.permutations, seed=use.seed),
        groups=None if groups is None else reduce(reader, groups=groups),
        consensus=None if consensus is None else reduce(consensus).assign_coords(made_from(consensus)),
        corrected=None
        if chance is None
        else corrected(reader, chance, repeats=use.bootstrap, confidence=use.confidence, seed=use.seed),
        tests=closer(reader, repeats=use.permutations, seed=use.seed) if tested else None,
        trees=trees,
        places=places,
    )


def _arranged(summary: xr.Dataset, seed: int) -> tuple[dict[str, Clustering], dict[str, xr.DataArray]]:
    """Cluster and place the models by each metric of which enough pairs have a score."""
    trees: dict[str, Clustering] = {}
    places: dict[str, xr.DataArray] = {}
    if len(model_names(summary)) < 3 or reference_model(summary) is not None:
        return trees, places
    for slug in metric_names(summary):
        try:
            apart = distances(summary, slug)
            trees[slug], places[slug] = cluster(apart), embed(apart, seed=seed)
        except UsageError as error:
            log.info("%s: no clusters and no map of the models: %s", slug, error)
    return trees, places
