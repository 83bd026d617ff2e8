"""What the page says of the analysis in tables and sentences that need no script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from salzarr.plot.style import plain
from salzarr.schema import ATTR_PRIMARY, ATTR_WHERE, IMAGE
from salzarr.statistics.analysis import Analysis
from salzarr.statistics.mantel import smallest_p
from salzarr.statistics.rows import metric_names, metric_rows, model_names

Table = dict[str, Any]

MOST_ROWS = 12
"""Rows of a table on the page; the file has all."""

FAITHFUL = (
    "Agreement is not faithfulness: maps that are alike can be wrong about their models alike, and maps that "
    "differ can both be right."
)


def conditions(analysis: Analysis, scores: xr.Dataset) -> list[str]:
    """Say what the numbers are of: which images, units and metric, and what they do not say."""
    settings, said = analysis.settings, []
    if where := scores.attrs.get(ATTR_WHERE):
        said.append(
            f"Only images of which this is true are compared: {where}. What is found holds under this "
            "condition; if it asks for outcomes of the models, they are compared where these agree."
        )
    if settings.units is not None:
        weigh = "units weigh the same" if settings.unit_mean else "images weigh the same"
        said.append(
            f"Images of one {settings.units} belong together ({_count(analysis)} units of "
            f"{scores.sizes[IMAGE]:,} images; {weigh}): the n of intervals and tests is that of units."
        )
    if primary := scores.attrs.get(ATTR_PRIMARY):
        said.append(f"Primary metric, marked before the scoring: {_spec(analysis, str(primary))}.")
    return [*said, FAITHFUL]


def absences(analysis: Analysis) -> list[str]:
    """Say why what could stand on the page does not."""
    said = [f"{name.replace('_', ' ').capitalize()}: {why}." for name, why in analysis.notes.items()]
    said = [sentence.replace("..", ".") for sentence in said]
    known = analysis.notes
    if analysis.corrected is None and "corrected" not in known:
        said.append("Scores beyond chance, discriminability and consensus take the maps again: --baseline.")
    models = len(model_names(analysis.summary))
    if len(metric_names(analysis.summary)) > 1 and smallest_p(models, analysis.settings.permutations) > 0.05:
        said.append(f"With {models} models no p of the metrics' agreement can be 0.05 or less.")
    if models < 3:
        said.append("Tests of which of two models is closer to a third take three models.")
    if analysis.consensus is not None:
        few = " With fewer than four models it is that of two maps or one." if models < 4 else ""
        said.append(f"Rows of the consensus share maps with each other: they are not independent.{few}")
    return said


def number_tables(analysis: Analysis) -> list[Table]:
    """Lay out the tables that stand on the page as they are in their files."""
    units = "images" if analysis.settings.units is None else "units"
    parts = {name: getattr(analysis, name) for name in TABLES}
    drawn = [TABLES[name](analysis, part, units) for name, part in parts.items() if part is not None]
    return [table for table in drawn if table["rows"]]


def _ceilings(analysis: Analysis, table: pd.DataFrame, units: str) -> Table:
    return _table(
        "ceilings",
        "How well images predict each other",
        f"Correlation over pairs of the scores of one of the {units} with the mean of all others (lower) and "
        "of all (upper): a model of these matrices can be expected to reach between the two.",
        ["Metric", units, "lower", "interval", "upper"],
        [
            [
                _spec(analysis, row["metric"]),
                row["units"],
                row["lower"],
                (row["lower_low"], row["lower_high"]),
                row["upper"],
            ]
            for row in _records(table)
            if np.isfinite(row["lower"])
        ],
    )


def _discriminability(_: Analysis, table: pd.DataFrame, units: str) -> Table:
    return _table(
        "discriminability",
        "Which metric tells images apart",
        "Share of other images' maps of the second model that an image's own beats, ties one half: 0.5 "
        "by chance. After zscore scale plays no part. It is no ground for choosing "
        "a metric on these maps.",
        ["Metric", "maps", units, "share", "interval"],
        [
            [
                row["metric"],
                row["normalize"],
                row["units"],
                row["discriminability"],
                (row["low"], row["high"]),
            ]
            for row in _records(table)
        ],
    )


def _map_ceilings(_: Analysis, table: pd.DataFrame, units: str) -> Table:
    return _table(
        "map-ceilings",
        "How well models predict each other's maps",
        "Mean score of a model's maps with the consensus of the others' (lower) and of all (upper), "
        "all of them normalized by zscore. Rows share maps: they are not independent.",
        ["Metric", "model", units, "lower", "interval", "upper"],
        [
            [row["metric"], row["model"], row["units"], row["lower"],
             (row["lower_low"], row["lower_high"]), row["upper"]]
            for row in _records(table)
        ],
    )  # fmt: skip


def _conclusions(analysis: Analysis, table: pd.DataFrame, units: str) -> Table:
    rows = table.sort_values("reversed", ascending=False, kind="stable")
    return _table(
        "conclusions",
        "Whether two metrics order the pairs differently",
        "Of the twos of pairs whose order is certain by both metrics (intervals that exclude 0), how "
        "many have another order, and the first of these: less alike by the first metric, and "
        "by the second.",
        ["Metric", "and", "certain", "reversed", "by the first", "by the second"],
        [
            [_spec(analysis, row["metric"]), _spec(analysis, row["metric_2"]),
             row["certain"], row["reversed"],
             _pair(row["model_a"], row["model_b"]), _pair(row["other_a"], row["other_b"])]
            for row in _records(rows)
        ],
    )  # fmt: skip


def _group_differences(_: Analysis, table: pd.DataFrame, units: str) -> Table:
    first, second = (str(table[f"group_{k}"].iloc[0]) for k in (1, 2)) if len(table) else ("", "")
    of_each = [f"{units}, {plain(name)}" for name in (first, second)]
    return _table(
        "group-differences",
        f"What differs between {plain(first)} and {plain(second)}",
        f"Mean of {plain(first)} less that of {plain(second)}; p by labels permuted over {units}, q a "
        "false discovery rate over all rows.",
        ["Metric", "pair", *of_each, "difference", "interval", "p", "q"],
        [
            [row["metric"], _pair(row["model_a"], row["model_b"]),
             row["units_1"], row["units_2"], row["difference"],
             (row["low"], row["high"]), row["p"], row["q"]]
            for row in _records(table.sort_values("p", kind="stable"))
        ],
    )  # fmt: skip


TABLES: dict[str, Callable[[Analysis, pd.DataFrame, str], Table]] = {
    "ceilings": _ceilings,
    "discriminability": _discriminability,
    "map_ceilings": _map_ceilings,
    "conclusions": _conclusions,
    "group_differences": _group_differences,
}
"""Parts of an analysis that are tables of numbers, in the order of the page."""


def _records(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return table.to_dict("records")


def _table(name: str, title: str, note: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    more = f" The first {MOST_ROWS} of {len(rows):,} rows." if len(rows) > MOST_ROWS else ""
    return {
        "id": name,
        "title": title,
        "note": f"{note}{more}",
        "columns": list(columns),
        "rows": [[_cell(value) for value in row] for row in rows[:MOST_ROWS]],
    }


def _cell(value: Any) -> dict[str, Any]:
    """Give a cell its text and, if it is a number, the number itself."""
    if isinstance(value, str):
        return {"text": plain(value), "value": None}
    if isinstance(value, tuple):
        known = all(map(np.isfinite, value))
        return {"text": f"{value[0]:.4g} to {value[1]:.4g}" if known else "–", "value": None}
    if pd.isna(value):
        return {"text": "–", "value": None}
    return {"text": f"{value:,}" if isinstance(value, int) else f"{value:.4g}", "value": float(value)}


def _pair(a: object, b: object) -> str:
    return f"{a} – {b}" if isinstance(a, str) else "–"


def _spec(analysis: Analysis, slug: str) -> str:
    return str(metric_rows(analysis.summary, slug).attrs.get("spec", slug))


def _count(analysis: Analysis) -> str:
    return f"{int(analysis.reliability['units'].max()):,}"
