import numpy as np
import pytest

from salzarr.errors import UsageError
from salzarr.sources.expression import matches, typed

LABELS = {
    "class": typed(["cat", "dog", "cat", "", "owl"]),
    "correct_vgg": typed(["1", "0", "true", "FALSE", "1"]),
    "correct vit": typed([1, 0, 0, 1, 1]),
    "size": typed(["3", "", "10.5", "1e3", "-2"]),
}


def chosen(expression):
    return np.flatnonzero(matches(expression, LABELS)).tolist()


def test_columns_are_read_as_what_they_hold():
    assert [LABELS[name].dtype.kind for name in LABELS] == ["O", "b", "b", "f"]
    assert typed(["0", "1", "2"]).dtype == np.float64
    assert typed(["", ""]).tolist() == ["", ""]
    assert typed(["1", ""]).tolist()[0] == 1.0
    assert typed(np.array([True, False])).dtype == bool


@pytest.mark.parametrize(
    ("expression", "images"),
    [
        ("correct_vgg", [0, 2, 4]),
        ("correct_vgg and `correct vit`", [0, 4]),
        ("correct_vgg & ~`correct vit`", [2]),
        ("not correct_vgg or size > 3", [2, 3]),  # the size of image 1 is not known
        ("class == 'cat'", [0, 2]),
        ("`class` != 'cat'", [1, 4]),  # the image without a class is not among them
        ("not class == 'cat'", [1, 4]),
        ("class in ['cat', \"owl\"] and size <= 3", [0, 4]),
        ("class not in ('cat',)", [1, 4]),
        ("-3 < size < 5", [0, 4]),
        ("correct_vgg == 0", [1, 3]),
        ("correct_vgg == `correct vit`", [0, 1, 4]),
        ("class == 'class'", []),
    ],
)
def test_images_are_chosen(expression, images):
    assert chosen(expression) == images


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("@pd.io.common.os.getcwd()", "no expression"),
        ("size.__class__", "leave it out"),
        ("__import__('os').getcwd()", "leave it out"),
        ("[x for x in size]", "leave it out"),
        ("(lambda: 1)()", "leave it out"),
        ("size[0]", "leave it out"),
        ("f'{size}' == 'a'", "leave it out"),
        ("size + 1 > 3", "leave it out"),
        ("size if correct_vgg else 1", "leave it out"),
        ("(a := size)", "leave it out"),
        ("", "no expression"),
        ("class ==", "no expression"),
        ("size; size", "no expression"),
        ("size", "not true or false"),
        ("1", "not true or false"),
        ("'cat'", "not true or false"),
        ("size and correct_vgg", "compare it with a value"),
        ("correct_vit", "the labels have the columns class, correct_vgg, correct vit, size"),
        ("class == cat", "put text between quotes"),
        ("class == 1", "text with numbers"),
        ("size == '3'", "text with numbers"),
        ("class in 'cat'", "takes a column and a list"),
        ("size is 3", "write =="),
        ("size == [1, 2]", "text with numbers"),
        ("((((((" * 200, "no expression"),
    ],
)
def test_everything_else_is_refused_in_a_sentence(expression, why):
    with pytest.raises(UsageError, match=why):
        chosen(expression)
