"""Pictures of a comparison, drawn with Matplotlib.

Every function takes a summary, scores or maps and an optional ``ax``, and returns the Axes it drew on.
Without ``ax`` it makes a figure with pyplot, which a notebook shows by itself; :func:`save` writes it.
"""

from salzarr.plot.distributions import score_distributions
from salzarr.plot.gallery import divergent_images
from salzarr.plot.map_pictures import maps_sheet
from salzarr.plot.matrix import similarity_matrix
from salzarr.plot.metric_matrix import metric_agreement
from salzarr.plot.model_points import model_map
from salzarr.plot.small_matrices import group_panels
from salzarr.plot.style import save

__all__ = [
    "divergent_images",
    "group_panels",
    "maps_sheet",
    "metric_agreement",
    "model_map",
    "save",
    "score_distributions",
    "similarity_matrix",
]


def __dir__() -> list[str]:
    """List what is completed: the pictures, and none of the modules behind them."""
    return [name for name in __all__ if name != "save"]
