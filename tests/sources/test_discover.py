"""Models are found in any tree, number 21 of the faults among them."""

import logging
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from salzarr.errors import InputError, InputNotFoundError, UsageError
from salzarr.sources.reading import Findings, Reading
from salzarr.store.gathering import gather

MAP = np.ones((6, 8), np.float32)


def save(root, *paths):
    """Write a map at each path, or a stack where the name says so."""
    for number, path in enumerate(paths):
        full = root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        np.save(full, np.stack([MAP] * 3) if "batch_maps" in full.name else MAP * number)


def found(root, **options):
    """Return the ids of each model, and what was said."""
    notices = Notices()
    logger = logging.getLogger("salzarr")
    level = logger.level
    logger.addHandler(notices)
    logger.setLevel(logging.INFO)
    try:
        labelled = gather(root, Reading.of(**options), Findings())
    finally:
        logger.removeHandler(notices)
        logger.setLevel(level)
    return {item.model: item.ids for item in labelled}, notices.texts


class Notices(logging.Handler):
    """Collects what is logged."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def test_whatever_lies_between_a_model_and_its_maps(tmp_path):
    save(
        tmp_path,
        "VGG/outputs/Baseline_model/numpy_saliency_map/cat.npy",
        "VGG/outputs/Baseline_model/numpy_saliency_map/dog.npy",
    )
    save(tmp_path, "ResNet/cat.npy", "ResNet/dog.npy")
    assert found(tmp_path)[0] == {"ResNet": ("cat", "dog"), "VGG": ("cat", "dog")}


def test_class_folders_are_part_of_the_ids(tmp_path):
    save(tmp_path, "VGG/maps/n01/a.npy", "VGG/maps/n01/b.npy", "VGG/maps/n02/c.npy")
    assert found(tmp_path)[0] == {"VGG": ("n01/a", "n01/b", "n02/c")}


def test_folders_with_the_same_ids_are_entries_of_their_own(tmp_path):
    save(tmp_path, *(f"VGG/out/{kind}/maps/{image}.npy" for kind in ("Baseline", "Pruned") for image in "ab"))
    assert found(tmp_path)[0] == {"VGG/Baseline": ("a", "b"), "VGG/Pruned": ("a", "b")}


def test_a_single_class_folder_is_part_of_the_ids_where_others_have_several(tmp_path):
    save(tmp_path, "VGG/maps/cat/a.npy", "VGG/maps/cat/b.npy", "VGG/maps/dog/c.npy")
    save(tmp_path, "ResNet/maps/cat/a.npy", "DenseNet/out/maps/cat/a.npy", "DenseNet/out/maps/cat/b.npy")
    ids, notices = found(tmp_path)
    assert ids == {
        "DenseNet": ("cat/a", "cat/b"),
        "ResNet": ("cat/a",),
        "VGG": ("cat/a", "cat/b", "dog/c"),
    }
    assert any("ResNet: images are called cat/a" in text for text in notices)
    placed, _ = found(tmp_path, models={"one": "VGG", "other": "ResNet/maps/cat"})
    assert placed == {"one": ("cat/a", "cat/b", "dog/c"), "other": ("cat/a",)}


def test_names_that_nothing_takes_are_refused(tmp_path):
    save(tmp_path, "VGG/a.npy")
    with pytest.raises(InputError, match="leave out names="):
        found(tmp_path, names="nowhere.txt")


def test_class_folders_inside_entries(tmp_path):
    save(
        tmp_path,
        *(f"VGG/{kind}/maps/{image}.npy" for kind in ("Baseline", "Pruned") for image in ("n01/a", "n02/b")),
    )
    assert found(tmp_path)[0] == {"VGG/Baseline": ("n01/a", "n02/b"), "VGG/Pruned": ("n01/a", "n02/b")}


def test_entries_are_named_by_the_shortest_path_that_tells_them_apart(tmp_path):
    save(
        tmp_path, *(f"VGG/{a}/{b}/maps/x.npy" for a, b in (("r1", "base"), ("r1", "pruned"), ("r2", "base")))
    )
    assert list(found(tmp_path)[0]) == ["VGG/r1/base", "VGG/r1/pruned", "VGG/r2/base"]


def test_stacks_without_names_get_numbers(tmp_path):
    save(tmp_path, "VGG/x/batch_maps.npy", "ResNet/batch_maps.npy")
    assert found(tmp_path)[0] == dict.fromkeys(("ResNet", "VGG"), ("0000", "0001", "0002"))


def test_stacks_with_the_same_numbers_are_entries_of_their_own(tmp_path):
    save(tmp_path, "VGG/Baseline/batch_maps.npy", "VGG/Pruned/batch_maps.npy")
    assert list(found(tmp_path)[0]) == ["VGG/Baseline", "VGG/Pruned"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("batch_maps.txt", "cat.jpg\ndog.JPEG\nowl\n"),
        ("names.csv", "image,label\ncat.png,1\ndog.npy,2\nowl,3\n"),
        ("filenames.txt", "\ufeffcat\r\ndog\r\nowl\r\n"),
    ],
)
def test_a_names_file_beside_a_stack(file, text, tmp_path):
    save(tmp_path, "VGG/batch_maps.npy", "ResNet/owl.npy", "ResNet/cat.npy")
    (tmp_path / "VGG" / file).write_text(text, newline="")
    assert found(tmp_path)[0] == {"ResNet": ("cat", "owl"), "VGG": ("cat", "dog", "owl")}


def test_names_given_for_stacks(tmp_path):
    save(tmp_path, "VGG/batch_maps.npy", "ResNet/batch_maps.npy")
    (tmp_path / "given.txt").write_text("c\nb\na\n")
    assert found(tmp_path, names=tmp_path / "given.txt")[0] == dict.fromkeys(
        ("ResNet", "VGG"), ("c", "b", "a")
    )
    with pytest.raises(InputError, match="3 maps, but 2 names"):
        found(tmp_path, names=["a", "b"])
    with pytest.raises(InputNotFoundError, match="does not exist"):
        found(tmp_path, names="no.txt")


def test_the_wrong_number_of_names_is_refused(tmp_path):
    save(tmp_path, "VGG/batch_maps.npy")
    (tmp_path / "VGG/names.txt").write_text("cat\ndog\n")
    with pytest.raises(InputError, match="3 maps, but 2 names"):
        found(tmp_path)


def test_maps_without_names_are_never_joined_by_position(tmp_path):
    save(tmp_path, "VGG/batch_maps.npy", "ResNet/a.npy", "ResNet/b.npy", "ResNet/c.npy")
    with pytest.raises(InputError, match="have no names"):
        found(tmp_path)
    np.save(tmp_path / "VGG/batch_maps.npy", np.ones((4, 6, 8)))
    save(tmp_path, "Other/batch_maps.npy")
    with pytest.raises(InputError, match="have no names"):
        found(tmp_path, models=["VGG", "Other"])


def test_single_files_win_over_a_stack(tmp_path):
    save(tmp_path, "VGG/maps/batch_maps.npy", "VGG/maps/a.npy", "VGG/maps/b.npy", "VGG/maps/c.npy")
    ids, notices = found(tmp_path)
    assert ids == {"VGG": ("a", "b", "c")}
    assert "set aside" in notices[0]
    assert "beware" not in notices[0]


def test_what_has_more_maps_wins_with_a_warning(tmp_path, caplog):
    save(tmp_path, "VGG/batch_maps.npy", "VGG/single/a.npy")
    ids, notices = found(tmp_path)
    assert ids == {"VGG": ("0000", "0001", "0002")}
    assert "1 single files" in notices[0]
    assert "beware, there are 3 maps" in notices[0]
    assert caplog.records[0].levelname == "WARNING"
    save(tmp_path, *(f"VGG/single/{name}.npy" for name in "bcd"))
    ids, notices = found(tmp_path)
    assert ids == {"VGG": ("a", "b", "c", "d")}
    assert "beware, there are 3 maps" in notices[0]


def test_numbered_stacks_are_pieces_of_one(tmp_path):
    save(tmp_path, *(f"VGG/batch_maps_{n}.npy" for n in (2, 10, 1)))
    ids, notices = found(tmp_path)
    assert len(ids["VGG"]) == 9
    assert "batch_maps_1.npy, batch_maps_2.npy, batch_maps_10.npy" in notices[0]


def test_the_pieces_of_a_stack_take_one_names_file_or_one_each(tmp_path):
    save(tmp_path, *(f"{model}/batch_maps_{n}.npy" for model in "AB" for n in (9, 10)))
    (tmp_path / "A/batch_maps.txt").write_text("f\ne\nd\nc\nb\na\n")
    for number, names in ((9, "abc"), (10, "def")):
        (tmp_path / f"B/batch_maps_{number}.csv").write_text("image\n" + "\n".join(names))
    assert found(tmp_path)[0] == {"A": tuple("fedcba"), "B": tuple("abcdef")}
    (tmp_path / "B/batch_maps_10.csv").unlink()
    with pytest.raises(InputError, match=r"batch_maps_10\.npy has no names beside it, but another piece"):
        found(tmp_path)


def test_differently_named_stacks_are_entries_of_their_own(tmp_path):
    save(tmp_path, "VGG/batch_maps_gradcam.npy", "VGG/batch_maps_ig.npy")
    assert list(found(tmp_path)[0]) == ["VGG/batch_maps_gradcam", "VGG/batch_maps_ig"]


def test_three_channels_are_no_stack_unless_it_is_said(tmp_path):
    (tmp_path / "VGG").mkdir()
    np.save(tmp_path / "VGG/cat.npy", np.ones((3, 6, 8)))
    assert found(tmp_path)[0] == {"VGG": ("cat",)}
    assert found(tmp_path, stacked="c*.npy")[0] == {"VGG": ("0000", "0001", "0002")}


def test_glob_models_and_mapping_select(tmp_path):
    save(tmp_path, "VGG/base/a.npy", "VGG/pruned/a.npy", "ResNet/base/a.npy", "deep/er/b.npy")
    assert list(found(tmp_path, glob="*/base/*.npy")[0]) == ["ResNet", "VGG"]
    assert list(found(tmp_path, models=["VGG"])[0]) == ["VGG/base", "VGG/pruned"]
    assert list(found(tmp_path, models=["VGG/b*", "ResNet"])[0]) == ["VGG/base", "ResNet"]
    assert found(tmp_path, models={"mine": "deep/er", "base": "VGG/base"})[0] == {
        "mine": ("b",),
        "base": ("a",),
    }
    with pytest.raises(UsageError, match="no model 'ViT'"):
        found(tmp_path, models=["ViT"])
    with pytest.raises(InputNotFoundError, match="given for model x"):
        found(tmp_path, models={"x": "nowhere"})


def test_suffixes_and_renames_bring_ids_together(tmp_path):
    save(tmp_path, "A/cat_gradcam.npy", "B/cat_ig.npy", "C/katze.npy")
    (tmp_path / "table.csv").write_text("katze,cat\n")
    ids, _ = found(tmp_path, strip_suffix=["_gradcam", "_ig"], rename=tmp_path / "table.csv")
    assert ids == dict.fromkeys("ABC", ("cat",))
    assert found(tmp_path, rename={"katze": "cat"})[0]["C"] == ("cat",)
    assert found(tmp_path, rename=str.upper)[0]["C"] == ("KATZE",)


def test_two_maps_of_one_image_are_refused(tmp_path):
    save(tmp_path, "A/cat_gradcam.npy", "A/cat_ig.npy")
    with pytest.raises(InputError, match=r"several maps of image 'cat'.*cat_gradcam\.npy.*cat_ig\.npy"):
        found(tmp_path, strip_suffix=["_gradcam", "_ig"])


def test_formats_may_differ_between_models_and_are_chosen_within_one(tmp_path):
    from PIL import Image

    save(tmp_path, "A/cat.npy", "A/dog.npy")
    Image.fromarray(np.ones((6, 8), np.uint8)).save(tmp_path / "A/cat.png")
    np.savez(tmp_path / "B.npz", cat=MAP, dog=MAP)
    (tmp_path / "C").mkdir()
    Image.fromarray(np.ones((6, 8), np.uint8)).save(tmp_path / "C/cat.png")
    ids, notices = found(tmp_path)
    assert ids == {"B": ("cat", "dog"), "A": ("cat", "dog"), "C": ("cat",)}
    assert "A: 2 maps of .npy files are taken, 1 PNG or JPEG files are set aside" in notices


def test_hidden_files_and_folders_are_not_looked_at(tmp_path):
    hidden = ("A/._cat.npy", "A/.ipynb_checkpoints/cat-checkpoint.npy", "A/.maps/dog.npy", ".B/cat.npy")
    save(tmp_path, "A/cat.npy", ".stray.npy", *hidden)
    ids, [read] = found(tmp_path, models=["A"])
    assert ids == {"A": ("cat",)}
    assert read.startswith("read as 1 model")


def test_two_files_of_one_models_name_are_refused(tmp_path):
    np.savez(tmp_path / "A.npz", cat=MAP, dog=MAP)
    save(tmp_path, "A/cat.npy")
    with pytest.raises(InputError, match="two models are called 'A'"):
        found(tmp_path)
    assert found(tmp_path, glob="*.npz")[0] == {"A": ("cat", "dog")}


def test_a_tree_may_hold_a_file_or_a_store_per_model(tmp_path):
    import h5py
    import xarray as xr

    save(tmp_path, "A/cat.npy", "A/dog.npy")
    with h5py.File(tmp_path / "B.h5", "w") as file:
        file["cat"], file["dog"] = MAP, MAP
    array = xr.DataArray(
        np.ones((2, 6, 8)), dims=("image", "y", "x"), coords={"image": ["cat", "dog"]}, name="m"
    )
    array.to_netcdf(tmp_path / "C.nc")
    (tmp_path / "D").mkdir()
    array.to_dataset().to_zarr(tmp_path / "D/maps.zarr", zarr_format=2)
    np.savez(tmp_path / "all.npz", E=np.ones((2, 6, 8)), F=np.ones((2, 6, 8)), names=["cat", "dog"])
    assert found(tmp_path, models=[*"ABCD"])[0] == dict.fromkeys("ABCD", ("cat", "dog"))
    assert found(tmp_path / "all.npz")[0] == dict.fromkeys("EF", ("cat", "dog"))
    assert found(tmp_path / "D/maps.zarr")[0] == {"m": ("cat", "dog")}
    assert found(tmp_path, models={"x": "B.h5", "y": "D"})[0] == dict.fromkeys("xy", ("cat", "dog"))
    (tmp_path / "readme.txt").write_text("no map")
    np.savez(tmp_path / "one.npz", MAP)
    for file, words in (("readme.txt", "no format that is known"), ("one.npz", "holds a single map")):
        with pytest.raises(InputError, match=words):
            found(tmp_path, models={"x": file})


def test_nothing_to_find_is_said_with_a_remedy(tmp_path):
    with pytest.raises(InputNotFoundError, match="does not exist"):
        found(tmp_path / "no")
    with pytest.raises(InputNotFoundError, match="no folders with maps"):
        found(tmp_path)
    save(tmp_path, "a.npy")
    with pytest.raises(InputNotFoundError, match="folder above it"):
        found(tmp_path)


def test_21_a_link_in_a_circle_is_not_followed(tmp_path):
    save(tmp_path, "VGG/a.npy")
    os.symlink(tmp_path / "VGG", tmp_path / "VGG/again")
    os.symlink(tmp_path, tmp_path / "VGG/up")
    ids, notices = found(tmp_path)
    assert ids == {"VGG": ("a",)}
    assert sum("not followed" in notice for notice in notices) == 2


def test_21_a_link_that_leaves_the_root_is_followed_and_said(tmp_path):
    save(tmp_path, "elsewhere/a.npy", "Models/ResNet/a.npy")
    os.symlink(tmp_path / "elsewhere", tmp_path / "Models/VGG")
    ids, notices = found(tmp_path / "Models")
    assert ids == {"ResNet": ("a",), "VGG": ("a",)}
    assert "lead out" in notices[0]


def test_21_a_dangling_link_is_an_error_that_names_it(tmp_path):
    save(tmp_path, "VGG/a.npy")
    os.symlink(tmp_path / "gone.npy", tmp_path / "VGG/b.npy")
    [item] = gather(tmp_path, Reading(), Findings())
    with pytest.raises(InputError, match=r"b\.npy"):
        list(item.source.read())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
def test_21_an_unreadable_folder_is_an_error_that_names_it():
    code = """
import os, sys
from salzarr.sources.reading import Findings, Reading
from salzarr.store.gathering import gather
os.setuid(65534)
try:
    gather(sys.argv[1], Reading(), Findings())
except Exception as error:
    print(type(error).__name__, error)
"""
    with tempfile.TemporaryDirectory() as root:  # pytest's own folders are closed to others
        save(Path(root), "VGG/open/a.npy", "VGG/locked/b.npy")
        os.chmod(root, 0o755)
        os.chmod(f"{root}/VGG/locked", 0)
        done = subprocess.run([sys.executable, "-c", code, root], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("InputError")
    assert "locked cannot be listed" in done.stdout


def test_21_one_model_and_no_image_in_common(tmp_path):
    save(tmp_path, "A/a.npy", "B/b.npy")
    assert found(tmp_path, models=["A"])[0] == {"A": ("a",)}
    assert found(tmp_path)[0] == {"A": ("a",), "B": ("b",)}


# What laboratories' folders hold.


def lost(root, **options):
    """Return the ids of each model, and the models of which no map could be read."""
    findings = Findings()
    labelled = gather(root, Reading.of(**options), findings)
    return {item.model: item.ids for item in labelled}, findings.lost


def test_a_model_that_gave_no_map_is_named_with_what_lies_in_it(tmp_path):
    save(tmp_path, "VGG/a.npy", "ResNet/a.npy")
    for model, files in {"swin": ["0.pkl", "1.pkl", "notes.txt"], "gifs": ["a.gif"], "empty": []}.items():
        (tmp_path / model / "maps").mkdir(parents=True)
        for file in files:
            (tmp_path / model / "maps" / file).write_bytes(b"?")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/maps.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    ids, left_out = lost(tmp_path)
    assert ids == dict.fromkeys(("ResNet", "VGG"), ("a",))
    assert [text.split(" ")[0] for text in left_out] == ["bad", "empty", "gifs", "swin"]
    for text, words in zip(
        left_out,
        (r"maps\.mat cannot be read", "holds nothing", "a GIF has at most 256 colors", "2 .pkl files"),
        strict=True,
    ):
        assert re.search(words, text), text
    assert lost(tmp_path, models=["VGG", "ResNet"])[1] == []


def test_folders_below_a_model_that_hold_no_map_are_named(tmp_path):
    save(tmp_path, "VGG/gradcam/a.npy", "ResNet/gradcam/a.npy")
    (tmp_path / "VGG/ig").mkdir()
    (tmp_path / "VGG/ig/a.pkl").write_bytes(b"?")
    _, notices = found(tmp_path)
    assert any(text.endswith("VGG/ig holds no maps, but 1 .pkl file") for text in notices)


def test_folders_of_notes_and_scripts_are_no_models(tmp_path):
    save(tmp_path, "VGG/a.npy", "ResNet/a.npy")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/run.py").write_text("print()")
    assert lost(tmp_path)[1] == []
    assert any("scripts holds no maps, but 1 .py file" in text for text in found(tmp_path)[1])


def test_a_damaged_archive_beside_others_is_a_model_that_is_lost(tmp_path):
    np.savez(tmp_path / "VGG.npz", cat=MAP, dog=MAP)
    (tmp_path / "ResNet.npz").write_bytes(b"PK")
    ids, left_out = lost(tmp_path)
    assert ids == {"VGG": ("cat", "dog")}
    assert left_out[0].startswith("ResNet is left out")


def test_a_file_of_no_known_format_beside_those_of_models_is_named(tmp_path):
    for model in ("VGG", "ResNet"):
        np.savez(tmp_path / f"{model}.npz", cat=MAP, dog=MAP)
    (tmp_path / "swin.pkl").write_bytes(b"?")
    (tmp_path / "README").write_text("notes")
    assert "1 .pkl file beside the models' files, in no known format" in lost(tmp_path)[1][0]
    assert lost(tmp_path, models=["VGG"])[1] == []


def test_where_nothing_can_be_read_it_is_said_why(tmp_path):
    (tmp_path / "VGG").mkdir()
    (tmp_path / "VGG/cat.pkl").write_bytes(b"?")
    with pytest.raises(InputNotFoundError, match=r"no map could be read: .*VGG holds 1 \.pkl file"):
        found(tmp_path)


def test_logits_and_labels_beside_single_files_are_no_maps(tmp_path):
    save(tmp_path, *(f"VGG/{name}.npy" for name in "abcd"))
    np.save(tmp_path / "VGG/logits.npy", np.zeros((4, 10)))
    np.save(tmp_path / "VGG/labels.npy", np.zeros(4))
    ids, notices = found(tmp_path)
    assert ids == {"VGG": tuple("abcd")}
    assert any("logits.npy (4, 10) is set aside" in text for text in notices)
    assert any("labels.npy (4,) is set aside" in text for text in notices)


def test_one_map_of_another_size_stays_a_map(tmp_path):
    save(tmp_path, *(f"VGG/{name}.npy" for name in "abc"))
    np.save(tmp_path / "VGG/odd.npy", np.zeros((5, 8)))
    assert found(tmp_path)[0] == {"VGG": ("a", "b", "c", "odd")}


def test_a_few_arrays_do_not_outweigh_many_pictures(tmp_path):
    from PIL import Image

    save(tmp_path, "VGG/colorbar.npy")
    for number in range(9):
        Image.fromarray(np.ones((6, 8), np.uint8)).save(tmp_path / f"VGG/{number}.png")
    ids, notices = found(tmp_path)
    assert ids == {"VGG": tuple("012345678")}
    assert "VGG: 9 maps of PNG or JPEG files are taken, 1 .npy files are set aside" in notices


def test_an_archive_per_image_with_its_logits(tmp_path):
    (tmp_path / "VGG").mkdir()
    for name in "ab":
        np.savez(tmp_path / f"VGG/{name}.npz", cam=MAP, logits=np.zeros(10), label=3)
    [item] = gather(tmp_path, Reading(), Findings())
    assert item.ids == ("a", "b")
    np.testing.assert_array_equal(list(item.source.read()), [MAP, MAP])


def test_several_arrays_that_could_be_maps_are_refused_until_one_is_named(tmp_path):
    (tmp_path / "VGG").mkdir()
    arrays = {"cams": np.zeros((4, 6, 8)), "images": np.zeros((4, 3, 6, 8)), "label": np.zeros(4)}
    np.savez(tmp_path / "VGG/all.npz", **arrays)
    with pytest.raises(InputNotFoundError, match=r'cams \(4, 6, 8\), images .*array="cams"'):
        found(tmp_path)
    assert len(found(tmp_path, array="cams")[0]["VGG"]) == 4
    with pytest.raises((InputError, UsageError), match="no array 'nothing'; it holds cams"):
        found(tmp_path, array="nothing")


def test_folders_whose_names_repeat_draw_a_warning_with_both_readings(tmp_path):
    save(tmp_path, *(f"{m}/maps/{v}/{f}.npy" for m in "AB" for v in ("v1", "v2") for f in "xy"))
    ids, notices = found(tmp_path)
    assert list(ids) == ["A/v1", "A/v2", "B/v1", "B/v2"]
    [warning] = [text for text in notices if "hold the same names" in text]
    assert 'pattern="{model}/maps/{variant}/{image}.npy"' in warning
    assert 'pattern="{model}/maps/{image:path}.npy"' in warning
    assert found(tmp_path, pattern="{model}/maps/{image:path}.npy")[0]["A"] == (
        "v1/x",
        "v1/y",
        "v2/x",
        "v2/y",
    )


@pytest.mark.parametrize("archives", [False, True])
def test_a_folder_or_an_archive_per_image_draws_a_warning_with_both_readings(archives, tmp_path):
    if archives:
        for n in range(3):
            np.savez(tmp_path / f"img{n}.npz", vgg=MAP, vit=MAP)
        both = "{model}.npz/{image}", "{image}.npz/{model}"
    else:
        save(tmp_path, *(f"img{n}/{model}.npy" for n in range(3) for model in ("vgg", "vit")))
        both = "{model}/{image}.npy", "{image}/{model}.npy"
    _, notices = found(tmp_path)
    [warning] = [text for text in notices if "differ only in numbers" in text]
    assert f'pattern="{both[0]}"' in warning
    assert f'pattern="{both[1]}"' in warning
    assert list(found(tmp_path, pattern=both[1])[0]) == ["vgg", "vit"]


def test_how_it_was_read_is_said(tmp_path):
    save(tmp_path, "VGG/cat.npy", "VGG/dog.npy", "ResNet/cat.npy", "ResNet/dog.npy")
    _, notices = found(tmp_path)
    [text] = [text for text in notices if text.startswith("read as")]
    assert text.startswith(
        "read as 2 models (ResNet, VGG) of 2 images, such as cat and dog; the first map of"
    )


def test_a_models_own_folder_is_one_model_and_that_is_said(tmp_path):
    save(tmp_path, "VGG/maps/cat.npy")
    _, notices = found(tmp_path / "VGG")
    assert any("there is one model, maps, and a comparison takes two" in text for text in notices)


def test_names_with_the_suffix_of_an_image_meet_those_without(tmp_path):
    save(tmp_path, "A/cat.jpg.npy", "B/cat.npy", "C/a.jpg.npy", "C/a.png.npy")
    ids, _ = found(tmp_path)
    assert ids == {"A": ("cat",), "B": ("cat",), "C": ("a.jpg", "a.png")}


def test_new_names_and_endings_that_meet_no_image_are_named(tmp_path):
    save(tmp_path, "A/0001.npy", "B/cat.npy")
    (tmp_path / "new.csv").write_text("\ufeffold;new\r\n0001.jpg;cat.jpg\r\n0002.jpg;dog.jpg\r\n")
    ids, notices = found(tmp_path, rename=tmp_path / "new.csv", strip_suffix="_ig")
    assert ids == {"A": ("cat",), "B": ("cat",)}
    assert any("are those of no image: old, 0002.jpg" in text for text in notices)
    assert any("no image's name ends with '_ig'" in text for text in notices)


# Tables that people write.


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_names_in_tables_as_spreadsheets_save_them(delimiter, end, tmp_path):
    save(tmp_path, "A/batch_maps.npy")
    rows = [("label", "filename"), ("1", "x.jpg"), ("2", "y.jpg"), ("1", "z.jpg")]
    text = "\ufeff" + end.join(delimiter.join(row) for row in rows) + end
    (tmp_path / "A/names.csv").write_text(text, newline="")
    assert found(tmp_path)[0] == {"A": ("x", "y", "z")}
    (tmp_path / "A/names.csv").write_text(end.join(f"{n}{delimiter}1" for n in "xyz"), newline="")
    assert found(tmp_path)[0] == {"A": ("x", "y", "z")}


def test_a_list_of_names_is_one_column_whatever_letters_it_has(tmp_path):
    save(tmp_path, "A/batch_maps.npy")
    (tmp_path / "A/names.txt").write_text("tench, Tinca tinca\nshark\nray; electric\n")
    assert found(tmp_path)[0] == {"A": ("tench, Tinca tinca", "shark", "ray; electric")}


def test_a_table_with_a_row_of_another_length_is_refused(tmp_path):
    save(tmp_path, "A/batch_maps.npy")
    (tmp_path / "A/names.csv").write_text("image,label\nx,1\ny,1,2\nz,1\n")
    with pytest.raises(InputError, match=r"names\.csv: row 3 has 3 cells, the first has 2"):
        found(tmp_path)


# Number 22.

STRANGE = [
    "[red]",
    "$a_$",
    "</script><img onerror=alert(1)>".replace("/", "\u2215"),
    "=1+1",
    "+1",
    "-1",
    "@x",
    "a b",
    "ü" * 100,
    "😀",
    "%s",
]


def test_22_strange_names_are_kept(tmp_path):
    for name in STRANGE:
        save(tmp_path, f"{name}/{name}.npy")
    ids, _ = found(tmp_path)
    assert sorted(ids) == sorted(STRANGE)
    assert all(ids[name] == (name,) for name in STRANGE)


def test_22_names_that_are_no_text_are_escaped_and_read(tmp_path):
    folder = os.fsencode(tmp_path / "VGG")
    os.mkdir(folder)
    for name in (b"caf\xe9.npy", b"two\nlines.npy"):
        with open(os.path.join(folder, name), "wb") as file:
            np.save(file, MAP)
    [item] = gather(tmp_path, Reading(), Findings())
    assert item.ids == (r"caf\xe9", r"two\nlines")
    assert len(list(item.source.read())) == 2


def test_22_two_normal_forms_of_one_name_meet_between_models_and_clash_within_one(tmp_path):
    save(tmp_path, "A/caf\u00e9.npy", "B/cafe\u0301.npy")
    assert found(tmp_path)[0] == {"A": ("caf\u00e9",), "B": ("caf\u00e9",)}
    assert found(tmp_path, rename={"cafe\u0301": "tea"})[0] == {"A": ("tea",), "B": ("tea",)}
    assert found(tmp_path, models=["A"], rename={"caf\u00e9": "tea"})[0] == {"A": ("tea",)}
    save(tmp_path, "A/cafe\u0301.npy")
    with pytest.raises(InputError, match="several maps of image"):
        found(tmp_path)


def test_22_models_in_two_normal_forms_are_refused():
    with pytest.raises(InputError, match="two models are called"):
        gather({"caf\u00e9": np.ones((2, 6, 8)), "cafe\u0301": np.ones((2, 6, 8))}, Reading(), Findings())


def test_22_models_may_be_chosen_in_either_normal_form(tmp_path):
    save(tmp_path, "cafe\u0301/a.npy", "zu\u0308g/a.npy")
    assert list(found(tmp_path, models=["caf\u00e9", "zu\u0308*"])[0]) == ["caf\u00e9", "z\u00fcg"]


def test_22_empty_names_are_refused(tmp_path):
    with pytest.raises(InputError, match="empty name"):
        gather({"": np.ones((2, 6, 8))}, Reading(), Findings())
    save(tmp_path, "VGG/batch_maps.npy")
    (tmp_path / "VGG/names.csv").write_text("image\ncat\n,\ndog\n")
    with pytest.raises(InputError, match="without a name"):
        found(tmp_path)


def test_22_paths_and_lengths_are_only_names(tmp_path):
    names = ["../../etc/passwd", "..", "x" * 300]
    [item] = gather({"VGG": np.ones((3, 6, 8))}, Reading.of(names=names), Findings())
    assert item.ids == tuple(names)
