"""Images chosen by what is known of them: ``correct_vgg and label == "cat"``.

The language is Python's for comparisons and nothing else. An expression is read into a tree, each node of
which is on a list of a few; nothing of it is handed to Python to run.
"""

from __future__ import annotations

import ast
import keyword
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzarr.errors import UsageError, listed

Columns = Mapping[str, NDArray[Any]]

_WORDS = {"true": True, "1": True, "false": False, "0": False}
_SYNTAX = {"and", "or", "not", "in", "is", "True", "False", "None"}
_TOKEN = re.compile(r"""`[^`]*`|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\W\d]\w*""")
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def typed(cells: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    """Read a column of text as what it holds.

    Returns
    -------
    (cell,) bool, float64 or str
        bool if all cells are 0, 1, true or false; float64, with NaN for empty cells, if all others are
        numbers; else text.

    Examples
    --------
    >>> typed(["0", "1", "TRUE"]).tolist(), typed(["1", "", "3"]).tolist(), typed(["1", "x"]).tolist()
    ([False, True, True], [1.0, nan, 3.0], ['1', 'x'])
    """
    array = cells if isinstance(cells, np.ndarray) else np.array([*cells], object)
    if array.dtype.kind == "b":
        return array
    if array.dtype.kind in "iuf":
        found = array.astype(np.float64)
        return found.astype(bool) if len(found) and np.isin(found, (0, 1)).all() else found
    text = ["" if cell is None or cell != cell else str(cell).strip() for cell in array.tolist()]
    words = [_WORDS.get(cell.lower()) for cell in text]
    if text and None not in words:
        return np.array(words, bool)
    try:
        numbers = np.array([float(cell) if cell else np.nan for cell in text])
    except ValueError:
        return np.array(text, object)
    return numbers if np.isfinite(numbers).any() else np.array(text, object)


def matches(expression: str, columns: Columns) -> NDArray[np.bool_]:
    """Say which images an expression over their labels is true of.

    Parameters
    ----------
    expression : str
        Columns, numbers, text, ``== != < <= > >= in and or not`` and brackets. A column whose name is no
        word of Python is written between backticks.
    columns : mapping of str to (image,) array
        As :func:`typed` reads them.

    Returns
    -------
    (image,) bool
        False where a column that the expression asks for has no value.

    Raises
    ------
    UsageError
        If it is no such expression, asks for a column that is missing, or is neither true nor false of an
        image.

    Examples
    --------
    >>> known = {"right": np.array([True, True, False]), "class": np.array(["cat", "dog", "cat"], object)}
    >>> matches("right and class == 'cat'", known).tolist()
    [True, False, False]
    """
    names: dict[str, str] = {}

    def named(token: re.Match[str]) -> str:
        word = token.group()
        quoted = word.startswith("`")
        column = word[1:-1] if quoted else word
        if quoted or (column in columns and keyword.iskeyword(column) and column not in _SYNTAX):
            names[f"column_{len(names)}_"] = column
            return list(names)[-1]
        return word

    try:
        tree = ast.parse(_TOKEN.sub(named, expression).strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UsageError(
            f"{expression!r} is no expression over labels; write one such as: correct and label == 'cat'"
        ) from None
    reader = _Reader(expression, columns, names)
    found = reader.read(tree.body)
    if not (isinstance(found, np.ndarray) and found.dtype.kind == "b"):
        raise UsageError(
            f"{expression!r} is not true or false of an image; compare a column with a value, such as: "
            "label == 'cat'"
        )
    for column in reader.asked:
        values = columns[column]
        if values.dtype.kind == "f":
            found = found & ~np.isnan(values)
        elif values.dtype.kind != "b":
            found = found & (values != "")
    return np.asarray(found, bool)


class _Reader:
    """One expression over columns: each kind of node that it may have is a branch of :meth:`read`."""

    def __init__(
        self, expression: str, columns: Mapping[str, NDArray[Any]], names: Mapping[str, str]
    ) -> None:
        self.expression, self.columns, self.names = expression, columns, names
        self.asked: set[str] = set()

    def read(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | str()):
                return node.value
            case ast.Name():
                return self._column(self.names.get(node.id, node.id))
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return -number
            case ast.UnaryOp(op=ast.Not() | ast.Invert()):
                return ~self._truth(node.operand)
            case ast.BoolOp():
                join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
                return join.reduce([self._truth(part) for part in node.values])
            case ast.BinOp(op=ast.BitAnd()):
                return self._truth(node.left) & self._truth(node.right)
            case ast.BinOp(op=ast.BitOr()):
                return self._truth(node.left) | self._truth(node.right)
            case ast.List() | ast.Tuple():
                return [self.read(part) for part in node.elts]
            case ast.Compare():
                return self._compare(node)
        raise UsageError(
            f"{self.expression!r} asks for {ast.unparse(node)}, and only columns, values, comparisons, "
            "and, or, not are read; leave it out"
        )

    def _column(self, name: str) -> NDArray[Any]:
        if name not in self.columns:
            raise UsageError(
                f"{self.expression!r} asks for {name!r}, and the labels have the columns "
                f"{listed([*self.columns])}; put text between quotes"
            )
        self.asked.add(name)
        return self.columns[name]

    def _truth(self, node: ast.expr) -> NDArray[np.bool_]:
        found = self.read(node)
        if not (isinstance(found, np.ndarray) and found.dtype.kind == "b"):
            raise UsageError(
                f"{ast.unparse(node)!r} in {self.expression!r} is not true or false of an image; compare "
                "it with a value"
            )
        return found

    def _compare(self, node: ast.Compare) -> NDArray[np.bool_]:
        sides = [self.read(side) for side in (node.left, *node.comparators)]
        parts = []
        for left, how, right in zip(sides, node.ops, sides[1:], strict=False):
            if isinstance(how, ast.In | ast.NotIn):
                if not (isinstance(right, list) and isinstance(left, np.ndarray)):
                    raise UsageError(
                        f"{self.expression!r}: 'in' takes a column and a list, such as ['cat', 'dog']"
                    )
                among = np.logical_or.reduce([self._apply(operator.eq, left, one) for one in right or [None]])
                parts.append(among if isinstance(how, ast.In) else ~among)
            elif type(how) in _COMPARE:
                parts.append(self._apply(_COMPARE[type(how)], left, right))
            else:
                raise UsageError(f"{self.expression!r}: write == in place of is")
        every: NDArray[np.bool_] = np.logical_and.reduce(parts)
        return every

    def _apply(self, compare: Callable[[Any, Any], Any], left: Any, right: Any) -> NDArray[np.bool_]:
        texts = {_is_text(side) for side in (left, right)}
        if len(texts) > 1 or isinstance(left, list) or isinstance(right, list):
            raise UsageError(
                f"{self.expression!r} compares text with numbers; put text, and only text, between quotes"
            )
        return np.asarray(compare(left, right), bool)


def _is_text(side: Any) -> bool:
    return isinstance(side, str) or (isinstance(side, np.ndarray) and side.dtype.kind not in "bif")
