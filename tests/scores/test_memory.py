"""Peak memory: below what was projected, flat in the number of images, and held under a hard limit."""

import json
import subprocess
import sys

import numpy as np
import pytest
from scores.faults import store_of

from salzarr.plan import parse_size

RUN = """
import json, resource, sys
import dask, salzarr
from salzarr.scores import plan_comparison

store, out, metrics, threads, memory, limit, after = json.loads(sys.argv[1])
if limit:
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
with dask.config.set(scheduler="threads", num_workers=threads):
    plan = plan_comparison(store, metrics, memory=memory, calibrated=False)
    scores = salzarr.compare(store, metrics, out=out, memory=memory)
    assert (scores.mse_reason == 0).all()
    if after:
        salzarr.publish(out, memory=memory)
# Not ru_maxrss, which a process inherits from the one that started it.
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps({"peak": int(peak) * 1024, "projected": plan.peak_bytes, "tile": plan.tile}))
"""


def measured(store, out, metrics="mse,cosine,pearson", threads=1, memory=None, limit=None, after=False):
    """Compare in a process of its own and return its peak and its plan."""
    given = json.dumps([store, str(out), metrics, threads, memory, limit, after])
    done = subprocess.run([sys.executable, "-c", RUN, given], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def big_store(path, models, images, shape=(224, 224)):
    """Convert maps that take no memory here: each model has the same map for all images."""
    rng = np.random.default_rng(0)
    maps = {f"m{i}": np.broadcast_to(rng.random(shape, np.float32), (images, *shape)) for i in range(models)}
    return store_of(maps, path, images_per_chunk=20)


def test_peak_is_below_the_projection_and_flat(tmp_path):
    peaks = []
    for images in (40, 400):
        store = big_store(tmp_path / f"{images}.zarr", 6, images)
        found = measured(store, tmp_path / f"r{images}", threads=2)
        assert found["peak"] < found["projected"]
        peaks.append(found["peak"])
    assert peaks[1] < peaks[0] + 24 * 2**20


def test_tiles_keep_to_the_memory(tmp_path):
    store = big_store(tmp_path / "maps.zarr", 24, 40)
    found = measured(store, tmp_path / "r", metrics="mse,ssim", memory="400MiB")
    assert found["tile"] < 24
    assert found["peak"] < found["projected"] <= parse_size("400MiB")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_store_several_times_a_hard_limit(tmp_path):
    store = big_store(tmp_path / "maps.zarr", 10, 1200)  # 2.4 GB
    limit = 640 * 2**20  # of data: stacks of threads count in full, used or not
    found = measured(
        store, tmp_path / "r", "mse,cosine,pearson,ssim,kl", memory="512MiB", limit=limit, after=True
    )
    assert found["projected"] <= 512 * 2**20
    assert found["peak"] < 640 * 2**20
