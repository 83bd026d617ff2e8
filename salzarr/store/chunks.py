"""Read and write single chunks of maps: bitshuffled and compressed by Blosc, with a crc32c behind.

The bytes are those that zarr-python writes with :func:`codecs`; a test holds the two together. Doing it here
avoids Zarr's single event loop, decompresses in place, and tells a missing chunk from a damaged one, where
Zarr returns NaN for the one and another error per codec for the other.
"""

from __future__ import annotations

import os
import threading
import uuid
from dataclasses import dataclass
from typing import Any, Literal

import google_crc32c
import numpy as np
import zarr
from numcodecs import blosc  # type: ignore[import-untyped]
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.metadata.v3 import ArrayV3Metadata
from zarr.core.sync import sync

from salzarr import schema
from salzarr.location import local_path
from salzarr.store.power import sync_files

Array = NDArray[Any]


CNAME: Literal["lz4"] = "lz4"
LEVEL = 5
CRC_BYTES = 4


class BadChunkError(Exception):
    """A chunk is missing or damaged; the caller knows which maps it holds."""


def codecs(itemsize: int) -> list[Any]:
    """Return the compressor of maps, and behind it the checksum that it lacks."""
    blosc_codec = BloscCodec(cname=CNAME, clevel=LEVEL, shuffle="bitshuffle", typesize=itemsize)
    return [blosc_codec, Crc32cCodec()]


def chunk_key(model: int, block: int) -> str:
    """Return where a chunk of maps lies in the store.

    >>> chunk_key(3, 7)
    'maps/c/3/7/0/0'
    """
    return f"{schema.MAPS.name}/c/{model}/{block}/0/0"


def encode(values: Array) -> bytes:
    """Compress the maps of one chunk, (image, H, W), and append their checksum."""
    return seal(blosc.compress(np.ascontiguousarray(values), CNAME.encode(), LEVEL, blosc.BITSHUFFLE))


def seal(data: bytes) -> bytes:
    """Append the checksum of ``Crc32cCodec``."""
    return data + int(google_crc32c.value(data)).to_bytes(CRC_BYTES, "little")


def put(url: str, store: Store, key: str, data: bytes, *, synced: bool = False) -> None:
    """Write a key of a store; on disk by a rename, so that a kill leaves all of it or nothing.

    If ``synced``, it survives a power cut, too: what is renamed is on the disk before.
    """
    folder = local_path(url)
    if folder is None:
        sync(store.set(key, default_buffer_prototype().buffer.from_bytes(data)))
        return
    path = os.path.join(folder, key)
    partial = path + f".{uuid.uuid4().hex}.partial"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        with open(partial, "wb") as file:
            file.write(data)
            if synced:
                file.flush()
                os.fsync(file.fileno())
        os.replace(partial, path)
        if synced:
            sync_files([path])
    except OSError:
        if os.path.exists(partial):
            os.unlink(partial)
        raise


def decode(data: bytes, out: Array) -> None:
    """Decompress a chunk into a C-contiguous array of its shape; BadChunkError if it is damaged."""
    if len(data) <= 16 + CRC_BYTES:  # Blosc's header alone has 16
        raise BadChunkError(f"is truncated to {len(data)} bytes")
    body = np.frombuffer(data, np.uint8, len(data) - CRC_BYTES)
    if google_crc32c.value(body) != int.from_bytes(data[-CRC_BYTES:], "little"):
        raise BadChunkError("is damaged: its checksum does not match")
    if int.from_bytes(data[4:8], "little") != out.nbytes:
        raise BadChunkError("is damaged: it has the size of another chunk")
    try:
        blosc.decompress(body, out)
    except (RuntimeError, ValueError) as error:
        raise BadChunkError(f"is damaged: {error}") from None


@dataclass(frozen=True)
class Chunks:
    """The chunks of the array of maps of the store at ``url``."""

    url: str
    maps: zarr.Array[Any]

    @property
    def length(self) -> int:
        """Images per chunk."""
        return int(self.maps.chunks[1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a whole chunk, (image, H, W)."""
        return tuple(self.maps.chunks[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of a whole chunk, uncompressed."""
        return int(np.prod(self.shape)) * self.maps.dtype.itemsize

    @property
    def native(self) -> bool:
        """Whether the store is laid out as salzarr does it; a copy made by another tool may not be."""
        ours = [codec.to_dict() for codec in (BytesCodec(), *codecs(self.maps.dtype.itemsize))]
        return self.maps.chunks == (1, self.length, *self.maps.shape[2:]) and self.codecs == ours

    @property
    def codecs(self) -> list[dict[str, Any]]:
        """How the chunks are encoded; of a Zarr v2 array, its compressor alone."""
        if isinstance(self.maps.metadata, ArrayV3Metadata):
            return [dict(codec.to_dict()) for codec in self.maps.metadata.codecs]
        compressor = self.maps.metadata.compressor
        return [] if compressor is None else [{"name": str(compressor)}]

    def exists(self, model: int, block: int) -> bool:
        """Whether a chunk is there."""
        key, folder = chunk_key(model, block), local_path(self.url)
        return (
            os.path.exists(os.path.join(folder, key)) if folder else bool(sync(self.maps.store.exists(key)))
        )

    def read(self, model: int, block: int, out: Array | None = None) -> Array:
        """Read a chunk (image, H, W), into ``out`` if given; BadChunkError if it is missing or damaged."""
        key, folder = chunk_key(model, block), local_path(self.url)
        if folder:
            try:
                with open(os.path.join(folder, key), "rb") as file:
                    data = file.read()
            except (FileNotFoundError, NotADirectoryError):
                raise BadChunkError("is missing") from None
        else:
            buffer = sync(self.maps.store.get(key, default_buffer_prototype()))
            if buffer is None:
                raise BadChunkError("is missing")
            data = buffer.to_bytes()
        if out is None:
            out = np.empty(self.shape, self.maps.dtype)
        decode(data, out)
        return out

    def write(self, model: int, block: int, values: Array) -> None:
        """Write a whole chunk (image, H, W)."""
        if threading.current_thread() is threading.main_thread():
            # There, numcodecs lets Blosc use several threads, and the order of its blocks is left to
            # chance: the same maps would not make the same bytes.
            start = block * self.length
            values = values[: self.maps.shape[1] - start]
            self.maps[model, start : start + len(values)] = values
            return
        put(self.url, self.maps.store, chunk_key(model, block), encode(values))
