"""Map-against-map metrics: pure NumPy and numba, no Dask, no xarray, no Zarr."""

from salzarr.metrics import normalize
from salzarr.metrics.block import Block, Scored, score_block
from salzarr.metrics.checks import check_maps, check_size, warnings_for
from salzarr.metrics.metric import METRICS, Metric, register
from salzarr.metrics.pixelwise import cosine, mae, mse, pearson, rmse
from salzarr.metrics.specs import as_metrics, custom, describe, parse_metrics
from salzarr.metrics.structure import ssim

__all__ = [
    "METRICS",
    "Block",
    "Metric",
    "Scored",
    "as_metrics",
    "check_maps",
    "check_size",
    "cosine",
    "custom",
    "describe",
    "mae",
    "mse",
    "normalize",
    "parse_metrics",
    "pearson",
    "register",
    "rmse",
    "score_block",
    "ssim",
    "warnings_for",
]
