"""What a results folder shows people: tables, pictures and the report of one analysis."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from salzarr import plan, plot
from salzarr.drawing import check_photo_names, check_photos, with_status
from salzarr.errors import SalzarrError, StoreNotFoundError, without_secrets
from salzarr.invocation import add_to_record, call_of, read_record
from salzarr.plot.style import numbers, own_figures
from salzarr.report import Page, write_report
from salzarr.report.page_inputs import REPORT_SIZE
from salzarr.results_analysis import analyze_results, maps_of, open_reader, settings_of
from salzarr.run import Progress
from salzarr.schema import ATTR_PROVENANCE, IMAGE
from salzarr.scores.results_folder import maps_url
from salzarr.statistics.analysis import Analysis
from salzarr.statistics.findings import findings
from salzarr.statistics.rows import metric_names, model_names
from salzarr.statistics.summary import to_frame, to_matrix
from salzarr.store import facts, open_dataset
from salzarr.watching import html_link, html_table

log = logging.getLogger(__name__)


SHOWN_MODELS = 12
"""Models up to which a notebook shows the matrix beside the report."""


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
        Memory limit of this process, such as ``"2GiB"``: 480 MiB of it are for the process, the rest, at
        least 128 MiB, for scores, which are reduced a range of pairs at a time if they do not fit. By default
        1 GiB for scores.
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
    check_photos(photos)
    size = plan.parse_size(report_size, "report size") or REPORT_SIZE
    given = {
        "bootstrap": bootstrap, "seed": seed, "units": units, "unit_mean": unit_mean, "group_by": group_by,
        "test_models": test_models, "margins": margins,
    }  # fmt: skip
    settings = settings_of(folder, given)
    reader = open_reader(folder, memory)
    check_photo_names(photos, reader.scores[IMAGE].values.tolist())
    again = None
    if baseline:
        again = maps_of(reader.scores, folder) if maps is None else fspath(maps)
    analysis = analyze_results(reader, settings, maps=again, progress=progress)
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
            provenance=_provenance(reader.scores),
            **_maps_shown(reader.scores, maps, folder),
        )
        files.append(write_report(folder / "report.html", analysis, reader.scores, page))
    return Published(analysis, sentences, files)


def _provenance(scores: xr.Dataset) -> dict[str, Any]:
    """Return where scores come from as a page shows it: the maps as they were typed, no private folders."""
    found: dict[str, Any] = without_secrets(json.loads(str(scores.attrs.get(ATTR_PROVENANCE, "{}"))))
    if "typed" in (maps := found.get("maps", {})):
        shown = {**maps, "url": maps["typed"]}
        found["maps"] = {name: value for name, value in shown.items() if name != "typed"}
    return found


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
        "maps": with_status(url),
        "facts": facts(url, allow_incomplete=True),
        "commands": list(dict.fromkeys(commands)),
    }
