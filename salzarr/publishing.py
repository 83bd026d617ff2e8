"""What a results folder shows people: the summary table, the pictures and the report."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from salzarr import plan, plot
from salzarr.errors import InputNotFoundError, StoreNotFoundError, UsageError
from salzarr.plot.kinds import KINDS
from salzarr.plot.style import numbers, own_figures
from salzarr.report import write_report
from salzarr.report.contents import REPORT_SIZE, Page
from salzarr.schema import MAP_STATUS, MAPS
from salzarr.scores.results_folder import maps_url, open_scores
from salzarr.statistics.analysis import analyse
from salzarr.statistics.findings import findings
from salzarr.statistics.groups import read_groups
from salzarr.statistics.rows import MEMORY, metric_names, metric_slug, model_names
from salzarr.statistics.summary import summarize, to_frame, to_matrix
from salzarr.store import open_dataset
from salzarr.watching import html_link, html_table, watched

BASE_BYTES = 480 * 2**20
"""A process that has scored, and has imported and compiled what reduces scores and draws pictures."""

LEAST_BYTES = 128 * 2**20

SHOWN_MODELS = 12
"""Up to how many models a notebook is shown the matrix beside the report."""


@dataclass(frozen=True)
class Published:
    """What :func:`publish` wrote.

    Attributes
    ----------
    summary : Dataset
        As :func:`salzarr.summarize` makes it.
    findings : list of str
        What the scores say, in sentences.
    files : list of Path
    """

    summary: xr.Dataset
    findings: list[str]
    files: list[Path]

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
    bootstrap: int = 2000,
    groups: str | PathLike[str] | None = None,
    baseline: bool = False,
    photos: str | PathLike[str] | None = None,
    pictures: bool = True,
    title: str | None = None,
    comment: str = "",
    report_size: str | int | None = None,
    memory: str | int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Published:
    """Write the tables, one matrix picture per metric and ``report.html`` into a results folder.

    Parameters
    ----------
    results : path
        The folder that :func:`salzarr.compare` wrote to.
    bootstrap : int, default 2000
        Resamples of the images, for the intervals; 0 for none.
    groups : path, optional
        A csv file of image and label: ``groups.csv`` then has every statistic per label.
    baseline : bool, default False
        Read the maps again for what takes more than the scores: the chance baseline of mismatched images
        (``corrected.csv``) and the agreement with the consensus of the other models (``consensus.csv``).
    photos : path, optional
        Folder of the photographs, for the report.
    pictures : bool, default True
        Write the pictures and the report, too.
    title : str, optional
        Of the report; by default it names the results folder.
    comment : str, optional
        What you have to say, shown below the title; its lines are paragraphs.
    report_size : str or int, optional
        What the report may weigh, such as ``"20MB"``, the default: as many maps of the images that tell most
        are carried as fit, and the page names how many did not.
    memory : str or int, optional
        What this process may take, such as ``"1GiB"``: scores that do not fit are reduced a range of pairs at
        a time. The process itself, with all that draws and compiles, is 480 MiB of it, and whatever is given,
        128 MiB are used beside it; 1 GiB by default.
    progress : callable, optional
        Called with (done, total) tasks of each further reading of the maps. In a notebook and at a prompt a
        bar is shown by itself.

    Returns
    -------
    Published

    Raises
    ------
    StoreNotFoundError, IncompleteError
        If there are no scores, or not all of them.
    BudgetError
        If the scores of one pair do not fit the memory.
    """
    folder, share = Path(results), _beside_the_process(memory)
    _check_photos(photos)
    scores = open_scores(folder)
    with watched(progress, "Reading maps") if baseline else nullcontext() as shown:
        found = analyse(
            scores,
            maps=_maps(scores, folder) if baseline else None,
            groups=None if groups is None else read_groups(groups),
            bootstrap=bootstrap,
            memory=share,
            progress=shown,
        )
    files = found.write(folder)
    sentences = findings(found)
    if pictures:
        with own_figures():
            for slug in metric_names(found.summary):
                files += plot.save(plot.similarity_matrix(found.summary, slug), folder / f"matrix_{slug}")
        kept = ("summary", "groups", "corrected", "consensus", "reliability", "tests")
        parts = {name: getattr(found, name) for name in kept}
        named = {
            "--groups": groups, "--photos": photos, "--title": title, "--comment": comment or None,
            "--report-size": None if report_size is None else str(report_size),
        }  # fmt: skip
        asked = [word for option, path in named.items() if path is not None for word in (option, str(path))]
        asked += ["--baseline"] * baseline
        page = Page(
            title, comment, tuple(sentences), plan.parse_size(report_size, "report size") or REPORT_SIZE
        )
        files.append(write_report(folder, photos=photos, asked=asked, page=page, memory=share, **parts))
    return Published(found.summary, sentences, files)


def _beside_the_process(memory: str | int | None) -> int:
    """Say what the statistics may take of what the process may."""
    allowed = plan.parse_size(memory)
    return MEMORY if allowed is None else max(LEAST_BYTES, allowed - BASE_BYTES)


def _check_photos(photos: str | PathLike[str] | None) -> None:
    """Refuse a folder of photographs that is not there."""
    if photos is not None and not Path(photos).is_dir():
        raise InputNotFoundError(f"there is no folder {photos} of photographs")


def _maps(scores: xr.Dataset, results: Path) -> str:
    """Tell where the maps of the scores are."""
    url = maps_url(scores)
    if url is None:
        raise StoreNotFoundError(f"{results} does not say where its maps are; give salzarr compare again")
    return url


def with_status(url: str | Path) -> xr.DataArray:
    """Open maps, all there are, with their status: that tells missing ones from those that are all NaN."""
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
        return with_status(target)
    if name == "scores":
        return scores
    if name == "maps":
        return with_status(_maps(scores, target))
    if name == "groups":
        if groups is None:
            raise UsageError("give the csv file of image and label by --groups")
        return summarize(scores, groups=read_groups(groups))
    return summarize(scores)
