"""The kinds of pictures, by their names on the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.axes import Axes

from salzarr.plot.distributions import score_distributions
from salzarr.plot.gallery import divergent_images
from salzarr.plot.map_pictures import maps_sheet
from salzarr.plot.matrix import similarity_matrix
from salzarr.plot.metric_matrix import metric_agreement
from salzarr.plot.model_points import model_map
from salzarr.plot.small_matrices import group_panels


@dataclass(frozen=True)
class Kind:
    """One kind of picture.

    Parameters
    ----------
    draw : callable
        ``draw(*needs, [metric], [photos=]) -> Axes``.
    needs : tuple of {"summary", "groups", "scores", "maps"}
        Its first arguments, in this order.
    per_metric : bool
        Whether the next argument is a metric.
    photos : bool
        Whether it takes a folder of photographs.
    """

    draw: Callable[..., Axes]
    needs: tuple[str, ...]
    per_metric: bool = True
    photos: bool = False


KINDS: dict[str, Kind] = {
    "matrix": Kind(similarity_matrix, ("summary",)),
    "distributions": Kind(score_distributions, ("scores",)),
    "models": Kind(model_map, ("summary",)),
    "metrics": Kind(metric_agreement, ("agreement",), per_metric=False),
    "gallery": Kind(divergent_images, ("scores", "maps"), photos=True),
    "groups": Kind(group_panels, ("groups",)),
    "maps": Kind(maps_sheet, ("maps",), per_metric=False, photos=True),
}
"""Every kind of picture by its name on the command line."""
