"""What a results folder shows people: tables, pictures and the report of one analysis."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from html import escape
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from salzarr import plan, plot
from salzarr.errors import (
    CorruptError,
    InputNotFoundError,
    SalzarrError,
    StoreNotFoundError,
    UsageError,
    listed,
)
from salzarr.invocation import RECORD, add_to_record, call_of, read_record
from salzarr.plot.kinds import KINDS
from salzarr.plot.map_pictures import photo_path
from salzarr.plot.style import numbers, own_figures
from salzarr.report import Page, write_report
from salzarr.report.page_inputs import REPORT_SIZE
from salzarr.schema import ATTR_PROVENANCE, IMAGE, MAP_STATUS, MAPS
from salzarr.scores import agreement, chance
from salzarr.scores.comparison import outline
from salzarr.scores.labels import groups_of, units_of
from salzarr.scores.leave_one_out import consensus_chain
from salzarr.scores.mismatched import zscored
from salzarr.scores.results_folder import maps_url, open_scores
from salzarr.statistics.analysis import Analysis, Settings, analyze
from salzarr.statistics.findings import findings
from salzarr.statistics.metric_pairs import metric_agreement
from salzarr.statistics.rows import ScoreReader, metric_names, metric_slug, model_names
from salzarr.statistics.summary import summarize, to_frame, to_matrix
from salzarr.store import facts, open_dataset
from salzarr.watching import html_link, html_table

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

SHOWN_MODELS = 12
"""Up to how many models a notebook is shown the matrix beside the report."""


@dataclass(frozen=True)
class Published:
    """What :func:`publish` wrote.

    Attributes
    ----------
    analysis : Analysis
        What the tables, the pictures and the report show.
    findings : list of str
        What the scores say, in sentences.
    files : list of Path
    """

    analysis: Analysis
    findings: list[str]
    files: list[Path]

    @property
    def summary(self) -> xr.Dataset:
        """Statistics per pair, as :func:`salzarr.summarize` makes them."""
        return self.analysis.summary

    @property
    def frame(self) -> pd.DataFrame:
        """The rows of ``summary.csv``."""
        return to_frame(self.summary)

    def _repr_html_(self) -> str:
        """Show the findings, the matrix of the first metric and the report, in a notebook."""
        parts = [f"<p>{escape(' '.join(self.findings))}</p>"]
        slug, models = metric_names(self.summary)[0], model_names(self.summary)
        if len(models) <= SHOWN_MODELS:
            matrix = to_matrix(self.summary, slug)
            texts = np.reshape(numbers(matrix.values), matrix.shape)
            lines = [[name, *line] for name, line in zip(models, texts, strict=True)]
            parts.append(html_table([str(matrix.attrs.get("spec", slug)), *models], lines))
        return "".join(parts) + ("" if self.report is None else html_link(self.report, frame=True))

    @property
    def report(self) -> Path | None:
        """The report, if it was written."""
        return next((path for path in self.files if path.name == "report.html"), None)


def publish(
    results: str | PathLike[str],
    *,
    bootstrap: int | None = None,
    seed: int | None = None,
    units: str | None = None,
    unit_mean: bool | None = None,
    group_by: str | None = None,
    test_models: Sequence[str] | None = None,
    margins: Mapping[str, float] | None = None,
    baseline: bool = False,
    maps: str | PathLike[str] | None = None,
    photos: str | PathLike[str] | None = None,
    pictures: bool = True,
    title: str | None = None,
    comment: str = "",
    report_size: str | int | None = None,
    memory: str | int | None = None,
    progress: Progress | None = None,
) -> Published:
    """Write the tables, one matrix picture per metric and ``report.html`` into a results folder.

    All of them show one analysis. Its settings are kept in ``run.json`` beside them, and used again by the
    next call unless others are given: the same scores and settings give the same numbers.

    Parameters
    ----------
    results : path
        The folder that :func:`salzarr.compare` wrote to.
    bootstrap : int, optional
        Resamples of the images, for the intervals; 0 for none. By default as many as before, or 2000.
    seed : int, optional
        Of everything that is drawn at random; by default that of before, or 0.
    units : str, optional
        Column of the labels of the images: those of one unit belong together, and are drawn, flipped, split
        and matched together. Labels are given to :func:`salzarr.compare`. An empty name for none.
    unit_mean : bool, optional
        Weigh units and not images equally.
    group_by : str, optional
        Column of the labels: ``groups.csv`` then has every statistic per label, and of two labels
        ``group_differences.csv`` what differs between them.
    test_models : sequence of str, optional
        Test which of two models is closer to these; to all of them, if there are not too many, by default.
    margins : mapping of str to float, optional
        Of metrics, in their units: whether a difference lies within the margin is tested.
    baseline : bool, default False
        Read the maps again for what takes more than the scores: the chance baseline of mismatched images
        (``corrected.csv``), how well each metric tells images apart (``discriminability.csv``), and the
        agreement with the consensus of the other models (``consensus.csv``). One that fails is noted and
        leaves the others alone.
    maps : path or URL, optional
        The maps store that was compared, if it is no longer where it was. Without it the report has no maps.
    photos : path, optional
        Folder of the photographs, for the report.
    pictures : bool, default True
        Write the pictures and the report, too.
    title : str, optional
        Of the report; by default it names the results folder.
    comment : str, optional
        Your comment, shown below the title; its lines are paragraphs.
    report_size : str or int, optional
        Limit of the report's size, by default ``"20MB"``: it carries as many maps as fit, of the images that
        tell most, and says how many did not fit.
    memory : str or int, optional
        Memory limit of this process, such as ``"1GiB"``, the default: scores that do not fit are reduced a
        range of pairs at a time. The process itself takes 480 MiB of it, and at least 128 MiB are used beside
        that.
    progress : callable, optional
        Called with (done, total) tasks of each further reading of the maps. In a notebook and at a prompt a
        bar is shown by itself.

    Returns
    -------
    Published

    Raises
    ------
    StoreNotFoundError, IncompleteError
        If there are no scores, or not all of them; or no maps where ``maps`` says.
    CorruptError
        If ``run.json`` is damaged.
    UsageError
        If there is no such column of labels or model, or fewer than two units.
    BudgetError
        If the scores of one pair do not fit the memory.
    """
    called = call_of(publish, locals())
    folder = Path(results)
    _check_photos(photos)
    size = plan.parse_size(report_size, "report size") or REPORT_SIZE
    given = {
        "bootstrap": bootstrap,
        "seed": seed,
        "units": units,
        "unit_mean": unit_mean,
        "group_by": group_by,
    }
    settings = _settings(folder, given | {"test_models": test_models, "margins": margins})
    reader = ScoreReader.of(ScoreReader(open_scores(folder), _beside_the_process(memory)))
    _check_photo_names(photos, reader.scores[IMAGE].values.tolist())
    _check(reader.scores, settings, baseline=baseline)
    again = _Again({}, {})
    if baseline:
        where = _maps_of(reader.scores, folder) if maps is None else fspath(maps)
        again = _read_again(reader, where, settings, progress)
    analysis = analyze(reader, settings=settings, notes=again.notes, **again.found)
    files = analysis.write(folder)
    sentences = findings(analysis)
    add_to_record(folder, report=called, settings=asdict(settings))
    if pictures:
        with own_figures():
            for slug in metric_names(analysis.summary):
                files += plot.save(plot.similarity_matrix(analysis.summary, slug), folder / f"matrix_{slug}")
        page = Page(
            title=title or f"Saliency maps compared: {folder.resolve().name}",
            comment=comment,
            findings=sentences,
            size=size,
            photos=photos,
            provenance=json.loads(str(reader.scores.attrs.get(ATTR_PROVENANCE, "{}"))),
            **_maps_shown(reader.scores, maps, folder),
        )
        files.append(write_report(folder / "report.html", analysis, reader.scores, page))
    return Published(analysis, sentences, files)


@dataclass(frozen=True)
class _Again:
    """What further readings of the maps gave, as :func:`analyze` takes it, and why others gave nothing."""

    found: dict[str, Any]
    notes: dict[str, str]


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
    _check(outline(maps, out=results, **asked), _settings(Path(results), chosen), baseline=baseline)


def _check(scores: xr.Dataset, settings: Settings, *, baseline: bool) -> None:
    """Refuse settings that do not fit the names and labels of scores."""
    if settings.unit_mean and settings.units is None:
        raise UsageError("units that weigh the same need a column of labels; give units= (--units)")
    units = units_of(scores, settings.units, equal=settings.unit_mean)
    if settings.group_by is not None:
        groups_of(scores, settings.group_by)
    known = model_names(scores)
    if unknown := [name for name in settings.test_models if name not in known]:
        raise UsageError(f"no model {unknown[0]!r} to test; the scores have {listed(known)}")
    if baseline and units.count < 2:
        raise UsageError("a baseline of chance needs at least two images; leave out --baseline")


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
    return again


def _settings(results: Path, given: Mapping[str, Any]) -> Settings:
    """Return the settings given, and for the others those of the last analysis of these results."""
    known = {field.name: getattr(Settings(), field.name) for field in fields(Settings)}
    before = read_record(results).get("settings", {})
    # What is kept decides numbers that are there anyway; groups are a table more, as the baseline is.
    settings = {name: value for name, value in before.items() if name in known and name != "group_by"}
    for name, value in settings.items():
        kinds = {"units": str, "group_by": str, "test_models": list, "margins": dict, "unit_mean": bool}
        right = isinstance(value, kinds.get(name, int | float)) or (value is None and known[name] is None)
        if not right or (name not in kinds and isinstance(value, bool)):
            raise CorruptError(f"{results / RECORD} is damaged (its setting {name} is {value!r}); delete it")
    settings |= {name: value for name, value in given.items() if value is not None}
    settings["units"] = settings.get("units") or None  # an empty name takes units back
    return Settings(**settings | {"test_models": tuple(settings.get("test_models", ()))})


def _beside_the_process(memory: str | int | None) -> int:
    """Return what the statistics may take of what the process may."""
    allowed = plan.parse_size(memory)
    return plan.MEMORY if allowed is None else max(plan.LEAST_BYTES, allowed - plan.PUBLISH_BYTES)


def _check_photos(photos: str | PathLike[str] | None) -> None:
    """Refuse a folder of photographs that does not exist."""
    if photos is not None and not Path(photos).is_dir():
        raise InputNotFoundError(f"no folder of photographs at {photos}; check --photos")


def _check_photo_names(photos: str | PathLike[str] | None, images: Sequence[str]) -> None:
    """Warn if no photograph is called like an image."""
    if photos is not None and not any(photo_path(photos, image) for image in images):
        there = sorted(path.name for path in Path(photos).iterdir())
        beside = f"it holds {listed(there, 3)}" if there else "it is empty"
        log.warning("no photograph in %s is called like an image, such as %s; %s", photos, images[0], beside)


def _maps_of(scores: xr.Dataset, results: Path) -> str:
    """Return where the maps of the scores are."""
    url = maps_url(scores)
    if url is None:
        raise StoreNotFoundError(f"{results} does not say where its maps are; run 'salzarr compare' again")
    return url


def _maps_shown(scores: xr.Dataset, maps: str | PathLike[str] | None, results: Path) -> dict[str, Any]:
    """Return what a page shows of the maps store, if it can be opened: maps, facts and commands."""
    called = read_record(results)
    commands = [called[name] for name in ("compare", "report") if name in called]
    url = maps_url(scores) if maps is None else fspath(maps)
    try:
        if url is None:
            raise StoreNotFoundError("the scores are not of a maps store")
        opened = open_dataset(url, allow_incomplete=True)  # as much as was compared
    except SalzarrError as error:
        if maps is not None:
            raise
        log.warning("the report shows no maps: %s", error)
        return {"commands": list(dict.fromkeys(commands))}
    runs = json.loads(opened.attrs.get(ATTR_PROVENANCE, "{}")).get("runs", [])
    commands = [run["command"] for run in runs if "command" in run] + commands
    return {
        "maps": _with_status(url),
        "facts": facts(url, allow_incomplete=True),
        "commands": list(dict.fromkeys(commands)),
    }


def _with_status(url: str | Path) -> xr.DataArray:
    """Open all maps with their status, which tells missing ones from those that are all NaN."""
    return open_dataset(url, allow_incomplete=True).set_coords(MAP_STATUS.name)[MAPS.name]


def draw(
    target: str | PathLike[str],
    kind: str,
    *,
    metric: str | None = None,
    output: str | PathLike[str] | None = None,
    group_by: str | None = None,
    photos: str | PathLike[str] | None = None,
    **options: Any,
) -> list[Path]:
    """Draw one kind of picture of a results folder or a maps store, and write it.

    Parameters
    ----------
    target : path
        A results folder; for the kind ``maps``, a maps store.
    kind : str
        One of :data:`salzarr.plot.kinds.KINDS`.
    metric : str, optional
        By default every metric of the results gets a picture.
    output : path, optional
        Its suffix is the format; by default ``<kind>.png`` in the results folder or beside the store. With
        several metrics their names are put before the suffix.
    group_by : str, optional
        Column of the labels of the images, for the kind ``groups``.
    photos : path, optional
        Folder of the photographs, for the kinds that show maps.
    **options
        Of the picture's function, such as ``order="cluster"``.

    Returns
    -------
    list of Path

    Raises
    ------
    UsageError
        If there is no such kind, metric or option, or what it needs was not given.
    StoreNotFoundError, IncompleteError
        If the target is not there, or not complete.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no picture {kind!r}; there are {', '.join(KINDS)}")
    what = KINDS[kind]
    _check_photos(photos)
    if photos is not None and not what.photos:
        raise UsageError(f"the picture {kind!r} shows no photographs; leave out --photos")
    if unknown := set(options) - set(inspect.signature(what.draw).parameters):
        raise UsageError(f"the picture {kind!r} has no option {', '.join(sorted(unknown))}")
    if what.photos:
        options["photos"] = photos
    scores = None if what.needs == ("maps",) else open_scores(target)
    if scores is not None:
        _check_photo_names(photos, scores[IMAGE].values.tolist())
    needed = [_material(name, Path(target), scores, group_by) for name in what.needs]
    chosen: list[str | None] = [None]
    if what.per_metric and scores is not None:
        chosen = [metric_slug(scores, metric)] if metric else [*metric_names(scores)]
    elif metric:
        raise UsageError(f"the picture {kind!r} is not of one metric; leave out --metric")
    folder = Path(target) if scores is not None else Path(target).parent
    path = folder / f"{kind}.png" if output is None else Path(output)
    files = []
    for slug in chosen:
        with own_figures():
            axes = what.draw(*needed, *([] if slug is None else [slug]), **options)
        name = path.stem if slug is None or (metric and output) else f"{path.stem}_{slug}"
        files += plot.save(axes, path.with_name(name), [path.suffix.removeprefix(".") or "png"])
    return files


def _material(
    name: str, target: Path, scores: xr.Dataset | None, group_by: str | None
) -> xr.Dataset | xr.DataArray:
    """Give a picture's function what it needs, by the name that :class:`salzarr.plot.kinds.Kind` calls it."""
    if scores is None:
        return _with_status(target)
    if name == "scores":
        return scores
    if name == "maps":
        return _with_status(_maps_of(scores, target))
    if name == "agreement":
        return metric_agreement(scores, summarize(scores), bootstrap=0)
    if name == "groups" and group_by is None:
        raise UsageError("name the column of labels by --group-by; labels are given to salzarr compare")
    return summarize(scores, group_by=group_by if name == "groups" else None)
