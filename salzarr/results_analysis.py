"""From a results folder to its analysis: the settings kept there, and the maps read again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import xarray as xr

from salzarr import plan
from salzarr.errors import CorruptError, SalzarrError, StoreNotFoundError, UsageError
from salzarr.invocation import RECORD, read_record
from salzarr.run import Progress
from salzarr.scores import agreement, chance
from salzarr.scores.comparison import outline
from salzarr.scores.labels import groups_of, units_of
from salzarr.scores.leave_one_out import consensus_bounds, consensus_chain
from salzarr.scores.mismatched import zscored
from salzarr.scores.results_folder import maps_url, open_scores
from salzarr.statistics.analysis import Analysis, Settings, analyze, check_models
from salzarr.statistics.rows import ScoreReader
from salzarr.watching import watched

log = logging.getLogger(__name__)


def open_reader(results: Path, memory: str | int | None) -> ScoreReader:
    """Open the scores of a results folder, with what the statistics may take of the memory of the process."""
    allowed = plan.parse_size(memory)
    share = plan.MEMORY if allowed is None else max(plan.LEAST_BYTES, allowed - plan.PUBLISH_BYTES)
    return ScoreReader.of(ScoreReader(open_scores(results), share))


def analyze_results(
    reader: ScoreReader,
    settings: Settings,
    *,
    maps: str | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Analyze scores, and if the maps are given what takes a further reading of them.

    Raises
    ------
    UsageError
        If the settings do not fit the names and labels of the scores.
    """
    _check(reader.scores, settings, baseline=maps is not None)
    again = _Again({}, {})
    if maps is not None:
        with watched(progress, "Reading maps") as shown:
            again = _read_again(reader, maps, settings, shown)
    return analyze(reader, settings=settings, notes=again.notes, **again.found)


def settings_of(results: Path, given: Mapping[str, Any]) -> Settings:
    """Return the settings given, and for the others those of the last analysis of these results."""
    known = {field.name: getattr(Settings(), field.name) for field in fields(Settings)}
    before = read_record(results).get("settings", {})
    # Groups are a further table, as the baseline is: they are asked for each time.
    settings = {name: value for name, value in before.items() if name in known and name != "group_by"}
    for name, value in settings.items():
        kinds = {"units": str, "group_by": str, "test_models": list, "margins": dict, "unit_mean": bool}
        right = isinstance(value, kinds.get(name, int | float)) or (value is None and known[name] is None)
        if not right or (name not in kinds and isinstance(value, bool)):
            raise CorruptError(f"{results / RECORD} is damaged (its setting {name} is {value!r}); delete it")
    settings |= {name: value for name, value in given.items() if value is not None}
    settings["units"] = settings.get("units") or None  # an empty name is for none
    return Settings(**settings | {"test_models": tuple(settings.get("test_models", ()))})


def check_extras(
    maps: str, results: str, compared: Mapping[str, Any], chosen: Mapping[str, Any], *, baseline: bool
) -> None:
    """Refuse what the analysis of a comparison could not do, before anything is scored.

    Parameters
    ----------
    maps, results : path
    compared : mapping
        Options of :func:`salzarr.compare`.
    chosen : mapping
        Settings of the analysis, None for those of before.
    baseline : bool
        Whether mismatched images are to be scored.

    Raises
    ------
    UsageError, InputError
        If there is no such column of labels or model, or fewer than two units or, for the baseline, images.
    """
    asked = {name: value for name, value in compared.items() if name not in ("memory", "overwrite", "scores")}
    _check(outline(maps, out=results, **asked), settings_of(Path(results), chosen), baseline=baseline)


def _check(scores: xr.Dataset, settings: Settings, *, baseline: bool) -> None:
    """Refuse settings that do not fit the names and labels of scores."""
    if settings.unit_mean and settings.units is None:
        raise UsageError("units that weigh the same need a column of labels; give units= (--units)")
    units = units_of(scores, settings.units, equal=settings.unit_mean)
    if settings.group_by is not None:
        groups_of(scores, settings.group_by)
    check_models(scores, settings.test_models)
    if baseline and units.count < 2:
        raise UsageError("a baseline of chance needs at least two images; leave out --baseline")


@dataclass(frozen=True)
class _Again:
    """What further readings of the maps gave, as :func:`analyze` takes it, and why others gave nothing."""

    found: dict[str, Any]
    notes: dict[str, str]


def _read_again(reader: ScoreReader, maps: str, settings: Settings, progress: Progress | None) -> _Again:
    """Read the maps for what takes more than the scores; what fails is noted."""
    scores, share = reader.scores, reader.memory
    options: dict[str, Any] = {"memory": share, "progress": progress}
    drawn: dict[str, Any] = {"units": settings.units, "seed": settings.seed}
    again = _Again({}, {})

    def attempt(table: str, argument: str, compute: Callable[[], Any]) -> None:
        try:
            again.found[argument] = compute()
        except SalzarrError as error:
            again.notes[table] = str(error)
            log.warning("no table %s: %s", table, error)

    def consensus() -> xr.Dataset:
        if (chain := consensus_chain(scores, maps)) is None:
            raise UsageError(
                "maps with negative values have no consensus as they are; compare with --normalize abs, "
                "minmax or zscore"
            )
        return agreement(scores, maps, normalize=chain, **options)

    def apart() -> tuple[xr.Dataset, xr.Dataset] | None:
        again = zscored(scores, maps, **options)
        return None if again is None else (again, chance(again, maps, **drawn, **options))

    attempt("consensus", "consensus", consensus)
    attempt("corrected", "chance", lambda: chance(scores, maps, **drawn, **options))
    attempt("discriminability", "zscored", apart)
    attempt("map_ceilings", "bounds", lambda: consensus_bounds(scores, maps, **options))
    return again


def maps_of(scores: xr.Dataset, results: Path) -> str:
    """Return where the maps of the scores are."""
    url = maps_url(scores)
    if url is None:
        raise StoreNotFoundError(f"{results} does not say where its maps are; run 'salzarr compare' again")
    return url
