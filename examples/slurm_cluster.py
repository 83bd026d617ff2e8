"""A comparison on a SLURM cluster: salzarr follows whatever Dask ``Client`` there is.

    python examples/slurm_cluster.py                       print the job script of a worker, submit nothing
    python examples/slurm_cluster.py maps.zarr results/    submit workers, and compare

Needs ``pip install "salzarr[cluster]"``. The store and the results must lie where all nodes see them. If the
job that runs this is ended, the same command goes on where it stopped.
"""

import sys

import dask
from dask.distributed import Client
from dask_jobqueue import SLURMCluster

import salzarr


def workers_by_slurm():
    """Describe the job of one worker: four processes of one thread each, as kernels use one thread."""
    return SLURMCluster(
        cores=4,
        processes=4,
        memory="16GiB",  # a comparison takes what a quarter of it allows, and refuses what would not fit
        walltime="04:00:00",
        job_extra_directives=["--requeue"],
        job_script_prologue=["export OMP_NUM_THREADS=1"],
        scheduler_options={"dashboard": False},
    )


def main(store=None, results=None):
    with workers_by_slurm() as cluster:
        if store is None:
            print(cluster.job_script())
            return
        cluster.adapt(minimum_jobs=1, maximum_jobs=25)  # as many as there is work for
        # Queues are slow: wait an hour for a first worker before giving up.
        with Client(cluster), dask.config.set({"salzarr.patience": 3600}):
            scores = salzarr.compare(store, metrics="mse,cosine,pearson,ssim,emd", out=results)
        print(salzarr.summarize(scores))


if __name__ == "__main__":
    main(*sys.argv[1:])
