"""The page: its data and its template."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence, Set
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import xarray as xr
from markupsafe import Markup, escape

from salzarr._version import __version__
from salzarr.metrics.metric import LENGTHS
from salzarr.plot.matrix import arrange
from salzarr.plot.small_matrices import PANELS, largest
from salzarr.plot.style import plain, short
from salzarr.report.image_lists import gallery, list_images
from salzarr.report.map_budget import carry, representatives, wanted
from salzarr.report.metric_data import (
    Numbering,
    agreement,
    as_json,
    numbers,
    palette,
    statistics,
    structure,
    tests,
)
from salzarr.report.number_tables import absences, conditions, number_tables
from salzarr.report.page_inputs import Page
from salzarr.schema import (
    IMAGE,
    MAP_MAX,
    MAP_MIN,
    MAP_STATUS,
    MODEL,
    MODEL_A,
    MODEL_B,
    PAIR,
    REASON,
    STATISTIC,
    Status,
    X,
    Y,
    reason_name,
)
from salzarr.scores.labels import GROUP
from salzarr.statistics.analysis import Analysis
from salzarr.statistics.rows import metric_names, metric_rows, model_names, variables_of
from salzarr.statistics.structure import reference_model
from salzarr.statistics.summary import data_range

SHORT = 24
"""Characters of a short model name."""
FRAME_BYTES = 250_000
"""Size of the page without its data: template, style and script."""
MAP_COLORS = ("inferno", "RdBu_r")
"""Color maps of maps without and with negative values."""
SCRIPTS = (
    "page", "numbers", "colors", "state", "pairs", "matrix", "maps", "pair", "view", "models", "sections",
    "tables", "save", "main",
)  # fmt: skip
"""The parts of the page's script, in the order in which they are joined."""
BREAKS = re.compile(r"([_/-])")
FIRST = (
    "mean", "mean_low", "mean_high", "median", "median_low", "median_high", "corrected", "corrected_low",
    "corrected_high", "baseline", "std", "se", "min", "q25", "q75", "max", "n", "units",
)  # fmt: skip
"""Statistics in the order of the menu."""
LABELS = {
    "n": "images",
    "units": "units of images",
    "std": "standard deviation",
    "se": "standard error",
    "min": "minimum",
    "max": "maximum",
    "q25": "lower quartile",
    "q75": "upper quartile",
    "baseline": "chance baseline",
    "corrected": "above chance",
}


def render(analysis: Analysis, scores: xr.Dataset, page: Page | None = None) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    analysis : Analysis
    scores : Dataset
        Which were analyzed: for what each pair scores on the images shown.
    page : Page, optional

    Returns
    -------
    str
        A whole HTML document.
    """
    page = page or Page()
    data, metrics, maps = _data(analysis, scores, page)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["breakable"] = breakable
    sources = files("salzarr") / "templates"
    script = _script()
    return environment.from_string((sources / "report.html.j2").read_text("utf-8")).render(
        data,
        title=plain(page.title),
        comment=[plain(line) for line in page.comment.splitlines()],
        version=__version__,
        style=Markup((sources / "report.css").read_text("utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        page_data=Markup(as_json(data)),
        map_data=Markup(as_json(maps)),
        metric_data=[Markup(as_json(metric)) for metric in metrics],
        facts=_facts(analysis.summary, scores, page.maps),
        findings=[plain(sentence) for sentence in page.findings],
        group_count=0 if analysis.groups is None else analysis.groups.sizes[GROUP],
        reason_rows=_reason_rows(analysis.summary),
        degenerate=_degenerate(page.facts, scores),
        consensus=_consensus(analysis.consensus),
        consensus_chain="" if analysis.consensus is None else analysis.consensus.attrs["consensus_normalize"],
        tested=analysis.tests is not None,
        conditions=[plain(sentence) for sentence in conditions(analysis, scores)],
        number_tables=number_tables(analysis),
        absences=[plain(sentence) for sentence in absences(analysis)],
        reliability=_reliability(analysis.reliability),
        commands=[plain(command) for command in page.commands],
        provenance=[(plain(name), plain(_text(value))) for name, value in page.provenance.items()],
    )


def write_report(path: Path, analysis: Analysis, scores: xr.Dataset, page: Page | None = None) -> Path:
    """Write the page of :func:`render` to a file, which is replaced once it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(render(analysis, scores, page), "utf-8")
    return partial.replace(path)


@cache
def _script() -> str:
    """Join the parts of the page's script in one scope."""
    folder = files("salzarr") / "templates" / "script"
    parts = [(folder / f"{name}.js").read_text("utf-8") for name in SCRIPTS]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def breakable(name: object) -> Markup:
    """Let a name break into lines behind ``_``, ``/`` and ``-``."""
    return Markup(BREAKS.sub(r"\1<wbr>", str(escape(name))))


def _data(
    analysis: Analysis, scores: xr.Dataset, page: Page
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[int, dict[str, Any]]]:
    """Return what the page's script reads: the page's own data, that of each metric, and the maps."""
    summary, groups = analysis.summary, analysis.groups
    slugs, models = metric_names(summary), model_names(summary)
    if groups is not None:
        groups = groups.sel({GROUP: largest(groups, slugs[0], PANELS)})
    images: Numbering[int] = Numbering()
    palettes: Numbering[tuple[str, ...]] = Numbering()
    metrics = [statistics(analysis, groups, slug, palettes) for slug in slugs]
    list_images(metrics, analysis, scores, slugs, images)
    for slug, metric in zip(slugs, metrics, strict=True):
        metric |= structure(analysis, slug)
        if analysis.tests is not None:
            metric["tests"] = tests(analysis.tests, slug, models)
    tree = metrics[0]["tree"]
    data = {
        "models": models,
        "short": short(models, SHORT),
        "by_name": arrange(models, "name").tolist(),
        "pairs": _pairs(summary, models),
        "reference": reference_model(summary),
        "metrics": [_definition(metric_rows(summary, slug).attrs, slug) for slug in slugs],
        "statistics": _in_order({name for metric in metrics for name in metric["values"]}),
        "labels": LABELS,
        "reasons": [str(name) for name in summary[REASON].values],
        "confidence": f"{100 * analysis.settings.confidence:g} %" if analysis.settings.bootstrap else "",
        "groups": [] if groups is None else [str(label) for label in groups[GROUP].values],
        "agreement": agreement(analysis, palettes) if len(slugs) > 1 else None,
        "gallery": gallery(metrics),
        "representatives": representatives(len(models), tree and tree["leaves"]),
        "map_colors": [palettes[palette(name)] for name in MAP_COLORS],
        "aspect": 1.0 if page.maps is None else page.maps.sizes[X] / page.maps.sizes[Y],
        "images": [str(scores[IMAGE].values[k]) for k in images],
        "image_count": scores.sizes[IMAGE],
        "unit": "images" if analysis.settings.units is None else "units",
        "colors": list(palettes),
    }
    maps: dict[int, dict[str, Any]] = {}
    data["stored"] = None
    if page.maps is not None:
        weight = FRAME_BYTES + sum(len(as_json(part)) for part in (data, *metrics))
        cells = wanted(metrics, data["pairs"], len(models), data["representatives"])
        data["stored"], maps = carry(page, models, cells, data["images"], max(0, page.size - weight))
        data["stored"]["limit"] = page.size
    return data, metrics, maps


def _in_order(names: Set[str]) -> list[str]:
    """Sort the statistics for the menu, the mean first."""
    return sorted(names, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))


def _definition(attrs: Mapping[str, Any], slug: str) -> dict[str, Any]:
    """Return the definition of a metric for readers."""
    low, high = (
        end if end in LENGTHS else f"{float(end):.6g}".replace("inf", "∞") for end in attrs["score_range"]
    )
    parameters = ", ".join(f"{k} = {_text(v)}" for k, v in json.loads(attrs.get("parameters", "{}")).items())
    normalize = attrs.get("normalize", "none")
    return {
        "slug": slug,
        "spec": plain(attrs.get("spec", slug)),
        "definition": plain(attrs.get("definition", "")),
        "kind": attrs["kind"],
        "self": numbers([attrs["self_value"]])[0],
        "range": f"{low} to {high}",
        "unit": plain(attrs.get("unit", "")),
        "directed": attrs.get("symmetry") == "directed",
        "parameters": plain(
            "; ".join(filter(None, [parameters, normalize != "none" and f"maps: {normalize}"]))
        ),
        "reference": plain(attrs.get("reference", "")),
        "data_range": data_range(attrs),
    }


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _pairs(summary: xr.Dataset, models: Sequence[str]) -> list[list[int]]:
    place = {name: k for k, name in enumerate(models)}
    ends = zip(summary[MODEL_A].values, summary[MODEL_B].values, strict=True)
    return [[place[str(a)], place[str(b)]] for a, b in ends]


def _facts(summary: xr.Dataset, scores: xr.Dataset, maps: xr.DataArray | None) -> list[tuple[str, str]]:
    """Return how much was compared: (number, of what)."""
    pairs, metrics = summary.sizes[PAIR], len(metric_names(summary))
    facts = [
        (f"{len(model_names(summary)):,}", "models"),
        (f"{pairs:,}", "pair" if pairs == 1 else "pairs"),
        (f"{scores.sizes[IMAGE]:,}", "images"),
        (f"{metrics:,}", "metric" if metrics == 1 else "metrics"),
    ]
    if maps is not None:
        facts.append((f"{maps.sizes[Y]} × {maps.sizes[X]}", "pixels per map"))
    return [*facts, ("", f"written {date.today().isoformat()}")]


def _reason_rows(summary: xr.Dataset) -> list[dict[str, Any]]:
    """Count the images with a score over all pairs, and the others by reason."""
    rows = []
    for slug in metric_names(summary):
        name = variables_of(summary, slug)[0]
        scored = summary[name].sel({STATISTIC: "n"})
        counts = [int(scored.sum()), *summary[reason_name(name)].sum(PAIR).values.tolist()]
        rows.append({"metric": plain(summary[name].attrs.get("spec", slug)), "counts": counts})
    return rows


def _consensus(consensus: xr.Dataset | None) -> list[dict[str, Any]]:
    """Return each model's mean agreement with the consensus of the others, and how many others these are."""
    if consensus is None:
        return []
    names = [variables_of(consensus, slug)[0] for slug in metric_names(consensus)]
    columns = [consensus[name].sel({STATISTIC: "mean"}).values for name in names]
    models = [str(name) for name in consensus[MODEL_A].values]
    ends = [consensus[end].values for end in ("others_min", "others_max")]
    return [
        {
            "model": plain(m),
            "others": "–".join(dict.fromkeys(f"{end[k]}" for end in ends)),
            "values": [numbers([c[k]])[0] for c in columns],
        }
        for k, m in enumerate(models)
    ]


def _reliability(reliability: xr.Dataset) -> dict[str, str]:
    """Return by metric how far other images would give the same matrix."""
    columns = (reliability[name].values.tolist() for name in ("metric", "reliability"))
    return {slug: f"{r:.3f}" for slug, r in zip(*columns, strict=True)}


def _degenerate(facts: xr.Dataset | None, scores: xr.Dataset) -> dict[str, Any] | None:
    """Count each model's maps that are missing, not finite, constant, all zero or partly negative."""
    if facts is None:
        return None
    facts = facts.sel({MODEL: [model for model in model_names(scores) if model in facts[MODEL].values]})
    facts = facts.isel({IMAGE: facts.get_index(IMAGE).isin(scores.get_index(IMAGE))})
    low, high, status = (facts[variable.name].values for variable in (MAP_MIN, MAP_MAX, MAP_STATUS))
    there = (status & Status.MISSING) == 0
    kinds = {
        "missing": ~there,
        "not finite": (status & Status.NON_FINITE) != 0,
        "all zero": there & (low == 0) & (high == 0),
        "constant": there & (low == high) & (low != 0),
        "with negative values": there & (low < 0),
    }
    names = facts[IMAGE].values
    rows = []
    for k, model in enumerate(facts[MODEL].values):
        broken = np.logical_or.reduce([kinds[kind][k] for kind in list(kinds)[:4]])
        rows.append(
            {
                "model": plain(model),
                "counts": [int(kind[k].sum()) for kind in kinds.values()],
                "examples": ", ".join(plain(name) for name in names[broken][:3]),
            }
        )
    return {"kinds": list(kinds), "rows": rows, "any": any(any(row["counts"][:4]) for row in rows)}
