"""Attributions of a PyTorch model, by Captum, straight into a store.

    pip install torch captum
    python examples/captum_attributions.py [FOLDER]

The "models" to compare may as well be explanation methods of one model: here five of Captum's, on a small
network trained on the spot. A store takes tensors as they come out of the loop (``requires_grad``, on any
device), in batches of any size and order.
"""

import sys
import tempfile
from pathlib import Path

import torch
from captum.attr import DeepLift, InputXGradient, IntegratedGradients, Occlusion, Saliency
from sklearn.datasets import load_digits

import salzarr


def train(x, y):
    """Train a small convolutional network for a few seconds."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * 64, 10),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(40):
        for batch in torch.randperm(len(x)).split(256):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
    return network.eval()


def main(folder=None):
    folder = Path(folder or tempfile.mkdtemp())
    digits = load_digits()
    x = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None]
    y = torch.tensor(digits.target)
    network = train(x[200:], y[200:])
    x, y = x[:200], y[:200]
    print(f"{(network(x).argmax(1) == y).float().mean():.1%} of the test digits right")

    attribute = {
        "saliency": lambda x, y: Saliency(network).attribute(x, target=y, abs=False),
        "input_x_gradient": lambda x, y: InputXGradient(network).attribute(x, target=y),
        "integrated_gradients": lambda x, y: IntegratedGradients(network).attribute(x, target=y),
        "deeplift": lambda x, y: DeepLift(network).attribute(x, target=y),
        "occlusion": lambda x, y: Occlusion(network).attribute(x, target=y, sliding_window_shapes=(1, 3, 3)),
    }
    ids = [f"digit{i:03d}" for i in range(len(x))]
    with salzarr.create(folder / "maps.zarr", models=list(attribute), images=ids, shape=(8, 8)) as store:
        for method, explain in attribute.items():
            for batch in torch.arange(len(x)).split(64):
                store.write(method, [ids[i] for i in batch], explain(x[batch], y[batch])[:, 0])

    scores = salzarr.compare(folder / "maps.zarr", metrics="spearman,cosine,emd:normalize=abs")
    print(salzarr.to_matrix(salzarr.summarize(scores), "spearman").to_pandas().round(2).to_string())


if __name__ == "__main__":
    main(*sys.argv[1:])
