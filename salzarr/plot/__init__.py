"""Pictures of a comparison, drawn with Matplotlib.

Every function takes a summary, scores or maps and an optional ``ax``, and returns the Axes it drew on. A
figure it makes is unknown to pyplot: show it as ``ax.figure``, write it by :func:`save`.
"""

from salzarr.plot.maps import maps_sheet
from salzarr.plot.matrix import similarity_matrix
from salzarr.plot.style import save

__all__ = ["maps_sheet", "save", "similarity_matrix"]
