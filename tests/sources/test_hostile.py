"""Numbers 18 to 20 of the faults: files that are not what they claim, arrays and values of every kind."""

import pickle
import resource
import struct
import zipfile

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from salzarr.errors import InputError, ShapeError
from salzarr.schema import Status
from salzarr.sources.images import PICTURE, TIFF
from salzarr.sources.npy import NPY, npy_shape, read_npy
from salzarr.sources.npz import NPZ
from salzarr.sources.shaping import Recipe
from salzarr.sources.source import Stamp
from salzarr.store.records import blank, note

GOOD = np.arange(48, dtype=np.float32).reshape(6, 8)


def npy_bytes(header, data=b"", version=b"\x01\x00"):
    text = header.encode()
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + version + length + text + data


def read_npz(path):
    """Read the one array of an archive."""
    [name] = NPZ.look(path).shapes
    return next(NPZ.read(path, name, [()]))


def header(shape="(6, 8)", descr="'<f4'", fortran="False"):
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}}}\n"


DATA = GOOD.tobytes()

# Each row of number 18: the bytes of a file called cat.npy, and a word of the sentence that refuses it.
BROKEN = {
    "empty": (b"", "empty"),
    "text": (b"0.1 0.2 0.3\n", "not a .npy file"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(100), "looks like PNG"),
    "npz": (b"PK\x03\x04" + bytes(100), r"looks like \.npz"),
    "pickle": (pickle.dumps(GOOD), "looks like pickle"),
    "magic only": (b"\x93NUMPY", "damaged header"),
    "unknown version": (npy_bytes(header(), DATA, b"\x09\x00"), "damaged header"),
    "truncated header": (npy_bytes(header(), DATA)[:40], "damaged header"),
    "truncated data": (npy_bytes(header(), DATA)[:-1], "is truncated"),
    "no data": (npy_bytes(header()), "is truncated"),
    "trailing junk": (npy_bytes(header(), DATA + b"x"), "bytes after its end"),
    "terabytes": (npy_bytes(header("(1000000, 1000000)"), DATA), "is truncated"),
    "beyond any integer": (npy_bytes(header("(10**30, 8)"), DATA), "damaged header"),
    "a googol of rows": (npy_bytes(header(f"({10**100}, 8)"), DATA), "is truncated"),
    "negative": (npy_bytes(header("(-6, 8)"), DATA), "tuple of lengths"),
    "booleans for lengths": (npy_bytes(header("(True, 8)"), DATA), "tuple of lengths"),
    "no tuple": (npy_bytes(header("6"), DATA), "tuple of lengths"),
    "unknown dtype": (npy_bytes(header(descr="'<q17'"), DATA), "dtype"),
    "dtype by import": (npy_bytes(header(descr="'os.system'"), DATA), "dtype"),
    "nested dtype": (npy_bytes(header(descr="[('a', '<f4')]"), DATA), "holds"),
    "fortran maybe": (npy_bytes(header(fortran="2"), DATA), "fortran_order"),
    "code in the header": (npy_bytes("__import__('os').abort()\n", DATA), "Python literal"),
    "deep header": (npy_bytes("(" * 9000, DATA), "Python literal"),
    "a dict in a set": (npy_bytes("{" + header().strip() + "}", DATA), "Python literal"),
    "long header": (npy_bytes(" " * 60_000 + header(), DATA), "the limit is"),
    "binary header": (
        npy_bytes("\udcff".encode("utf-8", "surrogatepass").decode("latin-1"), DATA),
        "damaged",
    ),
    "keys missing": (npy_bytes("{'descr': '<f4'}\n", DATA), "lacks"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_18_a_broken_npy_is_refused_by_name(name, tmp_path):
    content, words = BROKEN[name]
    path = tmp_path / "cat.npy"
    path.write_bytes(content)
    for read in (read_npy, npy_shape):
        with pytest.raises(InputError, match=words) as caught:
            read(str(path))
        assert str(path) in str(caught.value)


def test_18_a_pickle_is_not_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return open, (str(tmp_path / "executed"), "w")

    np.save(tmp_path / "cat.npy", np.array([[Bomb()]], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "cat.npz", np.array([[Bomb()]], dtype=object))
    assert "never unpickled" in NPZ.look(str(tmp_path / "cat.npz")).refused["arr_0"]
    for path, read in (
        (tmp_path / "cat.npy", read_npy),
        (tmp_path / "cat.npz", lambda path: next(NPZ.read(path, "arr_0", [()]))),
    ):
        with pytest.raises(InputError, match="never unpickled"):
            read(str(path))
    assert not (tmp_path / "executed").exists()


def test_18_a_claim_of_terabytes_takes_no_memory(tmp_path):
    path = tmp_path / "cat.npy"
    path.write_bytes(npy_bytes(header("(1000000, 1000000)"), DATA))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError):
        read_npy(str(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_18_a_file_of_terabytes_that_is_a_hole_is_a_stack_like_any_other(tmp_path):
    path = tmp_path / "batch_maps.npy"
    start = npy_bytes(header("(10000000, 224, 224)"))
    with open(path, "wb") as file:
        file.write(start)
        file.truncate(len(start) + 10_000_000 * 224 * 224 * 4)
    [values] = NPY.read(str(path), "", [(9_999_999,)])
    assert values.shape == (224, 224)


def test_18_a_zip_bomb_takes_no_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "cat.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("map.npy", npy_bytes(header("(100000, 100000)"), bytes(1000)))
    with pytest.raises(InputError, match="truncated"):
        read_npz(str(tmp_path / "cat.npz"))
    # the same with a directory that lies about the size
    data = (tmp_path / "cat.npz").read_bytes()
    lie = 100_000 * 100_000 * 4 + len(npy_bytes(header("(100000, 100000)")))
    real = len(npy_bytes(header("(100000, 100000)"), bytes(1000)))
    assert data.count(struct.pack("<I", real)) == 2
    (tmp_path / "cat.npz").write_bytes(data.replace(struct.pack("<I", real), struct.pack("<I", lie % 2**32)))
    with pytest.raises(InputError):
        read_npz(str(tmp_path / "cat.npz"))


@pytest.mark.parametrize("cut", [0, 10, 100, -30])
def test_18_a_damaged_npz_is_refused_by_name(cut, tmp_path):
    path = tmp_path / "cat.npz"
    np.savez_compressed(path, map=np.random.default_rng(0).random((30, 30)))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"cat\.npz"):
        NPZ.look(str(path))


def test_18_a_flipped_bit_in_an_npz_is_noticed(tmp_path):
    path = tmp_path / "cat.npz"
    np.savez(path, map=np.random.default_rng(0).random((30, 30)))
    data = bytearray(path.read_bytes())
    data[3000] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="CRC"):
        read_npz(str(path))


@pytest.mark.parametrize(("format_", "suffix"), [(PICTURE, ".png"), (PICTURE, ".jpg"), (TIFF, ".tif")])
@pytest.mark.parametrize("fault", ["empty", "text", "truncated"])
def test_18_a_broken_picture_is_refused_by_name(format_, suffix, fault, tmp_path):
    path = tmp_path / f"cat{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, np.random.default_rng(0).random((60, 60)))
    else:
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60), np.uint8)).save(path)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"hello", "truncated": whole[: len(whole) // 2]}[fault])
    with pytest.raises(InputError, match=f"cat{suffix}"):
        next(format_.read(str(path), "", [()]))


def test_18_a_picture_that_claims_too_much_is_refused(tmp_path):
    Image.new("L", (8, 6)).save(tmp_path / "cat.png")
    data = bytearray((tmp_path / "cat.png").read_bytes())
    data[16:24] = struct.pack(">II", 100_000, 100_000)  # then the header's own checksum is wrong, too
    (tmp_path / "cat.png").write_bytes(data)
    with pytest.raises(InputError, match=r"cat\.png"):
        next(PICTURE.read(str(tmp_path / "cat.png"), "", [()]))


def test_18_the_file_may_shrink_between_header_and_data(tmp_path, monkeypatch):
    from salzarr.sources import npy

    path = tmp_path / "cat.npy"
    np.save(path, GOOD)
    real = npy.read_header

    def read_header_and_truncate(file, name):
        found = real(file, name)
        with open(path, "r+b") as other:
            other.truncate(150)
        return found

    monkeypatch.setattr(npy, "read_header", read_header_and_truncate)
    with pytest.raises(InputError, match="truncated while it was read"):
        read_npy(str(path))


@given(st.data())
def test_18_any_change_to_a_file_is_read_or_refused(tmp_path_factory, data):
    """Bytes changed, cut or added anywhere: an InputError, or an array of real numbers of the file's size."""
    path = tmp_path_factory.mktemp("fuzz") / "cat.npy"
    np.save(path, GOOD)
    content = bytearray(path.read_bytes())
    for at, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=4)
    ):
        content[at] = byte
    content = content[: data.draw(st.integers(0, len(content)))] + data.draw(st.binary(max_size=8))
    path.write_bytes(content)
    try:
        values = read_npy(str(path))
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017  (what is not refused is checked as well)
    else:
        assert values.dtype.kind in "buif"
        assert values.nbytes < len(content)


# Number 19.

TAKEN = [
    "<f2",
    "<f4",
    "<f8",
    ">f2",
    ">f4",
    ">f8",
    "|b1",
    "|u1",
    "|i1",
    "<u2",
    ">i2",
    "<i4",
    ">u4",
    "<i8",
    "<u8",
]
REFUSED = ["<c8", "<c16", "<M8[s]", "<m8[D]", "<U3", "|S4", "|V8"]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", TAKEN)
def test_19_real_numbers_of_every_kind_are_taken_as_they_are(dtype, order, tmp_path):
    values = (np.arange(48).reshape(6, 8) % 2).astype(dtype, order=order)
    np.save(tmp_path / "cat.npy", values)
    made, status = Recipe().apply(read_npy(str(tmp_path / "cat.npy")), "cat")
    assert made.dtype == np.float32
    assert status == Status.OK
    np.testing.assert_array_equal(made, values.astype(np.float32))


@pytest.mark.parametrize("dtype", REFUSED)
def test_19_other_values_are_refused(dtype, tmp_path):
    np.save(tmp_path / "cat.npy", np.zeros((6, 8), dtype))
    with pytest.raises(InputError, match="real numbers"):
        read_npy(str(tmp_path / "cat.npy"))


def test_19_records_are_refused(tmp_path):
    np.save(tmp_path / "cat.npy", np.zeros((6, 8), [("x", "f4"), ("y", "f4")]))
    with pytest.raises(InputError, match="real numbers"):
        read_npy(str(tmp_path / "cat.npy"))


@pytest.mark.parametrize("shape", [(6, 8), (1, 6, 8), (6, 8, 1), (1, 1, 6, 8), (1, 6, 8, 1)])
def test_19_axes_of_length_one_are_dropped(shape):
    made, _ = Recipe().apply(GOOD.reshape(shape), "cat")
    np.testing.assert_array_equal(made, GOOD)


@pytest.mark.parametrize("shape", [(), (8,), (0, 8), (6, 0), (2, 3, 6, 8)])
def test_19_what_is_no_map_is_refused(shape):
    with pytest.raises(ShapeError, match="cat"):
        Recipe(channel="mean").apply(np.zeros(shape), "cat")


def test_19_channels_need_a_rule():
    rgb = np.stack([GOOD, -2 * GOOD, 0 * GOOD + 1])
    for raw in (rgb, np.moveaxis(rgb, 0, -1)):
        with pytest.raises(ShapeError, match='channel="mean"'):
            Recipe().apply(raw, "cat")
        for rule, expected in {
            "mean": rgb.mean(0),
            "max": rgb.max(0),
            "abs-max": np.where(GOOD >= 1, -2 * GOOD, 1),
            0: GOOD,
            1: -2 * GOOD,
            -1: np.ones_like(GOOD),
        }.items():
            made, _ = Recipe.of(channel=rule).apply(raw, "cat")
            np.testing.assert_allclose(made, expected, rtol=1e-6)
    with pytest.raises(ShapeError, match="3 channels"):
        Recipe.of(channel="3").apply(rgb, "cat")
    with pytest.raises(ShapeError, match="cannot be told"):
        Recipe.of(channel="mean").apply(np.zeros((3, 8, 3)), "cat")


def test_channels_are_three_or_four_or_what_is_said():
    nine = np.random.default_rng(0).random((9, 56, 56))
    with pytest.raises(ShapeError, match="if these are 9 maps"):
        Recipe.of(channel="mean").apply(nine, "cams.npy")
    made, _ = Recipe.of(channel="mean").apply(nine, "row of a stack", row=True)
    np.testing.assert_allclose(made, nine.mean(0), rtol=1e-6)
    made, _ = Recipe.of(channel="mean", axes=("channel", "x", "y")).apply(nine, "cams.npy")
    np.testing.assert_allclose(made, nine.mean(0).T, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_an_opaque_alpha_channel_is_no_channel_of_the_map(dtype):
    full = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    gray = (np.random.default_rng(0).random((6, 8)) * full).astype(dtype)
    rgba = np.dstack([gray, gray, gray, np.full_like(gray, full)])
    for rule in ("mean", "max", "abs-max"):
        made, status = Recipe.of(channel=rule).apply(rgba, "cat")
        np.testing.assert_allclose(made, gray, rtol=1e-6)
        assert status == Status.ALPHA
    made, status = Recipe().apply(rgba[..., 2:], "cat")
    np.testing.assert_array_equal(made, gray)
    assert status == Status.ALPHA


def test_a_picture_that_is_transparent_in_part_is_refused():
    rgba = np.full((6, 8, 4), 200, np.uint8)
    for raw in (rgba, rgba[..., 2:]):
        with pytest.raises(InputError, match="transparent in part"):
            Recipe.of(channel="mean").apply(raw, "cat")
    made, _ = Recipe.of(channel=3).apply(rgba, "cat")  # alpha itself, where it is asked for
    np.testing.assert_array_equal(made, 200)


def test_four_channels_of_an_attribution_stay_four():
    values = np.random.default_rng(0).normal(size=(6, 8, 4))
    made, status = Recipe.of(channel="mean").apply(values, "cat")
    np.testing.assert_allclose(made, values.mean(2), rtol=1e-6)
    assert status == Status.OK


def test_channels_that_differ_as_colors_do_are_noted():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (6, 8, 3), np.uint8)
    gray = np.repeat(rgb[..., :1], 3, 2)
    mean = Recipe.of(channel="mean")
    assert mean.apply(rgb, "cat")[1] == Status.COLORS
    assert mean.apply(rgb / 255, "cat")[1] == Status.COLORS
    assert Recipe.of(channel=0).apply(rgb, "cat")[1] == Status.COLORS
    assert mean.apply(gray, "cat")[1] == Status.OK
    assert mean.apply(gray + rng.integers(0, 3, (6, 8, 3), np.uint8) // 2, "jpeg")[1] == Status.OK
    assert mean.apply(rng.normal(size=(6, 8, 3)), "gradients")[1] == Status.OK
    assert mean.apply(rng.random((3, 6, 8)), "gradients")[1] == Status.OK


def test_19_resizing_is_that_of_scikit_image_clamped_at_the_border():
    from skimage.transform import resize

    values = np.random.default_rng(0).random((40, 30), np.float32)
    for size, shrinks in (((20, 15), True), ((80, 60), False), ((60, 20), True)):
        made, status = Recipe.of(size).apply(values, "cat")
        assert status == Status.RESIZED
        np.testing.assert_array_equal(
            made,
            resize(values, size, order=1, mode="edge", anti_aliasing=shrinks, preserve_range=True),
        )
    made, status = Recipe.of("40x30").apply(values, "cat")
    assert status == Status.OK
    np.testing.assert_array_equal(made, values)


def bilinear(values, count):
    """Enlarge a square map as torch and OpenCV do: centers of pixels, clamped at the border."""
    centers = (np.arange(count) + 0.5) * len(values) / count - 0.5
    low = np.floor(centers).astype(int)
    part = (centers - low)[:, None]
    first, second = low.clip(0, len(values) - 1), (low + 1).clip(0, len(values) - 1)
    rows = values[first] * (1 - part) + values[second] * part
    return rows[:, first] * (1 - part.T) + rows[:, second] * part.T


def test_a_small_map_is_enlarged_as_torch_and_opencv_do():
    values = np.random.default_rng(0).random((7, 7))
    values[0, 0] = 1
    made, _ = Recipe.of("224x224", dtype="float64").apply(values, "cam")
    np.testing.assert_allclose(made, bilinear(values, 224), rtol=1e-6)
    assert made[0, 0] == 1


def test_patches_stay_sharp_when_resized_to_the_nearest():
    values = np.arange(16, dtype=np.uint8).reshape(4, 4)
    made, status = Recipe.of("8x12", resize="nearest").apply(values, "vit")
    assert status == Status.RESIZED
    np.testing.assert_array_equal(made, values.repeat(2, 0).repeat(3, 1))
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).random((7, 5), np.float32)
    for size in ((16, 9), (3, 4), (224, 224)):
        expected = torch.nn.functional.interpolate(
            torch.from_numpy(values)[None, None], size, mode="nearest-exact"
        )[0, 0].numpy()
        np.testing.assert_array_equal(Recipe.of(size, resize="nearest").apply(values, "vit")[0], expected)


# Number 20.


def facts_of(values):
    record = blank((1,))
    note(record[0], values, 0, Stamp(-1, -1), Status.OK)
    return {name: record[name][0] for name in record.dtype.names}


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=5),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True),
    )
)
def test_20_facts_of_any_values(values):
    found = facts_of(values)
    finite = values[np.isfinite(values)]
    assert bool(found["map_status"] & Status.NON_FINITE) == (finite.size < values.size)
    if finite.size:
        assert found["map_min"] == finite.min()
        assert found["map_max"] == finite.max()
        assert found["map_sum"] == pytest.approx(float(finite.astype(float).sum()), rel=1e-9, abs=1e-30)
    else:
        assert np.isnan([found["map_min"], found["map_max"], found["map_sum"]]).all()


def test_20_what_float32_cannot_hold_is_refused_and_float64_kept():
    values = np.full((6, 8), 1e300)
    with pytest.raises(InputError, match='dtype="float64"'):
        Recipe().apply(values, "cat")
    made, _ = Recipe.of(dtype="float64").apply(values, "cat")
    np.testing.assert_array_equal(made, values)
    made, _ = Recipe().apply(np.full((6, 8), np.inf), "cat")  # infinite already: nothing is lost
    assert np.isinf(made).all()


@pytest.mark.parametrize(
    "values",
    [np.full((6, 8), 1e-45, np.float32), np.eye(8, dtype=np.float32)[:6], np.zeros((6, 8), np.float32)],
)
def test_20_denormals_hot_pixels_and_zeros_stay(values):
    made, _ = Recipe().apply(values, "cat")
    assert made.tobytes() == values.tobytes()
