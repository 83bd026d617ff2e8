"""From a training loop to a report, with no ``.npy`` file in between.

    python examples/training_loop.py [FOLDER]

Trains small classifiers of scikit-learn's handwritten digits, computes the gradient of the winning class with
respect to each pixel, and writes the maps batch by batch into a store. Do seeds of one architecture
look at the same pixels? Do different architectures?
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import salzarr

TRAINING = {"max_iter": 300, "tol": 1e-3}
MODELS = {
    "logistic": LogisticRegression(max_iter=500),
    **{f"mlp64_seed{seed}": MLPClassifier((64,), random_state=seed, **TRAINING) for seed in range(3)},
    **{f"mlp32x32_seed{seed}": MLPClassifier((32, 32), random_state=seed, **TRAINING) for seed in range(2)},
}


def input_gradient(model, x):
    """Differentiate the winning class's logit by the pixels: (image, pixel) -> (image, pixel), signed."""
    weights = model.coefs_ if isinstance(model, MLPClassifier) else [model.coef_.T]
    biases = model.intercepts_ if isinstance(model, MLPClassifier) else [model.intercept_]
    active = []
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        x = x @ w + b
        active.append(x > 0)
        x = np.maximum(x, 0)
    winner = (x @ weights[-1] + biases[-1]).argmax(axis=1)
    gradient = weights[-1][:, winner].T
    for w, on in zip(reversed(weights[:-1]), reversed(active), strict=True):
        gradient = (gradient * on) @ w.T
    return gradient


def main(folder=None):
    folder = Path(folder or tempfile.mkdtemp())
    digits = load_digits()
    x_train, x, y_train, y = train_test_split(digits.data / 16, digits.target, test_size=200, random_state=0)
    ids = [f"{label}_{i:03d}" for i, label in enumerate(y)]

    with salzarr.create(folder / "digits.zarr", models=list(MODELS), images=ids, shape=(8, 8)) as store:
        for name, model in MODELS.items():
            model.fit(x_train, y_train)
            print(f"{name}: {model.score(x, y):.1%} of the test digits right")
            for batch in np.array_split(np.arange(len(x)), 4):
                maps = input_gradient(model, x[batch]).reshape(-1, 8, 8)
                store.write(name, [ids[i] for i in batch], maps)

    # Gradients are signed: the EMD needs mass, so it takes their magnitude.
    salzarr.compare(
        folder / "digits.zarr", metrics="cosine,spearman,ssim,emd:normalize=abs", out=folder / "results"
    )
    print("report:", salzarr.publish(folder / "results").report)


if __name__ == "__main__":
    main(*sys.argv[1:])
