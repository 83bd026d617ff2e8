"""Your own metric beside salzarr's: a function of two maps is enough.

    python examples/custom_metric.py

``peak_distance`` measures how far apart two models' highest pixels are. On the command line it would be
``salzarr compare maps.zarr results --metrics pearson,custom_metric:peak_distance``, given in this folder.
"""

import numpy as np

import salzarr


def peak_distance(a, b):
    """Return the distance between the highest pixels of two maps (H, W), in pixels."""
    peak_a = np.unravel_index(np.argmax(a), a.shape)
    peak_b = np.unravel_index(np.argmax(b), b.shape)
    return float(np.hypot(peak_a[0] - peak_b[0], peak_a[1] - peak_b[1]))


def main():
    rng = np.random.default_rng(0)
    first = rng.random((20, 32, 32))
    maps = {"first": first, "shifted": np.roll(first, 3, axis=2), "other": rng.random((20, 32, 32))}

    scores = salzarr.compare(maps, metrics=["pearson", peak_distance])
    summary = salzarr.summarize(scores)
    print(salzarr.to_matrix(summary, "peak_distance", "median").to_pandas())


if __name__ == "__main__":
    main()
