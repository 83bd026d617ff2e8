"""Everything that is said of scores, computed once: what tables, pictures and the report show.

==================  ===========================================================
``summary``         :func:`salzarr.statistics.summary.summarize`, with intervals
``groups``          the same per group of images
``images``          :func:`salzarr.statistics.ranking.rank_images`
``extremes``        :func:`salzarr.statistics.ranking.extremes`
``histograms``      :func:`salzarr.statistics.ranking.histograms`
``reliability``     :func:`salzarr.statistics.reliability.split_half`
``tests``           :func:`salzarr.statistics.closeness.closer`
``agreement``       :func:`salzarr.statistics.metric_pairs.metric_agreement`
``trees``           :func:`salzarr.statistics.structure.cluster`, by metric
``places``          :func:`salzarr.statistics.structure.embed`, by metric
``consensus``       :func:`salzarr.scores.agreement`, summarized
``corrected``       :func:`salzarr.statistics.baseline.corrected`
==================  ===========================================================
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from salzarr.bootstrap import warning_once
from salzarr.errors import SalzarrError, UsageError, listed
from salzarr.scores.labels import units_of
from salzarr.scores.leave_one_out import made_from
from salzarr.statistics.baseline import corrected
from salzarr.statistics.closeness import closer, comparisons
from salzarr.statistics.group_differences import compare_groups
from salzarr.statistics.limits import map_ceilings, matrix_ceilings, tell_images_apart
from salzarr.statistics.metric_pairs import changed_conclusions, metric_agreement
from salzarr.statistics.ranking import extremes, histograms, rank_images
from salzarr.statistics.reliability import split_half
from salzarr.statistics.rows import ScoreReader, metric_names, model_names
from salzarr.statistics.structure import (
    Clustering,
    cluster,
    distances,
    embed,
    reference_model,
)
from salzarr.statistics.summary import summarize, to_frame, write_table
from salzarr.units import Units

log = logging.getLogger(__name__)

OPTIONAL = (
    "groups", "group_differences", "consensus", "corrected", "discriminability", "map_ceilings",
    "conclusions",
    "tests",
)  # fmt: skip
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
        Resamples of the units of images for intervals; 0 for none.
    permutations : int
        Sign flips of units, and permutations of models and of labels.
    confidence : float
        Confidence of all intervals.
    seed : int
        Seed of all random numbers.
    units : str or None
        Column of the labels: images of one unit belong together, and are drawn, flipped and split together.
    unit_mean : bool
        Whether units weigh the same, and not images.
    group_by : str or None
        Column of the labels: every statistic per group of images, too.
    test_models : tuple of str
        Models to which others are tested to be closer or not; all, if there are not too many, where empty.
    margins : mapping of str to float
        Margins by metric: differences within them count as none, and are tested for it.
    """

    bootstrap: int = 2000
    permutations: int = 9999
    confidence: float = 0.95
    seed: int = 0
    units: str | None = None
    unit_mean: bool = False
    group_by: str | None = None
    test_models: tuple[str, ...] = ()
    margins: Mapping[str, float] = field(default_factory=dict)


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
        None if there would be more than 5,000 per metric and no models were named for them.
    ceilings : DataFrame
        From :func:`~salzarr.statistics.limits.matrix_ceilings`.
    group_differences, discriminability, map_ceilings, conclusions : DataFrame or None
        From :func:`~salzarr.statistics.group_differences.compare_groups`, if there are two groups;
        :func:`~salzarr.statistics.limits.tell_images_apart`, if mismatched images were scored;
        :func:`~salzarr.statistics.limits.map_ceilings`, if each model was scored with the consensus; and
        :func:`~salzarr.statistics.metric_pairs.changed_conclusions`, of two metrics or more.
    notes : dict of str to str
        Why a table is missing, in a sentence, by its name.
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
    ceilings: pd.DataFrame
    group_differences: pd.DataFrame | None
    discriminability: pd.DataFrame | None
    map_ceilings: pd.DataFrame | None
    conclusions: pd.DataFrame | None
    notes: dict[str, str]
    trees: dict[str, Clustering]
    places: dict[str, xr.DataArray]

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the analysis as tables, by name."""
        tables = {
            "summary": to_frame(self.summary),
            "images": self.images.to_dataframe().reset_index(),
            "reliability": self.reliability.to_dataframe().reset_index(),
            "agreement": self.agreement.to_dataframe().reset_index(),
            "ceilings": self.ceilings,
        }
        for name in OPTIONAL:
            part = getattr(self, name)
            if part is not None:
                tables[name] = part if isinstance(part, pd.DataFrame) else to_frame(part)
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
    zscored: tuple[xr.Dataset, xr.Dataset] | None = None,
    bounds: tuple[xr.Dataset, xr.Dataset] | None = None,
    notes: Mapping[str, str] | None = None,
    settings: Settings | None = None,
) -> Analysis:
    """Compute everything that is said of scores.

    Parameters
    ----------
    scores : Dataset or ScoreReader
        From :func:`salzarr.compare` or :func:`salzarr.open_scores`.
    chance : Dataset, optional
        Scores of mismatched images, of :func:`salzarr.scores.chance`: for what remains beyond chance.
    consensus : Dataset, optional
        Scores of each model and the consensus of the others, of :func:`salzarr.scores.agreement`.
    zscored : (Dataset, Dataset), optional
        The scores and their chance baseline once more, of maps that were normalized by ``zscore``: whether
        metrics tell images apart by more than scale.
    bounds : (Dataset, Dataset), optional
        Scores with the consensus of the others and of all, of
        :func:`salzarr.scores.leave_one_out.consensus_bounds`.
    notes : mapping of str to str, optional
        Why one of these was not computed, by the table's name.
    settings : Settings, optional
        What else decides the numbers.

    Returns
    -------
    Analysis
        The same for the same scores and settings.

    Warns
    -----
    SmallSampleWarning
        If a pair, or a group of it, has fewer than 12 images or units: once, for the fewest.

    Examples
    --------
    >>> import numpy as np, salzarr
    >>> rng = np.random.default_rng(0)
    >>> maps = {name: rng.random((30, 8, 8)) for name in ("a", "b", "c")}
    >>> found = analyze(salzarr.compare(maps, "mse, pearson"))
    >>> sorted(found.tables())
    ['agreement', 'ceilings', 'conclusions', 'images', 'reliability', 'summary', 'tests']
    """
    use = settings or Settings()
    reader = ScoreReader.of(scores)
    units = units_of(reader.scores, use.units, equal=use.unit_mean)
    check_models(reader.scores, use.test_models)
    drawn: dict[str, Any] = {
        "units": units, "repeats": use.bootstrap, "confidence": use.confidence, "seed": use.seed,
    }  # fmt: skip
    reduce = partial(
        summarize, units=units, bootstrap=use.bootstrap, confidence=use.confidence, seed=use.seed
    )
    summary = reduce(reader)
    said = dict(notes or {})
    groups = differences = None
    if use.group_by is not None:
        groups = reduce(reader, group_by=use.group_by)
        compared = partial(compare_groups, reader, use.group_by, permutations=use.permutations, **drawn)
        differences = _or_note(said, "group_differences", compared)
    trees, places = _arranged(summary, use.seed)
    return Analysis(
        settings=use,
        summary=summary,
        images=rank_images(reader),
        extremes=extremes(reader, EXTREMES),
        histograms=histograms(reader),
        reliability=split_half(reader, units=units, seed=use.seed),
        agreement=metric_agreement(
            reader,
            summary,
            units=units,
            bootstrap=min(use.bootstrap, 1000),
            repeats=use.permutations,
            confidence=use.confidence,
            seed=use.seed,
        ),
        groups=groups,
        consensus=None if consensus is None else reduce(consensus).assign_coords(made_from(consensus)),
        corrected=None if chance is None else corrected(reader, chance, **drawn),
        tests=_or_note(said, "tests", partial(_tests, reader, units, use)),
        ceilings=matrix_ceilings(reader, **drawn),
        group_differences=differences,
        discriminability=None if chance is None else _told_apart(reader, chance, zscored, drawn),
        map_ceilings=None if bounds is None else map_ceilings(bounds, **drawn),
        conclusions=None
        if len(metric_names(summary)) < 2
        else changed_conclusions(reader, units=units, confidence=use.confidence),
        notes=said,
        trees=trees,
        places=places,
    )


def check_models(scores: xr.Dataset, names: Sequence[str]) -> None:
    """Refuse models to test that the scores do not have."""
    known = model_names(scores)
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"no model {unknown[0]!r} to test; the scores have {listed(known)}")


def _told_apart(
    reader: ScoreReader,
    chance: xr.Dataset,
    zscored: tuple[xr.Dataset, xr.Dataset] | None,
    drawn: Mapping[str, Any],
) -> pd.DataFrame:
    """Test how well each metric tells images apart, on the maps as they are and on their z-scores."""
    readings = [(reader.scores, chance), *([] if zscored is None else [zscored])]
    return pd.concat([tell_images_apart(*both, **drawn) for both in readings], ignore_index=True)


def _or_note(notes: dict[str, str], name: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame | None:
    """Compute a table, or note why it cannot be: it costs none of the others."""
    try:
        return compute()
    except SalzarrError as error:
        notes[name] = str(error)
        log.info("no table %s: %s", name, error)
        return None


def _tests(reader: ScoreReader, units: Units, use: Settings) -> pd.DataFrame:
    """Test which of two models is closer to a third, if there are not too many."""
    count = len(model_names(reader.scores))
    if not use.test_models and comparisons(count) > MOST_TESTS:
        raise UsageError(
            f"all tests of {count} models would be {comparisons(count):,} for each metric; name the models "
            "that the question is about by test_models (--test-models)"
        )
    return closer(
        reader,
        models=use.test_models or None,
        units=units,
        margins=use.margins,
        repeats=use.permutations,
        seed=use.seed,
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
