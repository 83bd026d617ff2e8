"""Map-against-map metrics: pure NumPy and numba, no Dask, no xarray, no Zarr."""

from salzarr.metrics import normalize
from salzarr.metrics.agreement import feature_agreement, rank_agreement, sign_agreement, signed_rank_agreement
from salzarr.metrics.block import Block, Scored, score_block
from salzarr.metrics.checks import check_maps, check_size, range_warnings, warnings_for
from salzarr.metrics.gradients import hog
from salzarr.metrics.information import mutual_information
from salzarr.metrics.largest import dice, iou, topk_intersection, topk_iou
from salzarr.metrics.masks import auprc, mask_iou, mass_inside, pointing_game
from salzarr.metrics.mass import center_distance, dx, dy, hellinger, js, kl, similarity
from salzarr.metrics.metric import METRICS, TARGET_METRICS, Metric, register
from salzarr.metrics.pixelwise import cosine, mae, mse, pearson, psnr, rmse
from salzarr.metrics.points import auc_judd, auc_shuffled, auc_uniform, information_gain, nss
from salzarr.metrics.ranks import kendall, rbo, spearman
from salzarr.metrics.specs import as_metrics, custom, describe, parse_metrics
from salzarr.metrics.structural import ms_ssim, ssim, ssim_gaussian
from salzarr.metrics.targets import Masks, Points, pixels, score_targets
from salzarr.metrics.wasserstein import emd, emd_l1, sliced_wasserstein, wasserstein_values

__all__ = [
    "METRICS",
    "TARGET_METRICS",
    "Block",
    "Masks",
    "Metric",
    "Points",
    "Scored",
    "as_metrics",
    "auc_judd",
    "auc_shuffled",
    "auc_uniform",
    "auprc",
    "center_distance",
    "check_maps",
    "check_size",
    "cosine",
    "custom",
    "describe",
    "dice",
    "dx",
    "dy",
    "emd",
    "emd_l1",
    "feature_agreement",
    "hellinger",
    "hog",
    "information_gain",
    "iou",
    "js",
    "kendall",
    "kl",
    "mae",
    "mask_iou",
    "mass_inside",
    "ms_ssim",
    "mse",
    "mutual_information",
    "normalize",
    "nss",
    "parse_metrics",
    "pearson",
    "pixels",
    "pointing_game",
    "psnr",
    "range_warnings",
    "rank_agreement",
    "rbo",
    "register",
    "rmse",
    "score_block",
    "score_targets",
    "sign_agreement",
    "signed_rank_agreement",
    "similarity",
    "sliced_wasserstein",
    "spearman",
    "ssim",
    "ssim_gaussian",
    "topk_intersection",
    "topk_iou",
    "warnings_for",
    "wasserstein_values",
]
