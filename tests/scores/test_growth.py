"""Growing: what is new is computed, what was there is copied; the result is that of a run from scratch."""

import json
import warnings

import numpy as np
import pytest
from scores.faults import counting, counts, metric, random_maps, store_of

from salzarr import compare
from salzarr.errors import ChangedError
from salzarr.metrics import as_metrics
from salzarr.schema import Reason


@pytest.fixture
def counter(tmp_path, monkeypatch):
    monkeypatch.setenv("COUNTS", str(tmp_path / "counts"))
    return [*as_metrics("mse,cosine"), metric(counting)]


def runs(scores):
    """What each run on these scores did."""
    return json.loads(scores.attrs["provenance"])["runs"]


def same(grown, scratch):
    assert list(grown.data_vars) == list(scratch.data_vars)
    for name in ("model_a", "model_b", "image"):
        np.testing.assert_array_equal(grown[name], scratch[name])
    for name in scratch.data_vars:
        np.testing.assert_allclose(grown[name], scratch[name], rtol=1e-12, atol=1e-12)


def test_models_cost_their_pairs(tmp_path, counter):
    maps = random_maps(5, 10)
    store = store_of(dict(list(maps.items())[:3]), tmp_path / "maps.zarr")
    compare(store, counter, out=tmp_path / "r")
    assert counts() == 3 * 10
    store_of(maps, store, append=True)
    grown = compare(store, counter, out=tmp_path / "r")
    assert counts() == (10 - 3) * 10
    same(grown, compare(store, counter, out=tmp_path / "scratch"))
    assert runs(grown) == [{"tasks": 3, "computing": 3, "scores": 7 * 10 * 3}]


def test_images_cost_themselves(tmp_path, counter):
    maps = random_maps(3, 30)
    store = store_of({name: one[:10] for name, one in maps.items()}, tmp_path / "maps.zarr")
    compare(store, counter, out=tmp_path / "r")
    counts()
    store_of(maps, store, append=True)
    grown = compare(store, counter, out=tmp_path / "r")
    assert counts() == 3 * 20
    same(grown, compare(store, counter, out=tmp_path / "scratch"))
    # Two full blocks are copied, the third is filled up, five are new.
    assert runs(grown) == [{"tasks": 8, "computing": 6, "scores": 3 * 20 * 3}]


def test_metrics_cost_themselves(tmp_path, counter):
    store = store_of(random_maps(3, 10), tmp_path / "maps.zarr")
    compare(store, counter, out=tmp_path / "r")
    counts()
    grown = compare(store, [*counter, *as_metrics("pearson")], out=tmp_path / "r")
    assert counts() == 0
    same(grown, compare(store, [*counter, *as_metrics("pearson")], out=tmp_path / "scratch"))
    assert runs(grown)[-1]["scores"] == 3 * 10


def test_everything_at_once(tmp_path, counter):
    maps = random_maps(4, 13)
    store = store_of({name: one[:9] for name, one in list(maps.items())[:2]}, tmp_path / "maps.zarr")
    compare(store, counter, out=tmp_path / "r")
    counts()
    store_of(maps, store, append=True)
    wanted = [*counter, *as_metrics("kl")]
    grown = compare(store, wanted, out=tmp_path / "r")
    assert counts() == 6 * 13 - 1 * 9
    same(grown, compare(store, wanted, out=tmp_path / "scratch"))
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == ["run.json", "scores.zarr"]


def test_growing_again_and_again(tmp_path, counter):
    maps = random_maps(4, 10)
    store = tmp_path / "maps.zarr"
    for models, cost in ((2, 10), (3, 20), (4, 30), (4, 0)):
        store_of(dict(list(maps.items())[:models]), store, append=models > 2)
        compare(str(store), counter, out=tmp_path / "r")
        assert counts() == cost


def test_a_growing_selection(tmp_path, counter):
    store = store_of(random_maps(4, 10), tmp_path / "maps.zarr")
    compare(store, counter, models=["m3", "m1"], images=4, out=tmp_path / "r")
    counts()
    grown = compare(store, counter, out=tmp_path / "r")
    assert counts() == 6 * 10 - 4
    # What has scores keeps its place, what is new follows.
    assert grown.attrs["models"] == ["m3", "m1", "m0", "m2"]
    names = list(zip(grown.model_a.values, grown.model_b.values, strict=True))
    assert names[:3] == [("m3", "m1"), ("m3", "m0"), ("m1", "m0")]
    scratch = compare(store, "mse")
    np.testing.assert_allclose(grown.mse[names.index(("m1", "m2"))], scratch.mse[2], rtol=1e-12)


def test_a_map_that_was_missing_is_new(tmp_path, counter):
    maps = random_maps(3, 10)
    ids = [f"i{k}" for k in range(10)]
    without = maps | {"m1": np.delete(maps["m1"], 5, axis=0)}
    names = dict.fromkeys(maps, ids) | {"m1": ids[:5] + ids[6:]}
    store = store_of(without, tmp_path / "maps.zarr", names=names)
    assert (compare(store, counter, out=tmp_path / "r").mse_reason == Reason.MISSING).sum() == 2
    counts()
    store_of({"m1": maps["m1"]}, store, names={"m1": ids}, append=True)
    grown = compare(store, counter, out=tmp_path / "r")
    assert counts() == 3
    assert (grown.mse_reason == 0).all()


def test_a_range_that_widened_is_said_and_computed_anew(tmp_path):
    maps = random_maps(3, 10)
    store = store_of({name: one[:8] for name, one in maps.items()}, tmp_path / "maps.zarr")
    compare(store, "mse,ssim", out=tmp_path / "r")
    maps["m0"][9] *= 3
    store_of(maps, store, append=True)
    with pytest.warns(UserWarning, match=r"was 0\.99.* and is now 2\.9.*: ssim is computed again"):
        grown = compare(store, "mse,ssim", out=tmp_path / "r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(grown, compare(store, "mse,ssim", out=tmp_path / "scratch"))
    assert runs(grown)[-1]["scores"] == 3 * 2 + 3 * 10


def test_growth_from_an_unfinished_run(tmp_path, counter):
    import os

    import zarr

    maps = random_maps(3, 12)
    store = store_of(dict(list(maps.items())[:2]), tmp_path / "maps.zarr")
    compare(store, counter, out=tmp_path / "r")
    scores = tmp_path / "r" / "scores.zarr"
    zarr.open_group(scores, mode="r+", use_consolidated=False).attrs["complete"] = False
    for name in ("mse", "mse_reason", "cosine_reason", "counting_reason"):
        os.remove(scores / name / "c" / "0" / "1")
    store_of(maps, store, append=True)
    counts()
    grown = compare(store, counter, out=tmp_path / "r")
    assert counts() == 2 * 12 + 4
    same(grown, compare(store, counter, out=tmp_path / "scratch"))


def test_a_swap_that_was_interrupted(tmp_path, counter):
    maps = random_maps(3, 8)
    store = store_of(maps, tmp_path / "maps.zarr")
    scores = tmp_path / "r" / "scores.zarr"
    compare(store, counter, models=["m0", "m1"], out=tmp_path / "r")
    compare(store, counter, out=tmp_path / "new")
    # Killed between its two renames: the grown scores are there, the earlier ones set aside.
    scores.rename(f"{scores}.old")
    (tmp_path / "new" / "scores.zarr").rename(f"{scores}.growing")
    counts()
    grown = compare(store, counter, out=tmp_path / "r")
    assert counts() == 0
    assert grown.sizes["pair"] == 3
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == ["run.json", "scores.zarr"]


def test_changed_maps_do_not_grow(tmp_path, counter):
    maps = random_maps(3, 8)
    store = store_of(dict(list(maps.items())[:2]), tmp_path / "maps.zarr")
    compare(store, counter, out=tmp_path / "r")
    maps["m0"][2] += 1
    store_of(maps, tmp_path / "other.zarr")
    with pytest.raises(ChangedError, match="maps of m0 changed, on image 0002"):
        compare(str(tmp_path / "other.zarr"), counter, out=tmp_path / "r")


def test_scores_may_come_from_a_store_that_moved(tmp_path, counter):
    maps = random_maps(2, 8)
    compare(store_of(maps, tmp_path / "maps.zarr"), counter, out=tmp_path / "r")
    counts()
    compare(store_of(maps, tmp_path / "moved.zarr"), counter, out=tmp_path / "r")
    assert counts() == 0
