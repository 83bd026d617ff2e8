"""Map-against-map metrics: pure NumPy and numba, no Dask, no xarray, no Zarr."""

from salzarr.metrics.block import Block, Scored, score_block
from salzarr.metrics.metric import METRICS, Metric, register
from salzarr.metrics.pixelwise import mse

__all__ = ["METRICS", "Block", "Metric", "Scored", "mse", "register", "score_block"]
