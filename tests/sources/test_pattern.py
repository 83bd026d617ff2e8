"""Models, factors and images are read from paths by a pattern; what is not one reading is refused."""

import numpy as np
import pytest

import salzarr
from salzarr.errors import InputError, InputNotFoundError, UsageError
from salzarr.sources.pattern import Pattern
from salzarr.sources.reading import Findings, Reading
from salzarr.store.gathering import gather

RNG = np.random.default_rng(0)


def save(root, *paths, shape=(6, 8)):
    """Write a map at each path, and return them."""
    maps = {}
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        maps[path] = RNG.random(shape, np.float32)
        np.save(root / path, maps[path])
    return maps


def read(root, pattern, **options):
    """Return the images and the factors of each model, and what was said."""
    findings = Findings()
    items = gather(root, Reading.of(pattern=pattern, **options), findings)
    return (
        {item.model: item.ids for item in items},
        {i.model: dict(i.factors) for i in items},
        [said for said in findings.said if "fit the pattern" in said],
    )


def test_placeholders_take_parts_of_a_path_and_pieces_of_them(tmp_path):
    save(tmp_path, *(f"vgg/gradcam/seed{n}/{image}.npy" for n in (1, 2) for image in ("cat", "dog")))
    ids, factors, _ = read(tmp_path, "{architecture}/{method}/seed{seed}/{image}.npy")
    assert ids == dict.fromkeys(("vgg/gradcam/1", "vgg/gradcam/2"), ("cat", "dog"))
    assert factors["vgg/gradcam/2"] == {"architecture": "vgg", "method": "gradcam", "seed": "2"}


def test_the_model_comes_first_and_is_only_a_name(tmp_path):
    save(tmp_path, "gradcam/vgg/cat.npy", "ig/vgg/cat.npy")
    _, factors, _ = read(tmp_path, "{method}/{model}/{image}.npy")
    assert factors == {"vgg/gradcam": {"method": "gradcam"}, "vgg/ig": {"method": "ig"}}


def test_frames_of_videos_are_images_of_two_models(tmp_path):
    save(tmp_path, *(f"{m}/{v}/{f:04d}.npy" for m in ("A", "B") for v in ("v1", "v2") for f in (1, 2)))
    ids, _, _ = read(tmp_path, "{model}/{image:path}.npy")
    assert ids == dict.fromkeys("AB", ("v1/0001", "v1/0002", "v2/0001", "v2/0002"))


def test_images_may_come_first_and_names_may_share_a_folder(tmp_path):
    names = [(image, model) for image in ("img0", "img1") for model in ("resnet50", "vit")]
    save(tmp_path / "first", *(f"{image}/{model}.npy" for image, model in names))
    save(tmp_path / "flat", *(f"{image}_{model}_gradcam.npy" for image, model in names))
    expected = dict.fromkeys(("resnet50", "vit"), ("img0", "img1"))
    assert read(tmp_path / "first", "{image}/{model}.npy")[0] == expected
    assert read(tmp_path / "flat", "{image}_{model}_gradcam.npy")[0] == expected


def test_without_an_image_a_file_is_a_stack(tmp_path):
    save(tmp_path, "vgg/cams.npy", "vit/cams.npy", shape=(3, 6, 8))
    (tmp_path / "vgg/names.txt").write_text("a\nb\nc\n")
    (tmp_path / "vit/cams.csv").write_text("image;label\nb.jpg;1\nc.jpg;1\na.jpg;0\n")
    assert read(tmp_path, "{model}/cams.npy")[0] == {"vgg": ("a", "b", "c"), "vit": ("b", "c", "a")}


def test_a_file_of_several_arrays_counts_as_a_folder_of_them(tmp_path):
    for image in ("img0", "img1"):
        np.savez(tmp_path / f"{image}.npz", vgg=RNG.random((6, 8)), vit=RNG.random((6, 8)))
    assert read(tmp_path, "{image}.npz/{model}")[0] == dict.fromkeys(("vgg", "vit"), ("img0", "img1"))


def test_axes_that_are_no_images_are_factors(tmp_path):
    values = RNG.random((5, 2, 3, 6, 8))
    np.savez(
        tmp_path / "resnet.npz", attributions=values, method=np.array(["ig", "gradcam"]), labels=np.arange(5)
    )
    options = {"array": "attributions", "axes": "image,method,channel,y,x"}
    ids, factors, _ = read(tmp_path, "{architecture}.npz", **options)
    assert list(ids) == ["resnet/ig", "resnet/gradcam"]
    assert factors["resnet/gradcam"] == {"architecture": "resnet", "method": "gradcam"}
    salzarr.convert(tmp_path, tmp_path / "maps.zarr", pattern="{architecture}.npz", channel="mean", **options)
    maps = salzarr.open_maps(tmp_path / "maps.zarr")
    np.testing.assert_allclose(maps.sel(model="resnet/gradcam"), values[:, 1].mean(1), rtol=1e-6)
    assert maps.architecture.values.tolist() == ["resnet", "resnet"]
    assert maps.method.values.tolist() == ["ig", "gradcam"]


def test_a_path_that_divides_in_two_ways_is_refused_with_both(tmp_path):
    save(tmp_path, "cat_a_vgg.npy", "cat_a_vit.npy")
    with pytest.raises(InputError, match="image cat, model a_vgg or as image cat_a, model vgg"):
        read(tmp_path, "{image}_{model}.npy")
    assert read(tmp_path, "{image}_{model}.npy", models=["vgg", "vit"])[0] == dict.fromkeys(
        ("vgg", "vit"), ("cat_a",)
    )


def test_two_files_with_one_model_and_image_are_refused(tmp_path):
    save(tmp_path, "vgg/run1/cat.npy", "vgg/run2/cat.npy")
    with pytest.raises(InputError, match=r"of vgg of image 'cat': .*run1/cat\.npy and .*run2/cat\.npy"):
        read(tmp_path, "{model}/*/{image}.npy")
    assert list(read(tmp_path, "{model}/{run}/{image}.npy")[0]) == ["vgg/run1", "vgg/run2"]


def test_files_that_do_not_fit_are_counted(tmp_path):
    save(tmp_path, "vgg/cat.npy", "vit/cat.npy", "mean.npy")
    _, _, notices = read(tmp_path, "{model}/{image}.npy")
    assert notices == ["1 files do not fit the pattern and are set aside, such as mean.npy"]
    with pytest.raises(InputNotFoundError, match=r"no file in .* fits the pattern .*; there are mean\.npy"):
        read(tmp_path, "{model}/deep/{image}.npy")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("{image}.npy", "names no model"),
        ("{model}{image}.npy", "where it begins cannot be told"),
        ("{model}/{ima ge}.npy", "no placeholder"),
        ("{model}/{image:int}.npy", "no placeholder"),
        ("{model/image.npy", "not closed"),
        ("{maps}/{image}.npy", "something else of that name"),
    ],
)
def test_what_is_no_pattern_is_refused(pattern, words, tmp_path):
    save(tmp_path / "tree", "vgg/cat.npy", "vit/cat.npy")
    with pytest.raises(UsageError, match=words):
        salzarr.convert(tmp_path / "tree", tmp_path / "maps.zarr", pattern=pattern)


def test_wildcards_and_equal_placeholders():
    assert Pattern.of("{model}/**/{image}.npy").divisions("a/b/c/d.npy") == [{"model": "a", "image": "d"}]
    assert Pattern.of("{model}/**/{image}.npy").divisions("a/d.npy") == [{"model": "a", "image": "d"}]
    twice = Pattern.of("{model}/{model}_{image}.npy")
    assert twice.divisions("a_b/a_b_c.npy") == [{"model": "a_b", "image": "c"}]


def test_factors_survive_growth_and_another_conversion(tmp_path):
    save(tmp_path / "one", "vgg/seed1/cat.npy", "vgg/seed2/cat.npy")
    save(tmp_path / "two", "vit/cat.npy")
    salzarr.convert(tmp_path / "one", tmp_path / "maps.zarr", pattern="{architecture}/seed{seed}/{image}.npy")
    salzarr.convert(tmp_path / "two", tmp_path / "maps.zarr", append=True)
    salzarr.convert(tmp_path / "maps.zarr", tmp_path / "copy.zarr")
    for store in ("maps.zarr", "copy.zarr"):
        maps = salzarr.open_maps(tmp_path / store)
        assert maps.model.values.tolist() == ["vgg/1", "vgg/2", "vit"]
        assert maps.architecture.values.tolist() == ["vgg", "vgg", ""]
        assert maps.seed.values.tolist() == ["1", "2", ""]
    assert salzarr.verify(tmp_path / "maps.zarr") == []
    salzarr.convert(tmp_path / "two", tmp_path / "maps.zarr", overwrite=True)
    assert "seed" not in salzarr.open_maps(tmp_path / "maps.zarr").coords
