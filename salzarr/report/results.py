"""From a results folder to its report."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from salzarr.errors import InputError, SalzarrError
from salzarr.metrics.normalize import NONE
from salzarr.report.contents import Contents, Page
from salzarr.report.page import render
from salzarr.schema import (
    ATTR_FINGERPRINT,
    ATTR_PROVENANCE,
    IMAGE,
    MAP_STATUS,
    MAPS,
    MODEL,
    MODEL_A,
    MODEL_B,
    PAIR,
    REASON,
    STATISTIC,
    reason_name,
)
from salzarr.scores.results_folder import maps_url, open_scores
from salzarr.statistics.rows import MEMORY, metric_names, metric_rows, model_names, variable_names
from salzarr.statistics.summary import CONFIDENCE, COUNTS, TEXT, read_csv, summarize
from salzarr.store import facts, open_dataset

logger = logging.getLogger(__name__)

NAMED_IMAGES = 50
"""Up to how many chosen images a command names one by one."""


def write_report(
    results: str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    summary: xr.Dataset | None = None,
    groups: xr.Dataset | None = None,
    corrected: xr.Dataset | None = None,
    consensus: xr.Dataset | None = None,
    reliability: xr.Dataset | None = None,
    tests: pd.DataFrame | None = None,
    maps: str | PathLike[str] | None = None,
    photos: str | PathLike[str] | None = None,
    page: Page | None = None,
    asked: Sequence[str] = (),
    memory: int = MEMORY,
) -> Path:
    """Write the report of a results folder: one HTML file, opened by a double click.

    Parameters
    ----------
    results : path
        The folder that :func:`salzarr.compare` wrote to.
    out : path, optional
        By default ``report.html`` in that folder; replaced if it exists.
    summary : Dataset, optional
        Of :func:`salzarr.summarize`. By default what ``summary.csv`` of the folder holds; if there is no such
        file, the scores are summarized.
    groups, corrected, consensus, reliability : Dataset, optional
    tests : DataFrame, optional
        The parts of these names of a :class:`salzarr.statistics.analysis.Analysis`.
    maps : path, optional
        By default the store that was compared, if it is still there; without it the page has no thumbnails.
    photos : path, optional
        Folder of the photographs, which are named like the images.
    page : Page, optional
        Its title, comment, findings and size; see :class:`salzarr.report.contents.Page`.
    asked : sequence of str
        Options of ``salzarr compare`` beyond those of the scores, such as ``--baseline``: for the page to say
        how it is made again.
    memory : int
        Bytes that may be used to look at the scores.

    Returns
    -------
    Path
        Of the report.

    Raises
    ------
    StoreNotFoundError
        If there are no scores in the folder, or no maps at the path given.
    InputError
        If ``summary.csv`` does not belong to the scores.
    """
    folder, page = Path(results), page or Page()
    scores = open_scores(folder)
    table = folder / "summary.csv"
    if summary is None:
        summary = restored(read_csv(table), scores) if table.is_file() else summarize(scores)
    url = maps_url(scores) or "MAPS" if maps is None else fspath(maps)
    opened = None
    try:
        opened = open_dataset(url, allow_incomplete=True)  # so much as was compared
    except SalzarrError as error:
        if maps is not None:
            raise
        logger.warning("the report shows no maps: %s", error if maps_url(scores) else "none were stored")
    contents = Contents(
        summary=summary,
        scores=scores,
        groups=groups,
        corrected=corrected,
        consensus=consensus,
        reliability=reliability,
        tests=tests,
        maps=None if opened is None else opened.set_coords(MAP_STATUS.name)[MAPS.name],
        facts=None if opened is None else facts(url, allow_incomplete=True),
        photos=photos,
        page=page if page.title else replace(page, title=f"Saliency maps compared: {folder.resolve().name}"),
        commands=commands(scores, opened, maps=url, results=fspath(results), asked=asked),
        provenance=json.loads(str(scores.attrs.get(ATTR_PROVENANCE, "{}"))),
        memory=memory,
    )
    target = folder / "report.html" if out is None else Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    partial.write_text(render(contents), "utf-8")
    return partial.replace(target)


def restored(frame: pd.DataFrame, scores: xr.Dataset) -> xr.Dataset:
    """Turn a table of :func:`salzarr.to_frame` back into the summary of these scores, number by number.

    Raises
    ------
    InputError
        If its rows are not the scores' pairs.
    """
    statistics = ["n", *(name for name in frame.columns if name not in (*TEXT, *COUNTS, CONFIDENCE))]
    reasons = [name for name in COUNTS if name != "n"]
    a, b = (scores[end].values.astype(str) for end in (MODEL_A, MODEL_B))
    variables: dict[str, xr.DataArray] = {}
    for slug in variable_names(scores):
        rows = frame[frame["metric"] == slug]
        if "group" in frame or rows[MODEL_A].tolist() != a.tolist():
            raise InputError("summary.csv is not that of these scores; write it anew with 'salzarr report'")
        values = rows[statistics].to_numpy(float).T
        variables[slug] = xr.DataArray(values, dims=[STATISTIC, PAIR], attrs=scores[slug].attrs)
        counts = rows[reasons].to_numpy(int).T
        variables[reason_name(slug)] = xr.DataArray(counts, dims=[REASON, PAIR])
    coords = {
        STATISTIC: statistics,
        REASON: reasons,
        MODEL_A: (PAIR, a),
        MODEL_B: (PAIR, b),
    }
    attrs: dict[str, Any] = {"models": model_names(scores)}
    if CONFIDENCE in frame and len(frame):
        attrs["bootstrap"] = json.dumps({CONFIDENCE: float(frame[CONFIDENCE].iloc[0])})
    return xr.Dataset(variables, coords, attrs)


def commands(
    scores: xr.Dataset, opened: xr.Dataset | None, *, maps: str, results: str, asked: Sequence[str] = ()
) -> list[str]:
    """Spell the commands that make these results again.

    Parameters
    ----------
    scores : Dataset
    opened : Dataset, optional
        The maps store.
    maps, results : str
        Where they are.
    asked : sequence of str
        What else was asked of the comparison, as options.

    Returns
    -------
    list of str
        For a shell.
    """
    variables = [metric_rows(scores, slug) for slug in metric_names(scores)]
    plan = json.loads(str(scores.attrs.get("plan", "{}")))
    compare = ["compare", maps, results, "--metrics", ",".join(str(v.attrs["spec"]) for v in variables)]
    if plan.get("reference"):
        compare += ["--reference", plan["reference"]]
    ranges = {
        json.loads(v.attrs["parameters"]).get("data_range")
        for v in variables
        if v.name not in plan.get("automatic", ()) and "data_range" not in v.attrs["spec"]
    }
    compare += [word for r in ranges - {None} for word in ("--data-range", f"{r:g}")]
    chains = {v.attrs["normalize"] for v in variables if "normalize=" not in v.attrs["spec"]}
    compare += [word for chain in chains - {NONE} for word in ("--normalize", chain)]
    convert: list[list[str]] = []
    if opened is not None:
        made = json.loads(opened.attrs.get(ATTR_FINGERPRINT, "{}"))
        how = ["--size", "x".join(map(str, made["size"]))] if made.get("size") else []
        how += ["--channel", str(made["channel"])] if made.get("channel") is not None else []
        how += ["--dtype", made["dtype"]] if made.get("dtype", "float32") != "float32" else []
        for run in json.loads(opened.attrs.get(ATTR_PROVENANCE, "{}")).get("runs", ()) or [{}]:
            source = run.get("source")  # arrays in memory, or a folder for each model, are no place
            words = ["convert", source if isinstance(source, str) else "SOURCE", maps]
            for option, given in run.get("chosen", {}).items():
                pairs = [f"{k}={v}" for k, v in given.items()] if isinstance(given, dict) else given
                for value in pairs if isinstance(pairs, list) else [pairs]:
                    named = option == "models" and isinstance(given, dict)
                    words += [f"--{'model' if named else option.replace('_', '-')}", str(value)]
            convert.append([*words, *how, *["--append"][: len(convert)]])
        chosen = model_names(scores)
        if chosen != [str(name) for name in opened[MODEL].values]:
            compare += ["--models", ",".join(chosen)]
        if scores.sizes[IMAGE] < opened.sizes[IMAGE]:
            compare += ["--images", _some(scores[IMAGE].values.tolist(), opened[IMAGE].values.tolist())]
    return [shlex.join(["salzarr", *words]) for words in (*convert, [*compare, *asked])]


def _some(images: list[str], known: list[str]) -> str:
    """Spell a choice of images: how many, their names, or a file that one has to make of ``images.csv``."""
    if images == known[: len(images)]:
        return str(len(images))
    plain = len(images) <= NAMED_IMAGES and not any("," in name for name in images)
    return ",".join(images) if plain else "IMAGES.txt"
