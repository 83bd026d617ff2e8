"""Every format fulfils the contract; what is particular to one is tested below it."""

import dask.array as da
import h5py
import numpy as np
import pytest
import scipy.io
import tifffile
import xarray as xr
import zarr
from foreign import OnlyDlpack
from PIL import Image
from sources.contract import IMAGES, SourceContract, four_maps

from salzarr.errors import InputError, ShapeError
from salzarr.sources import FORMATS
from salzarr.sources.labelled import in_memory
from salzarr.sources.memory import Arrays, to_numpy
from salzarr.sources.reading import Findings, Reading
from salzarr.sources.source import FileMaps, Place
from salzarr.store.gathering import gather


def opened(path, **reading):
    """Return the source of a model's one file or folder."""
    [item] = gather(path.parent, Reading.of(models={"vgg": path.name}, **reading), Findings())
    return item.source


def models_in(path, **reading):
    """Return the source of each model in a file."""
    return {item.model: item.source for item in gather(path, Reading.of(**reading), Findings())}


def files(suffix):
    """Return the source of one file per map."""

    def make(self, folder, maps):
        [format_] = [f for f in FORMATS if suffix in f.suffixes]
        for name, values in zip(IMAGES, maps, strict=True):
            self.save(folder / f"{name}{suffix}", values)
        array = format_.look(str(folder / f"a{suffix}")).shapes
        places = tuple(Place(str(folder / f"{name}{suffix}"), next(iter(array))) for name in IMAGES)
        return FileMaps(format_, places, IMAGES)

    return make


class TestNpy(SourceContract):
    make = files(".npy")

    def save(self, path, values):
        np.save(path, values)

    def beside(self, folder, maps):
        for name, values in zip(IMAGES, maps, strict=True):
            self.save(folder / f"{name}.npy", values)
        np.save(folder / "logits.npy", np.zeros((4, 10), np.float32))
        np.save(folder / "labels.npy", np.arange(4))
        return opened(folder)


class TestNpyFortran(TestNpy):
    def save(self, path, values):
        np.save(path, np.asfortranarray(values))


class TestNpyBigEndian(TestNpy):
    dtype = np.dtype(">f8")


class TestNpyStack(SourceContract):
    named = False

    def make(self, folder, maps):
        np.save(folder / "batch_maps.npy", maps)
        return opened(folder / "batch_maps.npy")

    def beside(self, folder, maps):
        np.save(folder / "batch_maps.npy", maps)
        np.save(folder / "logits.npy", np.zeros((4, 10), np.float32))
        np.save(folder / "labels.npy", np.arange(4))
        return opened(folder)

    def turned(self, folder, maps):
        np.save(folder / "maps.npy", maps.transpose(2, 0, 1))
        return opened(folder / "maps.npy", axes="x,image,y")


class TestNpyStackFortran(TestNpyStack):
    def make(self, folder, maps):
        np.save(folder / "batch_maps.npy", np.asfortranarray(maps))
        return opened(folder / "batch_maps.npy")


class TestNpyStackNamedInPieces(SourceContract):
    def make(self, folder, maps):
        paths = [folder / "batch_maps_0.npy", folder / "batch_maps_1.npy"]
        for path, part in zip(paths, (maps[:1], maps[1:]), strict=True):
            np.save(path, part[:, None])
        (folder / "names.txt").write_text("\n".join(IMAGES))
        return opened(folder)


class TestNpzFiles(SourceContract):
    make = files(".npz")

    def save(self, path, values):
        np.savez_compressed(path, values)


class TestNpzArchive(SourceContract):
    def make(self, folder, maps):
        np.savez(folder / "vgg.npz", **dict(zip(IMAGES, maps, strict=True)))
        return opened(folder / "vgg.npz")


class TestNpzStack(SourceContract):
    def make(self, folder, maps):
        np.savez_compressed(folder / "vgg.npz", saliency=np.asarray(maps), names=np.array(IMAGES))
        return opened(folder / "vgg.npz")

    def beside(self, folder, maps):
        arrays = {"saliency": maps, "logits": np.zeros((4, 10), np.float32), "label": np.arange(4)}
        np.savez(folder / "vgg.npz", **arrays)
        return opened(folder / "vgg.npz")

    def turned(self, folder, maps):
        np.savez(folder / "vgg.npz", saliency=maps.transpose(0, 2, 1))
        return opened(folder / "vgg.npz", axes="image,x,y")


class TestPng8(SourceContract):
    dtype = np.uint8
    make = files(".png")

    def save(self, path, values):
        Image.fromarray(values).save(path)


class TestPng16(TestPng8):
    dtype = np.uint16


class TestTiffFloat(SourceContract):
    make = files(".tif")

    def save(self, path, values):
        tifffile.imwrite(path, values)


class TestTiffCompressedDouble(TestTiffFloat):
    dtype = np.float64

    def save(self, path, values):
        tifffile.imwrite(path, values, compression="zlib")


class TestBmp(TestPng8):
    make = files(".bmp")


class TestHdf5(SourceContract):
    def make(self, folder, maps):
        with h5py.File(folder / "vgg.h5", "w") as file:
            for name, values in zip(IMAGES, maps, strict=True):
                file[name] = values
        return opened(folder / "vgg.h5")


class TestHdf5Stack(SourceContract):
    def make(self, folder, maps):
        with h5py.File(folder / "vgg.h5", "w") as file:
            file.create_dataset("maps", data=maps, compression="gzip")
            file["names"] = list(IMAGES)
        return opened(folder / "vgg.h5")

    def beside(self, folder, maps):
        arrays = {"saliency": maps, "logits": np.zeros((4, 10), np.float32), "label": np.arange(4)}
        with h5py.File(folder / "vgg.h5", "w") as file:
            for name, values in arrays.items():
                file[name] = values
        return opened(folder / "vgg.h5")

    def turned(self, folder, maps):
        with h5py.File(folder / "vgg.h5", "w") as file:
            file["saliency"] = maps.transpose(2, 1, 0)
        return opened(folder / "vgg.h5", axes="x,y,image")


class TestMatlab5(SourceContract):
    make = files(".mat")

    def save(self, path, values):
        scipy.io.savemat(path, {"saliency": values, "label": 3})


class TestMatlab5Stack(SourceContract):
    def make(self, folder, maps):
        names = np.array(IMAGES, object)
        scipy.io.savemat(folder / "vgg.mat", {"saliency": np.moveaxis(maps, 0, 2), "names": names})
        return opened(folder / "vgg.mat")

    def beside(self, folder, maps):
        arrays = {"saliency": maps, "logits": np.zeros((4, 10), np.float32), "label": np.arange(4)}
        scipy.io.savemat(folder / "vgg.mat", arrays)
        return opened(folder / "vgg.mat", array="saliency", axes="image,y,x")

    def turned(self, folder, maps):
        scipy.io.savemat(folder / "vgg.mat", {"saliency": maps.transpose(2, 1, 0)})
        return opened(folder / "vgg.mat", axes="x,y,image")


class TestMatlab73Stack(SourceContract):
    named = False

    def make(self, folder, maps):
        with h5py.File(folder / "vgg.mat", "w", userblock_size=512) as file:
            file["saliency"] = np.moveaxis(maps, 0, 2).T  # MATLAB writes the first axis last
            file["saliency"].attrs["MATLAB_class"] = np.bytes_("single")
        with open(folder / "vgg.mat", "r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file")
        return opened(folder / "vgg.mat", axes="y,x,image")


class TestSafetensors(SourceContract):
    def make(self, folder, maps):
        safetensors = pytest.importorskip("safetensors.numpy")
        safetensors.save_file(dict(zip(IMAGES, maps, strict=True)), folder / "vgg.safetensors")
        return opened(folder / "vgg.safetensors")


class TestSafetensorsStack(SourceContract):
    named = False

    def make(self, folder, maps):
        safetensors = pytest.importorskip("safetensors.numpy")
        safetensors.save_file({"cam": maps}, folder / "vgg.safetensors")
        return opened(folder / "vgg.safetensors")

    def beside(self, folder, maps):
        arrays = {"saliency": maps, "logits": np.zeros((4, 10), np.float32), "label": np.arange(4)}
        pytest.importorskip("safetensors.numpy").save_file(arrays, folder / "vgg.safetensors")
        return opened(folder / "vgg.safetensors")

    def turned(self, folder, maps):
        turned = np.ascontiguousarray(maps.transpose(0, 2, 1))
        pytest.importorskip("safetensors.numpy").save_file({"cam": turned}, folder / "vgg.safetensors")
        return opened(folder / "vgg.safetensors", axes="image,x,y")


class TestTorchFiles(SourceContract):
    make = files(".pt")

    def save(self, path, values):
        torch = pytest.importorskip("torch")
        torch.save(torch.from_numpy(values), path)


class TestTorchStack(SourceContract):
    def make(self, folder, maps):
        torch = pytest.importorskip("torch")
        torch.save({"maps": torch.from_numpy(maps), "names": list(IMAGES), "epoch": 3}, folder / "vgg.pth")
        return opened(folder / "vgg.pth")

    def beside(self, folder, maps):
        arrays = {"saliency": maps, "logits": np.zeros((4, 10), np.float32), "label": np.arange(4)}
        torch = pytest.importorskip("torch")
        torch.save({name: torch.from_numpy(values) for name, values in arrays.items()}, folder / "vgg.pt")
        return opened(folder / "vgg.pt")

    def turned(self, folder, maps):
        torch = pytest.importorskip("torch")
        torch.save(torch.from_numpy(maps).permute(0, 2, 1), folder / "vgg.pt")
        return opened(folder / "vgg.pt", axes="image,x,y")


class TestNetcdf(SourceContract):
    def make(self, folder, maps):
        array = xr.DataArray(maps, dims=("image", "y", "x"), coords={"image": list(IMAGES)}, name="saliency")
        array.to_netcdf(folder / "vgg.nc")
        return opened(folder / "vgg.nc")

    def dataset(self, maps):
        dims = ("image", "y", "x")
        return xr.DataArray(maps, dims=dims, coords={"image": list(IMAGES)}, name="saliency").to_dataset()

    def write(self, dataset, folder):
        dataset.to_netcdf(folder / "vgg.nc")
        return opened(folder / "vgg.nc")

    def beside(self, folder, maps):
        dataset = self.dataset(maps)
        dataset["logits"] = ("image", "label"), np.zeros((4, 10), np.float32)
        return self.write(dataset, folder)

    def turned(self, folder, maps):
        return self.write(self.dataset(maps).transpose("x", "image", "y"), folder)

    def masked(self, folder, maps, hidden):
        dataset = self.dataset(np.where(hidden, -9, maps))
        dataset["saliency"].encoding["_FillValue"] = -9
        dataset["saliency"].attrs["_FillValue"] = -9
        del dataset["saliency"].encoding["_FillValue"]
        return self.write(dataset, folder)


class TestZarrPlain(SourceContract):
    named = False

    def make(self, folder, maps):
        array = zarr.create_array(
            folder / "vgg.zarr", shape=maps.shape, chunks=(2, 6, 8), dtype=maps.dtype, compressors=None
        )
        array[:] = maps
        return opened(folder / "vgg.zarr")

    def file(self, folder):
        return folder / "vgg.zarr" / "c" / "0" / "0" / "0"

    def test_stamps_change_with_the_file(self, source):
        assert source.stamps()[0].size > 0

    @pytest.mark.skip(reason="Zarr reads a missing chunk as its fill value, without an error")
    def test_a_file_that_is_gone_is_an_error_that_names_it(self): ...

    def test_a_truncated_file_is_an_error_that_names_it(self, source, tmp_path):
        self.file(tmp_path).write_bytes(b"short")
        with pytest.raises(InputError, match=r"vgg\.zarr"):
            list(source.read())


@pytest.mark.filterwarnings("ignore:The data type.*does not have a Zarr V3 specification")
class TestZarrLabelled(TestZarrPlain):
    named = True

    def make(self, folder, maps):
        array = xr.DataArray(maps, dims=("image", "y", "x"), coords={"image": list(IMAGES)}, name="saliency")
        array.to_dataset().to_zarr(
            folder / "vgg.zarr",
            consolidated=False,
            encoding={"saliency": {"compressors": None, "chunks": (2, 6, 8)}},
        )
        return opened(folder / "vgg.zarr")

    def file(self, folder):
        return folder / "vgg.zarr" / "saliency" / "c" / "0" / "0" / "0"

    dataset = TestNetcdf.dataset
    beside = TestNetcdf.beside
    turned = TestNetcdf.turned
    masked = TestNetcdf.masked

    def write(self, dataset, folder):
        dataset.to_zarr(folder / "vgg.zarr", consolidated=False)
        return opened(folder / "vgg.zarr")


class TestZarrV2(TestZarrPlain):
    named = True

    def make(self, folder, maps):
        array = xr.DataArray(maps, dims=("image", "y", "x"), coords={"image": list(IMAGES)}, name="saliency")
        encoding = {"saliency": {"compressors": None, "chunks": (2, 6, 8)}}
        array.to_dataset().to_zarr(folder / "vgg.zarr", zarr_format=2, encoding=encoding)
        return opened(folder / "vgg.zarr")

    def file(self, folder):
        return folder / "vgg.zarr" / "saliency" / "0.0.0"


class TestArrays(SourceContract):
    has_file = False

    def make(self, folder, maps):
        return Arrays.of("vgg", maps, IMAGES)

    def masked(self, folder, maps, hidden):
        return Arrays.of("vgg", np.ma.masked_array(maps, hidden), IMAGES)


class TestArraysNameless(TestArrays):
    named = False

    def make(self, folder, maps):
        return Arrays.of("vgg", list(maps))


class TestXarrayDask(TestArrays):
    def make(self, folder, maps):
        array = xr.DataArray(maps[None], dims=("model", "image", "y", "x"))
        array = array.assign_coords(model=["vgg"], image=list(IMAGES)).chunk(image=3)
        return in_memory(array, "maps")["vgg"]

    def turned(self, folder, maps):
        array = xr.DataArray(maps.transpose(2, 0, 1), dims=("x", "image", "y"))
        return in_memory(array.assign_coords(image=list(IMAGES)).chunk(image=3), "vgg")["vgg"]

    def masked(self, folder, maps, hidden):
        array = da.from_array(np.ma.masked_array(maps, hidden), chunks=(3, 6, 8))
        return in_memory(xr.DataArray(array, dims=("image", "y", "x"), name="vgg"), "maps")["vgg"]


def test_every_format_is_in_the_contract():
    tested = {".npy", ".npz", ".png", ".bmp", ".tif", ".h5", ".nc", ".zarr", ".mat", ".pt", ".safetensors"}
    for format_ in FORMATS:
        assert tested & set(format_.suffixes), f"{format_.name} has no class of tests above"


def test_an_archive_with_one_stack_per_model(tmp_path):
    maps = four_maps()
    np.savez(tmp_path / "all.npz", vgg=maps, resnet=maps + 1)
    models = models_in(tmp_path / "all.npz")
    assert list(models) == ["vgg", "resnet"]
    np.testing.assert_array_equal(list(models["resnet"].read()), maps + 1)


def test_an_hdf5_file_with_one_group_per_model(tmp_path):
    maps = four_maps()
    with h5py.File(tmp_path / "all.h5", "w") as file:
        for model in ("vgg", "resnet"):
            for name, values in zip(IMAGES, maps, strict=True):
                file[f"{model}/{name}"] = values
    models = models_in(tmp_path / "all.h5")
    assert sorted(models) == ["resnet", "vgg"]
    assert models["vgg"].ids == IMAGES
    np.testing.assert_array_equal(list(models["vgg"].read()), maps)


def test_hdf5_links_to_other_files_are_not_followed(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["map"] = np.ones((6, 8))
    with h5py.File(tmp_path / "vgg.h5", "w") as file:
        file["a"], file["c"] = np.zeros((2, 6, 8))
        file["b"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/map")
    assert opened(tmp_path / "vgg.h5").ids == ("a", "c")


def test_hdf5_values_in_other_files_are_refused(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(6 * 8 * 4))
    with h5py.File(tmp_path / "vgg.h5", "w") as file:
        file.create_dataset("a", (6, 8), "f4", external=[(str(tmp_path / "secret.bin"), 0, 6 * 8 * 4)])
    with pytest.raises(InputError, match="in other files"):
        opened(tmp_path / "vgg.h5")


def test_a_netcdf_file_with_a_dimension_of_models(tmp_path):
    maps = four_maps()
    array = xr.DataArray(
        np.stack([maps, maps + 1]).transpose(1, 2, 3, 0),
        dims=("image", "y", "x", "model"),
        coords={"model": ["vgg", "resnet"], "image": list(IMAGES)},
        name="saliency",
    )
    array.to_netcdf(tmp_path / "all.nc")
    models = models_in(tmp_path / "all.nc")
    assert list(models) == ["vgg", "resnet"]
    np.testing.assert_array_equal(list(models["resnet"].select([3, 1]).read()), maps[[3, 1]] + 1)


def test_a_palette_becomes_colors_and_transparency_an_alpha_channel(tmp_path):
    [format_] = [f for f in FORMATS if ".png" in f.suffixes]
    Image.new("P", (8, 6)).save(tmp_path / "p.png")
    Image.new("P", (8, 6)).save(tmp_path / "transparent.png", transparency=0)
    Image.new("LA", (8, 6)).save(tmp_path / "la.png")
    Image.new("1", (8, 6)).save(tmp_path / "bool.png")
    expected = {"p.png": (6, 8, 3), "transparent.png": (6, 8, 4), "la.png": (6, 8, 2), "bool.png": (6, 8)}
    for name, shape in expected.items():
        path = str(tmp_path / name)
        assert format_.look(path).shapes[""] == shape
        assert next(format_.read(path, "", [()])).shape == shape


def test_animated_pictures_and_images_of_several_pages_are_named(tmp_path):
    frames = [Image.new("L", (8, 6), n) for n in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    [picture] = [f for f in FORMATS if ".png" in f.suffixes]
    with pytest.raises(InputError, match=r"a\.png is animated, 3 pictures"):
        picture.look(str(tmp_path / "a.png"))
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(np.zeros((6, 8), np.float32))
        tiff.write(np.zeros((5, 5), np.uint8))
    [format_] = [f for f in FORMATS if ".tif" in f.suffixes]
    with pytest.raises(InputError, match=r"a\.tif holds 2 images of different kinds"):
        format_.look(str(tmp_path / "a.tif"))


def test_a_tensor_of_torch_is_detached_and_brought_to_the_cpu():
    class Tensor:  # what matters of torch.Tensor, which CI may not have
        def __init__(self, values, steps=()):
            self.values, self.steps = values, steps

        def detach(self):
            return Tensor(self.values, (*self.steps, "detach"))

        def cpu(self):
            return Tensor(self.values, (*self.steps, "cpu"))

        def __array__(self, dtype=None, copy=None):
            assert self.steps == ("detach", "cpu"), "torch refuses __array__ otherwise"
            return self.values

    np.testing.assert_array_equal(to_numpy(Tensor(np.ones((2, 3)))), np.ones((2, 3)))


def test_what_has_only_dlpack_is_taken():
    np.testing.assert_array_equal(to_numpy(OnlyDlpack(np.arange(6.0))), np.arange(6.0))


def test_ragged_lists_are_refused():
    with pytest.raises(ShapeError, match="no array"):
        to_numpy([[1, 2], [3]])


def test_a_list_of_tensors_is_one_array():
    class Tensor:  # as torch refuses to be stacked by NumPy
        dtype = "torch.bfloat16"

        def __init__(self, values):
            self.values = values

        def detach(self):
            return self

        def float(self):
            return self.values.astype(np.float32)

        @property
        def shape(self):
            return self.values.shape

    maps = four_maps()
    np.testing.assert_array_equal(to_numpy([Tensor(values) for values in maps]), maps)
    with pytest.raises(ShapeError, match=r"they have the shapes \(6, 8\), \(5, 8\)"):
        to_numpy([Tensor(maps[0]), Tensor(maps[1][:5])])


@pytest.mark.parametrize("make", [np.asarray, lambda maps: da.from_array(maps, chunks=(2, 6, 8))])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_what_a_mask_hides_is_nan(make, dtype):
    maps = four_maps(dtype)
    hidden = np.zeros(maps.shape, bool)
    hidden[:, 0] = True
    masked = np.ma.masked_array(maps, hidden)
    source = Arrays.of("vgg", masked if make is np.asarray else make(masked))
    for array in (np.stack(list(source.read())), to_numpy(source.values)):
        np.testing.assert_array_equal(array, np.where(hidden, np.nan, maps))


@pytest.mark.parametrize("dtype", [complex, "M8[s]", "U3", object])
def test_what_is_no_number_is_refused_in_memory_as_in_files(dtype):
    values = np.zeros((4, 6, 8), dtype)
    for array in (values, da.from_array(values, chunks=2), values.tolist() if dtype is complex else values):
        with pytest.raises(InputError, match=r"the array of vgg holds.*real numbers"):
            Arrays.of("vgg", array)


@pytest.mark.parametrize("shape", [(4, 1, 6, 8), (4, 6, 8, 1), (4, 1, 1, 6, 8)])
def test_axes_of_length_one_are_dropped_in_memory_as_in_files(shape):
    maps = four_maps()
    assert Arrays.of("vgg", maps.reshape(shape)).values.shape == maps.shape
    np.testing.assert_array_equal(list(Arrays.of("vgg", maps.reshape(shape)).read()), maps)


def test_chunks_of_unknown_sizes_are_refused_with_the_remedy():
    maps = da.from_array(four_maps(), chunks=(2, 6, 8))
    with pytest.raises(ShapeError, match=r"compute_chunk_sizes\(\)"):
        Arrays.of("vgg", maps[maps[:, 0, 0] > -1])


def test_volumes_and_time_series_are_refused_with_their_shape(tmp_path):
    values = np.zeros((4, 5, 6, 8), np.float32)
    array = xr.DataArray(values, dims=("image", "time", "y", "x"), name="saliency")
    array.to_netcdf(tmp_path / "vgg.nc")
    words = r"axes image, time, y, x, shape \(4, 5, 6, 8\): time is no image and no channel"
    with pytest.raises(InputError, match=words):
        opened(tmp_path / "vgg.nc")
    with pytest.raises(InputError, match=words):
        Arrays.of("vgg", array)
    named = {"axes": "image,time,y,x"}
    assert list(models_in(tmp_path / "vgg.nc", **named)) == [f"vgg/{n}" for n in range(5)]
    assert len(gather({"vgg": values}, Reading.of(**named), Findings())) == 5
    assert len(list(Arrays.of("vgg", array.rename(time="channel")).read())) == 4
