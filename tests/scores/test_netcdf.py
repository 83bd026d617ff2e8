"""What is returned is plain xarray: it can be written as NetCDF, read again and used, and drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import salzarr

MAPS = {name: np.random.default_rng(k).random((30, 8, 8)).astype("f4") for k, name in enumerate("abc")}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("netcdf")
    salzarr.convert(MAPS, folder / "maps.zarr")
    salzarr.compare(folder / "maps.zarr", "mse, kl", out=folder / "results")
    return folder


def again(dataset, path):
    dataset.to_netcdf(path)
    return xr.load_dataset(path)


@pytest.mark.parametrize("lazy", [True, False])
def test_scores_summary_and_matrix_are_the_same_after_netcdf(results, lazy, tmp_path):
    scores = salzarr.compare(MAPS, "mse, kl") if lazy else salzarr.open_scores(results / "results")
    read = again(scores, tmp_path / "scores.nc")
    xr.testing.assert_equal(read, scores.compute())
    summary = salzarr.summarize(scores)
    xr.testing.assert_equal(salzarr.summarize(read), summary)
    summarized = again(summary, tmp_path / "summary.nc")
    matrix = salzarr.to_matrix(summary, "kl")
    xr.testing.assert_equal(salzarr.to_matrix(summarized, "kl"), matrix)
    matrix.to_netcdf(tmp_path / "matrix.nc")
    xr.testing.assert_equal(xr.load_dataarray(tmp_path / "matrix.nc"), matrix)
    salzarr.plot.similarity_matrix(summarized, "mse")
    plt.close("all")


def test_maps_are_the_same_after_netcdf(results, tmp_path):
    maps = salzarr.open_dataset(results / "maps.zarr")
    read = again(maps, tmp_path / "maps.nc")
    np.testing.assert_array_equal(read.maps.values, maps.maps.values)
    xr.testing.assert_equal(salzarr.compare(read.maps, "mse"), salzarr.compare(maps.maps, "mse"))


def test_one_model_keeps_its_name(tmp_path):
    scores = salzarr.compare(MAPS, "mse").isel(pair=[]).assign_attrs(models=["vgg"])
    read = again(salzarr.summarize(scores), tmp_path / "one.nc")
    assert salzarr.to_matrix(read, "mse").model_a.values.tolist() == ["vgg"]


def test_scores_can_be_drawn(results):
    salzarr.open_scores(results / "results").mse.plot()
    salzarr.compare(MAPS, "mse").mse.plot()
    plt.close("all")
