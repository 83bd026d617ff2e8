"""CONTRIBUTING is true: its metric and its plot are put in as it says, and work."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import salzarr
from salzarr.metrics import mass as family
from salzarr.metrics import score_block
from salzarr.metrics.metric import METRICS
from salzarr.plot.kinds import Kind

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()


def block(section, number):
    text = TEXT.split(f"## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)[number]


def test_the_metric(monkeypatch):
    monkeypatch.setattr(sys.modules["salzarr.metrics.metric"], "METRICS", dict(METRICS))
    scope = dict(vars(family))
    source = "from __future__ import annotations\n" + block("Add a metric", 0)
    exec(compile(source, "CONTRIBUTING.md", "exec"), scope)
    rng = np.random.default_rng(0)
    maps = rng.random((2, 3, 8, 8))
    metric = scope["chi_squared"]()
    found = score_block(maps, [(0, 1)], [metric])["chi_squared"].values

    class Row:
        def __init__(self, reference):
            self.reference = reference

    rows = eval("{" + block("Add a metric", 1) + "}", {"Row": Row, "np": np, "mass": lambda m: m / m.sum()})
    for image in range(3):
        expected = rows["chi_squared"].reference(maps[0, image], maps[1, image])
        np.testing.assert_allclose(found[0, image], expected, rtol=1e-12)
    assert METRICS.pop("chi_squared", metric) == metric


def test_the_plot():
    scope = {}
    exec(compile(block("Add a plot", 0), "CONTRIBUTING.md", "exec"), scope)
    rng = np.random.default_rng(0)
    maps = {name: rng.random((4, 8, 8)) for name in ("$a_$", "b", "c")}
    summary = salzarr.summarize(salzarr.compare(maps, "mse"))
    ax = scope["model_means"](summary, "mse")
    assert len(ax.patches) == 3
    ax.figure.canvas.draw()
    kind = block("Add a plot", 1)
    kinds = eval("{" + kind + "}", {"Kind": Kind, "model_means": scope["model_means"]})
    assert kinds["means"].needs == ("summary",)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:salzarr|tests|scripts|\.ci)/[\w./]+)`", TEXT))))
def test_files_named_are_there(path):
    if path != "salzarr/plot/model_bars.py":
        assert (Path(__file__).parents[1] / path).exists()
