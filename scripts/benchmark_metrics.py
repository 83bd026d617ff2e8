#!/usr/bin/env python
"""How fast the metrics of whole blocks are against the loop over pairs that people run today.

    python scripts/benchmark_metrics.py [--quick]

All 45 pairs of 10 models on 4 images of 224 x 224 float32, in memory, features included, on one thread. The
rows with OpenCV need ``pip install opencv-python-headless``; without it, they are left out.
"""

from __future__ import annotations

import argparse
import sys
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmark_emd import row, saliency_maps, table
from scipy import stats
from skimage.feature import hog
from skimage.metrics import normalized_mutual_information, structural_similarity
from sklearn.metrics import mean_squared_error
from sklearn.metrics.pairwise import paired_cosine_distances
from threadpoolctl import threadpool_limits

from salzarr import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS, IMAGES = 10, 4
RANGE = 1.0
PAIRS = list(combinations(range(MODELS), 2))


def ours(maps: np.ndarray, spec: str) -> Callable[[], list[np.ndarray]]:
    """Score all pairs of the maps (model, image, y, x) from scratch by the metrics of a spec."""
    chosen = [m.with_data_range(RANGE) if m.needs_data_range else m for m in metrics.parse_metrics(spec)]
    return lambda: [scored.values for scored in metrics.score_block(maps, PAIRS, chosen).values()]


def loop(maps: np.ndarray, *functions: Callable[[Any, Any], float]) -> Callable[[], list[list[list[float]]]]:
    """Call each function on every pair of maps and image."""
    return lambda: [
        [[function(maps[i, image], maps[j, image]) for image in range(IMAGES)] for i, j in PAIRS]
        for function in functions
    ]


def opencv_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM as it is written with OpenCV: five Gaussian blurs."""
    import cv2

    def blur(m: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(m, (11, 11), 1.5)[5:-5, 5:-5]

    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
    ua, ub = blur(a), blur(b)
    va, vb, cov = blur(a * a) - ua * ua, blur(b * b) - ub * ub, blur(a * b) - ua * ub
    ssim = (2 * ua * ub + c1) * (2 * cov + c2) / ((ua * ua + ub * ub + c1) * (va + vb + c2))
    return float(ssim.mean())


def opencv_box_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM with five box filters, in float64: scikit-image's default."""
    import cv2

    def blur(m: np.ndarray) -> np.ndarray:
        return cv2.blur(m, (7, 7))[3:-3, 3:-3]

    a, b = a.astype(np.float64), b.astype(np.float64)
    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
    ua, ub = blur(a), blur(b)
    va, vb, cov = (49 / 48 * v for v in (blur(a * a) - ua * ua, blur(b * b) - ub * ub, blur(a * b) - ua * ub))
    ssim = (2 * ua * ub + c1) * (2 * cov + c2) / ((ua * ua + ub * ub + c1) * (va + vb + c2))
    return float(ssim.mean())


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """Measure every row of the table; see :func:`benchmark_emd.rows` for what they hold."""
    maps = saliency_maps(MODELS * IMAGES).reshape(MODELS, IMAGES, 224, 224)
    maps = (maps / maps.max(axis=(2, 3), keepdims=True)).astype(np.float32)
    flat = maps.reshape(MODELS, IMAGES, -1)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return 1 - float(paired_cosine_distances(a[None], b[None])[0])

    def scikit_ssim(a: np.ndarray, b: np.ndarray, **options: Any) -> float:
        return float(structural_similarity(a, b, data_range=RANGE, **options))

    def wang(a: np.ndarray, b: np.ndarray) -> float:
        return scikit_ssim(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)

    def hog_pearson(a: np.ndarray, b: np.ndarray) -> float:
        p, q = (np.float64(hog(m, pixels_per_cell=(16, 16))) for m in (a, b))
        return float(stats.pearsonr(p, q).statistic)

    def mutual_information(a: np.ndarray, b: np.ndarray) -> float:  # in float32 its bins would be others
        return float(normalized_mutual_information(np.float64(a), np.float64(b))) - 1

    cases: list[tuple[str, str, Callable[[], Any], str, float]] = [
        (
            "mse,cosine,pearson",
            "scikit-learn, SciPy",
            loop(flat, mean_squared_error, cosine, lambda a, b: stats.pearsonr(a, b).statistic),
            "10",
            1e-5,  # the peers compute in float32
        ),
        ("ssim", "scikit-image", loop(maps, scikit_ssim), "10 (20)", 1e-5),
        ("ssim_gaussian", "scikit-image", loop(maps, wang), "", 1e-5),
        ("spearman", "SciPy", loop(flat, lambda a, b: stats.spearmanr(a, b).statistic), "20", 1e-9),
    ]
    if not quick:
        cases += [
            ("kendall", "SciPy", loop(flat, lambda a, b: stats.kendalltau(a, b).statistic), "", 1e-9),
            ("mutual_information", "scikit-image", loop(maps, mutual_information), "", 1e-5),
            ("hog", "scikit-image, SciPy", loop(maps, hog_pearson), "", 1e-9),
        ]
    try:
        import cv2
    except ImportError:
        pass
    else:
        cv2.setNumThreads(1)
        cases += [
            ("ssim", "five box filters of OpenCV", loop(maps, opencv_box_ssim), "", 1e-9),
            ("ssim_gaussian", "five Gaussian blurs of OpenCV", loop(maps, opencv_ssim), "3", 1e-4),
        ]
    with threadpool_limits(1):
        return [
            row(f"{spec}, 45 pairs x 4 images, against {peer}", ours(maps, spec), theirs, target, tolerance)
            for spec, peer, theirs, target, tolerance in cases
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows")
    sys.stdout.write(table(rows(parser.parse_args().quick)) + "\n")


if __name__ == "__main__":
    main()
