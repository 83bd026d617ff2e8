import numpy as np
import pandas as pd
import pytest

from salzarr.errors import InputError, InputNotFoundError
from salzarr.sources.image_labels import join_labels


def table(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_is_read_as_spreadsheets_write_it(tmp_path, delimiter, end, encoding):
    rows = [["class", "image", "right"], ["käfer", "b.JPG", "TRUE"], ["", "a", "false"], []]
    path = table(tmp_path, end.join(map(delimiter.join, rows)) + end, encoding)
    found = join_labels(path, ["a", "b"])
    assert found["class"].tolist() == ["", "käfer"]
    assert found["right"].tolist() == [False, True]


def test_names_meet_with_or_without_an_ending():
    labels = {"image": ["img0.jpg", "img1", "img2.png"], "n": [5, 6, 7]}
    assert join_labels(labels, ["img0", "img1.png", "img2.png"])["n"].tolist() == [5, 6, 7]
    assert join_labels({"image": ["cafe\u0301.png"], "n": [5]}, ["café"])["n"].tolist() == [5]
    both = {"image": ["a.jpg", "a.png"], "n": [1, 2]}
    assert join_labels(both, ["a.png", "a.jpg"])["n"].tolist() == [2, 1]
    with pytest.raises(InputError, match="several images called 'a'"):
        join_labels(both, ["a"])


def test_data_frames_are_tables():
    frame = pd.DataFrame({"image": ["a", "b"], "kind": ["x", None]})
    assert join_labels(frame, ["b", "a"])["kind"].tolist() == ["", "x"]


def test_images_without_labels_are_told(caplog):
    found = join_labels({"image": ["a", "z"], "n": ["1.5", "2"], "t": ["x", "y"]}, ["a", "b"])
    assert found["t"].tolist() == ["x", ""]
    assert found["n"][0] == 1.5
    assert np.isnan(found["n"][1])
    assert "1 of 2 images have no labels, such as b" in caplog.text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name,class\na,cat\n", "no column image, but name, class"),
        ("image,class\nx,cat\n", "named like 'a', and in the table like 'x'"),
        ("image,class\na,cat\na,dog\n", "'a' is in the table of labels twice"),
        ("image,class\na\n", "row 2 has 1 cells"),
        ("image,class,class\na,1,2\n", "two columns of one name"),
        ("image,model\na,1\n", "cannot be called 'model'"),
        ("image,a/b\na,1\n", "cannot be called 'a/b'"),
        ("", "empty table"),
    ],
)
def test_what_is_no_table_of_labels_is_refused(tmp_path, text, why):
    with pytest.raises(InputError, match=why):
        join_labels(table(tmp_path, text), ["a"])


def test_no_table(tmp_path):
    with pytest.raises(InputNotFoundError, match="does not exist"):
        join_labels(tmp_path / "none.csv", ["a"])
    with pytest.raises(InputError, match="cannot be read"):
        join_labels(table(tmp_path, "image,class\ncafé,1\n", "latin-1"), ["a"])
