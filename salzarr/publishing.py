"""What a results folder shows people: tables, pictures and the report of one analysis."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from html import escape
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from salzarr import plan, plot
from salzarr.errors import CorruptError, InputNotFoundError, SalzarrError, StoreNotFoundError, UsageError
from salzarr.invocation import RECORD, add_to_record, call_of, read_record
from salzarr.plot.kinds import KINDS
from salzarr.plot.style import numbers, own_figures
from salzarr.report import Page, write_report
from salzarr.report.page_inputs import REPORT_SIZE
from salzarr.schema import ATTR_PROVENANCE, MAP_STATUS, MAPS
from salzarr.scores import agreement, chance
from salzarr.scores.results_folder import maps_url, open_scores
from salzarr.statistics.analysis import Analysis, Settings, analyze
from salzarr.statistics.findings import findings
from salzarr.statistics.groups import read_groups
from salzarr.statistics.rows import ScoreReader, metric_names, metric_slug, model_names
from salzarr.statistics.summary import summarize, to_frame, to_matrix
from salzarr.store import facts, open_dataset
from salzarr.watching import html_link, html_table, watched

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
    groups: str | PathLike[str] | None = None,
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
    groups : path, optional
        A CSV file of image and label: ``groups.csv`` then has every statistic per label.
    baseline : bool, default False
        Read the maps again for what takes more than the scores: the chance baseline of mismatched images
        (``corrected.csv``) and the agreement with the consensus of the other models (``consensus.csv``).
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
    BudgetError
        If the scores of one pair do not fit the memory.
    """
    called = call_of(publish, locals())
    folder = Path(results)
    _check_photos(photos)
    size = plan.parse_size(report_size, "report size") or REPORT_SIZE
    labels = None if groups is None else read_groups(groups)
    settings = _settings(folder, {"bootstrap": bootstrap, "seed": seed})
    reader = ScoreReader.of(ScoreReader(open_scores(folder), _beside_the_process(memory)))
    again: dict[str, xr.Dataset] = {}
    if baseline:
        where = _maps_of(reader.scores, folder) if maps is None else fspath(maps)
        scores, share = reader.scores, reader.memory
        with watched(progress, "Reading maps") as shown:
            again["consensus"] = agreement(scores, where, memory=share, progress=shown)
            again["chance"] = chance(scores, where, seed=settings.seed, memory=share, progress=shown)
    analysis = analyze(reader, groups=labels, settings=settings, **again)
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


def _settings(results: Path, given: Mapping[str, int | None]) -> Settings:
    """Return the settings given, and for the others those of the last analysis of these results."""
    known = {field.name for field in fields(Settings)}
    before = read_record(results).get("settings", {})
    settings = {name: value for name, value in before.items() if name in known}
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in settings.values()):
        raise CorruptError(f"{results / RECORD} is damaged (settings are numbers); delete it")
    return Settings(**settings | {name: value for name, value in given.items() if value is not None})


def _beside_the_process(memory: str | int | None) -> int:
    """Return what the statistics may take of what the process may."""
    allowed = plan.parse_size(memory)
    return plan.MEMORY if allowed is None else max(plan.LEAST_BYTES, allowed - plan.PUBLISH_BYTES)


def _check_photos(photos: str | PathLike[str] | None) -> None:
    """Refuse a folder of photographs that does not exist."""
    if photos is not None and not Path(photos).is_dir():
        raise InputNotFoundError(f"no folder of photographs at {photos}; check --photos")


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
    groups: str | PathLike[str] | None = None,
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
    groups : path, optional
        A csv file of image and label, for the kind ``groups``.
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
    needed = [_material(name, Path(target), scores, groups) for name in what.needs]
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
    name: str, target: Path, scores: xr.Dataset | None, groups: str | PathLike[str] | None
) -> xr.Dataset | xr.DataArray:
    """Give a picture's function what it needs, by the name that :class:`salzarr.plot.kinds.Kind` calls it."""
    if scores is None:
        return _with_status(target)
    if name == "scores":
        return scores
    if name == "maps":
        return _with_status(_maps_of(scores, target))
    if name == "groups":
        if groups is None:
            raise UsageError("give the csv file of image and label by --groups")
        return summarize(scores, groups=read_groups(groups))
    return summarize(scores)
