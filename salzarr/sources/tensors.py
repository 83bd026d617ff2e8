"""PyTorch's ``.pt`` and ``.pth`` (tensors and dicts of them, never pickles), and ``.safetensors``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from salzarr.errors import InputError
from salzarr.sources.memory import to_numpy
from salzarr.sources.source import Array, Contents, Format, Index, Stamp, file_stamp, numbered, take

OLDEST_TORCH = (2, 6)
"""Before it, ``weights_only`` could be made to execute code (CVE-2025-32434)."""


def look_torch(path: str) -> Contents:
    """Return the tensors of a file, and its lists of text."""
    shapes, texts, refused = {}, {}, {}
    for name, value in _loaded(path, file_stamp(path)).items():
        if isinstance(value, list):
            texts[name] = tuple(value)
        elif value.is_complex() or value.is_quantized or value.is_sparse:
            refused[name] = f"{value.dtype} values"
        else:
            shapes[name] = tuple(value.shape)
    return Contents(shapes, texts=texts, refused=refused)


def read_torch(path: str, array: str, indices: Sequence[Index]) -> Iterator[Array]:
    """Read what lies at each index of a tensor."""
    tensor = _loaded(path, file_stamp(path))[array]
    for index in indices:
        yield np.array(to_numpy(take(tensor, index)))


@lru_cache(maxsize=1)  # a file is loaded as a whole: the next maps of a stack come from the same one
def _loaded(path: str, _: Stamp) -> dict[str, Any]:
    """Load the tensors and the lists of text of a file, by name."""
    try:
        import torch
    except ImportError:
        raise InputError(
            f"{path} needs PyTorch; install it with 'pip install salzarr[torch]', or save the maps with "
            "numpy.save"
        ) from None
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_TORCH:
        raise InputError(
            f"{path} needs torch 2.6 or newer, not {torch.__version__}; older ones could execute code"
        )
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # UnpicklingError, RuntimeError, EOFError, ...
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} cannot be read as tensors: {why}; save a tensor, or a dict of tensors, with torch.save"
        ) from None
    return dict(_tensors(found, ""))


def _tensors(found: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield what is in a file: tensors, and lists of text."""
    if hasattr(found, "detach"):
        yield prefix.rstrip("/"), found
    elif isinstance(found, dict):
        for name, value in found.items():
            yield from _tensors(value, f"{prefix}{name}/")
    elif isinstance(found, list | tuple) and found and all(isinstance(item, str) for item in found):
        yield prefix.rstrip("/"), list(found)
    elif isinstance(found, list | tuple):
        for name, value in zip(numbered(len(found)), found, strict=True):
            yield from _tensors(value, f"{prefix}{name}/")


def _open_safetensors(path: str, framework: str = "numpy") -> Any:
    try:
        from safetensors import safe_open
    except ImportError:
        raise InputError(
            f"{path} needs safetensors; install it with 'pip install salzarr[safetensors]'"
        ) from None
    try:
        return safe_open(path, framework=framework)
    except Exception as error:
        raise InputError(f"{path} cannot be read as safetensors: {error}; write it again") from None


def look_safetensors(path: str) -> Contents:
    """Return the tensors of a file."""
    with _open_safetensors(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
        complex_ = {name for name, part in slices.items() if part.get_dtype().startswith("C")}
    refused = dict.fromkeys(complex_, "complex values")
    return Contents({name: shape for name, shape in shapes.items() if name not in complex_}, refused=refused)


def read_safetensors(path: str, array: str, indices: Sequence[Index]) -> Iterator[Array]:
    """Read what lies at each index of a tensor."""
    with _open_safetensors(path) as file:
        part = file.get_slice(array)
        if part.get_dtype() in ("BF16", "F8_E4M3", "F8_E5M2"):  # NumPy has no such types
            with _open_safetensors(path, "pt") as tensors:
                values = to_numpy(tensors.get_tensor(array).float())
                yield from (take(values, index) for index in indices)
            return
        for index in indices:
            first = index[0] if index else None
            values = np.asarray(part[:] if first is None else part[first : first + 1][0])
            rest = index if first is None else index[1:]
            yield take(values, rest)


TORCH = Format("PyTorch", (".pt", ".pth"), look_torch, read_torch)
SAFETENSORS = Format("safetensors", (".safetensors",), look_safetensors, read_safetensors)
