"""Where stores are: absolute paths and URLs, shown as they were typed, and what Zarr opens there."""

from __future__ import annotations

import functools
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from zarr.abc.store import Store

from salzarr.errors import UsageError, redacted, storage_errors

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig


WEB = ("http", "https")
"""Of plain web servers, from which a store can be read: they list nothing, and take nothing."""

SCHEMES = frozenset({*WEB, "s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss"})

RETRIES: RetryConfig = {
    "max_retries": 7,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}
"""Some 5 s of trying again ride out a server that is busy; obstore's own 3 minutes look like a hang."""

CLIENT: ClientConfig = {
    "connect_timeout": timedelta(seconds=3),
    "allow_http": True,  # or an endpoint that was given as http://, in a local network, would be refused
}


class Location(str):
    """An absolute path without a slash at its end, or a URL, that messages show as it was typed.

    Whatever opens it takes it for the text that it is, on a worker in another folder too; an f-string shows
    it as typed. So build no path with an f-string: use :meth:`below`, :meth:`beside` or ``os.path.join``.

    >>> results = locate("some/../results/")
    >>> scores = results.below("scores.zarr")
    >>> f"{scores} is incomplete", scores == os.path.join(os.getcwd(), "results", "scores.zarr")
    ('some/../results/scores.zarr is incomplete', True)
    """

    typed: str

    def __new__(cls, path: str, typed: str | None = None) -> Self:
        """Keep what was typed beside the path."""
        location = super().__new__(cls, path)
        location.typed = redacted(path if typed is None else typed)
        return location

    def __format__(self, spec: str) -> str:
        return format(self.typed, spec)

    def below(self, name: str) -> Location:
        """Return the location of something in this folder."""
        return Location(os.path.join(self, name), os.path.join(self.typed, name))

    def beside(self, suffix: str) -> Location:
        """Return the location whose name is this one's with a suffix."""
        return Location(self + suffix, self.typed + suffix)


def locate(path: str | os.PathLike[str]) -> Location:
    """Return the location of a path or URL, with ``~`` expanded; UsageError if it is empty."""
    if isinstance(path, Location):
        return path
    typed = os.fspath(path)
    if not typed or "\0" in typed:
        raise UsageError(f"{typed!r} is no path; give a path, or a URL such as s3://bucket/maps.zarr")
    local = local_path(typed)
    place = typed.rstrip("/") if local is None else os.path.abspath(os.path.expanduser(local))
    return Location(place, typed.rstrip("/") or "/")


def local_path(path: str | os.PathLike[str]) -> str | None:
    """Return the path of a local place, None for a URL of another kind.

    >>> local_path("file:///data/maps.zarr"), local_path("s3://bucket/maps.zarr")
    ('/data/maps.zarr', None)
    """
    text = os.fspath(path)
    if text.startswith("file://"):
        return text.removeprefix("file://")
    return None if "://" in text else text


def is_object_store(url: str) -> bool:
    """Whether a place is in an object store that salzarr reaches by obstore.

    >>> is_object_store("s3://bucket/maps.zarr"), is_object_store("maps.zarr"), is_object_store("memory://m")
    (True, False, False)
    """
    scheme, there, _ = url.partition("://")
    return bool(there) and scheme in SCHEMES


@functools.lru_cache(maxsize=64)
def client(url: str) -> ObjectStore:
    """Return the obstore client of the objects below a URL.

    Endpoint and credentials come from the environment of each process (``AWS_ENDPOINT_URL``,
    ``AWS_ACCESS_KEY_ID``, …): no secret is stored, and none is sent to workers.
    """
    try:
        from obstore.store import from_url
    except ImportError:
        raise UsageError(f"{url} needs obstore; install it with pip install 'salzarr[remote]'") from None
    scheme, _, rest = url.partition("://")
    bucket, _, path = rest.partition("/")
    if not bucket:
        raise UsageError(f"{url} names no bucket; give a URL such as {scheme}://bucket/maps.zarr")
    try:
        # A path is taken as it is written: from_url would decode %41 and cut at #.
        return from_url(f"{scheme}://{bucket}/{quote(path)}", client_options=CLIENT, retry_config=RETRIES)
    except Exception as error:
        reason = str(error).partition("\n\n")[0]
        raise UsageError(f"{url} cannot be opened: {reason}; set what it lacks in the environment") from None


def parent(url: str) -> tuple[str, str]:
    """Split the URL of a store into its folder and its name; a whole bucket is refused as a store.

    >>> parent("s3://bucket/saliency/maps.zarr/")
    ('s3://bucket/saliency', 'maps.zarr')
    """
    folder, _, name = url.rstrip("/").rpartition("/")
    if folder.endswith(":/") or not name:
        raise UsageError(f"{url} is a whole bucket; give a place in it, such as {url.rstrip('/')}/maps.zarr")
    return folder, name


def zarr_store(url: str) -> Any:
    """Return what Zarr and xarray open: an ObjectStore for its URLs, any other place as it is."""
    if not is_object_store(url):
        return url
    from zarr.storage import ObjectStore

    parent(url)
    return ObjectStore(client(url))


def names_in(store: Store, folder: str = "") -> list[str]:
    """List the names right below a folder of a store that Zarr has open."""
    from zarr.core.sync import sync

    async def collect() -> list[str]:  # obstore's listing has to begin where Zarr's event loop runs
        return [name async for name in store.list_dir(folder)]

    return sync(collect())


def version(url: str, name: str) -> str | None:
    """Return what tells this version of an object from others; None where that is unknown."""
    if not is_object_store(url):
        return None
    with storage_errors(url):
        try:
            return client(url).head(name)["e_tag"]
        except FileNotFoundError:
            return None


def check_bucket(url: str) -> None:
    """Raise UnreachableError if the bucket of a URL does not exist: a read just finds nothing."""
    if is_object_store(url) and not url.startswith(WEB):
        with storage_errors(url):
            client(url).list_with_delimiter()
