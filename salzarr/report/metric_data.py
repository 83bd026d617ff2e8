"""The data of one metric on the page: numbers by row, colors, tree, map of the models, tests."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.colors import to_hex
from numpy.typing import ArrayLike

from salzarr.plot.matrix import arrange, tree_lines
from salzarr.plot.style import Scale, color_scale
from salzarr.schema import MODEL, REASON, STATISTIC, reason_name
from salzarr.scores.labels import GROUP
from salzarr.statistics.analysis import Analysis
from salzarr.statistics.rows import metric_rows, model_names, variables_of
from salzarr.statistics.summary import NO_SELF

Key = TypeVar("Key", bound=Hashable)


class Numbering(dict[Key, int]):
    """Number things in the order in which they are first looked up."""

    def __missing__(self, key: Key) -> int:
        self[key] = len(self)
        return self[key]


CORRECTED = ("baseline", "corrected", "corrected_low", "corrected_high")
"""Statistics of :func:`salzarr.statistics.baseline.corrected` that a summary does not have."""
SIGNIFICANT = 0.05
"""Family-wise p below which tests are listed."""
TESTS = 8
"""Tests that a metric lists."""
Palettes = Numbering[tuple[str, ...]]


def as_json(value: object) -> str:
    """Return JSON for a script element: nothing in it can end the element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def numbers(values: ArrayLike, digits: int | None = None) -> Any:
    """Return nested lists of numbers for JSON: in full or to some significant digits, None for NaN."""
    if isinstance(values, np.ndarray) and values.ndim > 1:
        return [numbers(row, digits) for row in values]
    limit = np.finfo(float).max
    return [
        None if v != v else (v if digits is None else float(f"{v:.{digits}g}"))
        for v in np.clip(np.asarray(values, float), -limit, limit).tolist()
    ]


def statistics(
    analysis: Analysis, groups: xr.Dataset | None, slug: str, palettes: Palettes
) -> dict[str, Any]:
    """Return every number of a metric's summary by row, and what each statistic looks like.

    A statistic has its colors, plain and stretched; whether small values are alike; and what a model has with
    itself, if anything. ``groups`` are those that the page shows.
    """
    summary, corrected = analysis.summary, analysis.corrected
    rows = metric_rows(summary, slug)
    parts = {str(name): rows.sel({STATISTIC: name}) for name in rows[STATISTIC].values}
    if corrected is not None:
        beyond = metric_rows(corrected, slug)
        parts |= {name: beyond.sel({STATISTIC: name}) for name in CORRECTED}
        # The baseline is a mean of the metric's own scores, and of different images: a model has none.
        parts["baseline"].attrs = rows.attrs
    looks = {}
    for name, part in parts.items():
        scales = [color_scale(part.attrs, part.values, name, stretch=stretch) for stretch in (False, True)]
        spread = name in NO_SELF
        looks[name] = {
            "scales": [_scale(scale, palettes) for scale in scales],
            "spread": spread,
            "flip": scales[0].flip,
            "own": None if spread or name == "baseline" else numbers([part.attrs["self_value"]])[0],
        }
    by_group = [] if groups is None else list(metric_rows(groups, slug).transpose(GROUP, ...))
    reasons = summary[reason_name(variables_of(summary, slug)[0])]
    return {
        "values": {name: numbers(part.values) for name, part in parts.items()},
        "looks": looks,
        "reasons": {str(r): reasons.sel({REASON: r}).values.tolist() for r in reasons[REASON].values},
        "groups": [
            {str(s): numbers(part.sel({STATISTIC: s}).values) for s in part[STATISTIC].values}
            for part in by_group
        ],
    }


def _scale(scale: Scale, palettes: Palettes) -> dict[str, float]:
    return {
        "colors": palettes[tuple(scale.stops())],
        "from": float(scale.norm.vmin or 0),
        "to": float(scale.norm.vmax or 0),
        "low": scale.low,
        "high": scale.high,
    }


def palette(name: str, count: int = 33) -> tuple[str, ...]:
    """Return a color map as evenly spaced colors, which the page's script interpolates."""
    return tuple(to_hex(color) for color in mpl.colormaps[name](np.linspace(0, 1, count)))


def structure(analysis: Analysis, slug: str) -> dict[str, Any]:
    """Return the tree and the places of the models, where there are scores enough."""
    if slug not in analysis.trees:
        return {"tree": None, "map": None}
    models, tree, placed = model_names(analysis.summary), analysis.trees[slug], analysis.places[slug]
    heights, rows = tree_lines(tree)
    x, y = (numbers(placed.isel(axis=axis).sel({MODEL: models}).values, 6) for axis in (0, 1))
    return {
        "tree": {
            "leaves": arrange(models, "cluster", tree).tolist(),
            "heights": [numbers(fork, 6) for fork in heights],
            "places": rows,
        },
        "map": {"x": x, "y": y, "stress": numbers([placed.attrs["stress"]])[0]},
    }


def tests(table: pd.DataFrame, slug: str, models: Sequence[str]) -> dict[str, Any]:
    """Count a metric's tests of which of two models is closer to a third, and list the clearest.

    A row is model, closer, farther (all three by number), the advantage, the share of units on which closer
    is closer, their number, the family-wise p and the false discovery rate q.
    """
    rows = table[table["metric"] == slug]
    found = rows[rows["p_family"] < SIGNIFICANT]
    top = found.iloc[np.lexsort([-found["d_z"].abs(), found["p_family"]])[:TESTS]]
    farther = top["other_2"].where(top["closer"] == top["other_1"], top["other_1"])
    place = {name: k for k, name in enumerate(models)}
    ends = [[place[str(name)] for name in column] for column in (top["model"], top["closer"], farther)]
    facts = [
        numbers(column.to_numpy(float), 6)
        for column in (
            top["difference"].abs(),
            top["probability"].where(top["difference"] > 0, 1 - top["probability"]),
            top["units"],
            top["p_family"],
            top["q_permutation"],
        )
    ]
    clearest = [list(row) for row in zip(*ends, *facts, strict=True)]
    smallest = numbers([rows["p_smallest"].min()], 2)[0]
    return {"count": len(rows), "significant": len(found), "smallest": smallest, "clearest": clearest}


def agreement(analysis: Analysis, palettes: Palettes) -> dict[str, Any]:
    """Return the correlations between the metrics' matrices, their p-values and their colors."""
    found = analysis.agreement
    rows = [metric_rows(analysis.summary, str(slug)) for slug in found["metric"].values]
    scale = color_scale(
        {"score_range": ["-1", "1"], "self_value": 1, "kind": "similarity"}, found["spearman"].values
    )
    return {
        "names": [str(row.attrs.get("spec", row.name)) for row in rows],
        "values": numbers(found["spearman"].values),
        "p": numbers(found["p"].values),
        "low": numbers(found["low"].values),
        "high": numbers(found["high"].values),
        "scale": _scale(scale, palettes),
    }
