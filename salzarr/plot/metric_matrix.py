"""Whether the metrics agree on which models are alike."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from salzarr.plot.matrix import Cells
from salzarr.plot.style import any_script, color_scale, ensure_axes, heading, name_ticks, numbers, short

CORRELATION = {"score_range": ["-1", "1"], "self_value": 1.0, "kind": "similarity"}


@any_script
def metric_agreement(agreement: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw how far the metrics agree on which models are alike.

    Parameters
    ----------
    agreement : Dataset
        From :func:`salzarr.analyze` or :func:`salzarr.statistics.metric_pairs.metric_agreement`, with two
        metrics or more.
    ax : Axes, optional

    Returns
    -------
    Axes
        Spearman correlations of the metrics' distances; a star marks p < 0.05 of a Mantel test.
    """
    slugs = [str(slug) for slug in agreement["metric"].values]
    values, p = agreement["spearman"].values, agreement["p"].values
    own = np.eye(len(slugs), dtype=bool)
    labels = short(str(spec) for spec in agreement["spec"].values)
    nothing = np.zeros_like(own)
    cells = Cells(values, color_scale(CORRELATION, values[~own]), nothing, nothing)
    inch = 0.55 if len(slugs) <= 15 else 0.36
    side = len(slugs) * inch + 0.08 * max(map(len, labels))
    ax = ensure_axes(ax, (side + 1.6, side + 1.0))
    font = cells.draw(ax)
    name_ticks(ax, "y", range(len(slugs)), labels, font)
    name_ticks(ax, "x", range(len(slugs)), labels, font)
    texts = np.reshape(numbers(values), values.shape).astype(object)
    cells.write(ax, np.where((p < 0.05) & ~own, texts + "*", texts))
    cells.legend(ax, "Spearman", away=0.03)
    heading(ax, "Agreement of the metrics", "rank correlation over pairs of models; * p < 0.05 (Mantel)")
    return ax
