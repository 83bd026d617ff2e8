"""A comparison on a Dask cluster: here one of two processes on this machine, elsewhere any ``Client``.

    python examples/dask_cluster.py

On a real cluster replace ``LocalCluster`` by dask-jobqueue's ``SLURMCluster`` (see ``slurm_cluster.py``),
dask-kubernetes, or ``Client("tcp://scheduler:8786")``: the rest stays as it is. The command line does so
by ``salzarr compare maps.zarr results --scheduler tcp://scheduler:8786``.
"""

import tempfile
from pathlib import Path

import numpy as np
from dask.distributed import Client, LocalCluster

import salzarr


def main():
    rng = np.random.default_rng(0)
    folder = Path(tempfile.mkdtemp())
    maps = {name: rng.random((64, 56, 56), dtype=np.float32) for name in ("resnet", "vit", "convnext")}
    salzarr.convert(maps, folder / "maps.zarr")

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        # Written block by block; if it is interrupted, the same call goes on where it stopped.
        salzarr.compare(folder / "maps.zarr", metrics="mse,pearson,ssim,emd", out=folder / "results")

        # Or lazily: nothing is computed until it is asked for, and only what is asked for.
        scores = salzarr.compare(folder / "maps.zarr", metrics="mse,emd")
        print(scores.mse.mean("image").compute())

    print(salzarr.summarize(salzarr.open_scores(folder / "results")))


if __name__ == "__main__":  # worker processes import this file: without the guard they would start clusters
    main()
