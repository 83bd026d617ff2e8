"""Score how well each model agrees with where people look.

    python examples/human_fixations.py

A fixation map is a map like any other: the points where people looked, blurred by about one degree of visual
angle. It joins the comparison as one more model, and ``reference=`` compares every model with it alone. The
points below were marked by hand on the demo's photographs and stand for an eye tracker's; put your own
recordings in their place. From a store: ``salzarr compare maps.zarr results --reference fixations``.
"""

import numpy as np
from photographs import METHODS, SIDE, photographs
from scipy.ndimage import gaussian_filter

import salzarr

# photograph: (x, y) of each fixation, in pixels of the 224 x 224 photograph
FIXATIONS = {
    "astronaut": [(94, 62), (105, 62), (99, 75), (73, 167), (180, 45), (170, 190)],
    "camera": [(108, 52), (125, 72), (100, 60), (130, 140)],
    "cat": [(72, 83), (181, 100), (135, 182), (72, 85)],
    "china": [(50, 22), (60, 75), (70, 150), (150, 118)],
    "coffee": [(105, 80), (148, 160), (70, 150), (110, 50)],
    "flower": [(105, 115), (103, 112), (80, 90), (145, 210)],
    "moon": [(53, 37), (140, 50), (113, 188)],
    "motorcycle": [(120, 120), (130, 90), (25, 135), (185, 150), (185, 68)],
    "rocket": [(113, 75), (113, 140), (115, 205), (22, 198)],
}


def fixation_map(points, degree=12):
    """Turn points (x, y) into a density: one Gaussian of one degree of visual angle around each."""
    counts = np.zeros((SIDE, SIDE))
    for x, y in points:
        counts[y, x] += 1
    return gaussian_filter(counts, degree)


def main():
    pictures = photographs()
    maps = {method.__name__: np.stack([method(pictures[name]) for name in FIXATIONS]) for method in METHODS}
    maps["fixations"] = np.stack([fixation_map(points) for points in FIXATIONS.values()])

    # The metrics of the saliency benchmarks: CC, SIM, KL, and the Earth Mover's Distance.
    scores = salzarr.compare(maps, metrics="pearson,similarity,kl,emd", reference="fixations")
    summary = salzarr.summarize(scores)
    agreement = {
        metric: salzarr.to_matrix(summary, metric).sel(model_a="fixations").drop_vars("model_a").to_pandas()
        for metric in ("pearson", "similarity", "kl", "emd")
    }
    for metric, by_model in agreement.items():
        print(f"\n{metric}\n{by_model.drop('fixations').to_string()}")


if __name__ == "__main__":
    main()
