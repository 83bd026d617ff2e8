"""Every exception that salzarr raises on purpose, and the exit code that the command line gives it.

::

    SalzarrError                          1
    ├── UsageError        ValueError      2  a wrong argument, option or combination of them
    │   ├── MetricError                   2  an unknown metric, a parameter or map it cannot take
    │   └── BudgetError   MemoryError     2  the plan does not fit the memory it was given
    ├── InputError        ValueError      3  a map that cannot be read or used
    │   ├── InputNotFoundError  FileNotFoundError
    │   └── ShapeError                       maps of different or impossible sizes
    ├── StoreError        OSError         3  something is wrong with a store or a results folder
    │   ├── StoreNotFoundError  FileNotFoundError
    │   ├── StoreExistsError    FileExistsError
    │   ├── IncompleteError                  not everything has been written yet
    │   ├── CorruptError                     chunks are missing, torn or flipped
    │   ├── VersionError                     written by a newer salzarr
    │   ├── ChangedError                     a resume whose inputs or options are not those of the start
    │   ├── LockedError   BlockingIOError    another run is at work on it
    │   └── UnreachableError  ConnectionError  1  an object store does not answer, or refuses
    └── RunError          RuntimeError    1  a run ended with parts that failed
        └── PairError                        a metric of the user's own failed on a pair of maps

Each message is one sentence or a few: what is wrong, with which file, model or image, and the remedy.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

_command_line = False


@contextmanager
def command_line() -> Iterator[None]:
    """While a command runs, messages name its options; elsewhere the arguments of functions."""
    global _command_line
    before, _command_line = _command_line, True
    try:
        yield
    finally:
        _command_line = before


_OPTION = re.compile(r"(?<![\w`-])--([a-z]+(?:-[a-z]+)*)(?: ('[^']*'|[\w*{][^\s;)]*))?")
_TWICE = re.compile(r"\b(\w+)= \(\1=[^)]*\)")
_SWITCHES = ("overwrite", "append", "allow-incomplete", "complete-cases", "baseline")
_PROSE = frozenset(
    [
        "and",
        "or",
        "with",
        "to",
        "which",
        "that",
        "for",
        "in",
        "is",
        "are",
        "has",
        "have",
        "does",
        "do",
        "names",
        "says",
        "chooses",
        "selects",
        "computes",
        "makes",
        "takes",
        "needs",
        "gives",
        "goes",
        "as",
        "if",
        "on",
        "at",
        "by",
        "from",
        "cannot",
        "must",
        "only",
    ]
)
"""Words after an option that go on with the sentence; any other is its value."""


def for_caller(text: str) -> str:
    """Return a message that names options, as whoever called writes them: in Python, keyword arguments.

    >>> for_caller("resize with --size 6x8, or start again with --overwrite")
    'resize with size="6x8", or start again with overwrite=True'
    >>> for_caller("give --names FILE, --model NAME=PATH or --channel mean, and see --strip-suffix")
    'give names="FILE", models={"NAME": "PATH"} or channel="mean", and see strip_suffix='
    >>> for_caller("--workers has no meaning with --scheduler sync")
    'workers= has no meaning with scheduler="sync"'
    """
    return text if _command_line else _TWICE.sub(r"\1=", _OPTION.sub(_keyword, text))


def _keyword(found: re.Match[str]) -> str:
    option, value = found[1], found[2] or ""
    name = option.replace("-", "_")
    rest = f" {value}" if value else ""
    if option in _SWITCHES:
        return f"{name}=True{rest}"
    end = value[len(value.rstrip(",.:")) :]
    value = value.strip("'").rstrip(",.:'")
    if not value or value in _PROSE:
        return f"{'models' if option == 'model' else name}={rest}"
    if option == "model":
        model, _, path = value.partition("=")
        return f'models={{"{model}": "{path}"}}{end}'
    return f"{name}={value if value.isdecimal() else chr(34) + value + chr(34)}{end}"


_CREDENTIALS = re.compile(r"(?<=://)[^/\s'\"]*@")
_QUERY = re.compile(r"(://[^\s?'\"<>]*)\?[^\s'\"<>]*?(?=[;:,.)]*(?:[\s'\"<>]|$))")


def redacted(text: str) -> str:
    """Return a text whose URLs have neither user and password nor a query, which often is a signature.

    >>> redacted("cannot open http://me:secret@host/maps.zarr?sig=secret; try again")
    'cannot open http://host/maps.zarr; try again'
    """
    return _QUERY.sub(r"\1", _CREDENTIALS.sub("", text)) if "://" in text else text


def without_secrets(value: Any) -> Any:
    """Return a JSON value with every text in it redacted."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {name: without_secrets(one) for name, one in value.items()}
    return [without_secrets(one) for one in value] if isinstance(value, list | tuple) else value


class SalzarrError(Exception):
    """Whatever salzarr raises on purpose."""

    exit_code = 1

    def __str__(self) -> str:
        """Return the message, in the words of whoever called; secrets are not for logs and stores."""
        return redacted(for_caller(super().__str__()))


class UsageError(SalzarrError, ValueError):
    """An argument, an option or a combination of them cannot be."""

    exit_code = 2


class MetricError(UsageError):
    """A metric is unknown, or cannot take this parameter or these maps."""


class BudgetError(UsageError, MemoryError):
    """What was asked for does not fit the memory that it was given."""


class InputError(SalzarrError, ValueError):
    """A map cannot be read or used."""

    exit_code = 3


class InputNotFoundError(InputError, FileNotFoundError):
    """An input does not exist, or nothing that could be a map was found in it."""


class ShapeError(InputError):
    """Maps have different sizes, or a size that no map can have."""


class StoreError(SalzarrError, OSError):
    """A store or a results folder cannot be used as it is."""

    exit_code = 3


class StoreNotFoundError(StoreError, FileNotFoundError):
    """There is no store at that place."""


class StoreExistsError(StoreError, FileExistsError):
    """Something is there already and would be lost."""


class IncompleteError(StoreError):
    """A store has not been written to its end."""


class CorruptError(StoreError):
    """Chunks of a store are missing, torn or flipped."""


class VersionError(StoreError):
    """A store was written in a newer format."""


class ChangedError(StoreError):
    """A run cannot be resumed: its inputs, options or definitions are not those it began with."""


class LockedError(StoreError, BlockingIOError):
    """Another run is at work on the same store or results folder."""


class UnreachableError(StoreError, ConnectionError):
    """An object store does not answer, has no such bucket, or refuses what was asked."""

    exit_code = 1


class RunError(SalzarrError, RuntimeError):
    """A run ended, and parts of it failed."""


class PairError(RunError):
    """A metric of the user's own failed on a pair of maps.

    Parameters
    ----------
    metric : str
    a, b : int or str
        The models, by their places in a block of maps until somebody knows their names.
    image : int, optional
        Its place in the block.
    why : str
    """

    def __init__(self, metric: str, a: int | str, b: int | str, image: int | None, why: str) -> None:
        super().__init__(metric, a, b, image, why)

    def __str__(self) -> str:
        metric, a, b, image, why = self.args
        where = "" if image is None else f", image {image} of its block (counted from 0)"
        return f"{metric}: {why}, for the maps of {a} and {b}{where}"

    def named(self, names: Sequence[str]) -> PairError:
        """Give the same with the names of the block's models."""
        metric, a, b, image, why = self.args
        return PairError(metric, names[a], names[b], image, why)

    def alone(self) -> PairError:
        """Give the same for a block of one image, which others name."""
        metric, a, b, _, why = self.args
        return PairError(metric, a, b, None, why)


def near(name: str, known: Iterable[str]) -> str:
    """Ask whether a name that is not known was meant to be one that is, for a message to go on with.

    >>> near("perason", ["mse", "pearson"]), near("vgg16", ["VGG16"]), near("frobnicate", ["mse", "pearson"])
    ("did you mean 'pearson'? ", "did you mean 'VGG16'? ", '')
    """
    folded = {one.casefold(): one for one in list(known)[:10_000]}
    found = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    return f"did you mean {folded[found[0]]!r}? " if found else ""


def listed(names: Sequence[str], most: int = 10) -> str:
    """Name the first few of many, and count the others, for a message.

    >>> listed(["cat", "dog", "owl", "yak"], 3)
    'cat, dog, owl and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


@contextmanager
def file_named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file in an error of the system that does not, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and not isinstance(error, SalzarrError):
            error.filename = os.fspath(path)
        raise


def environment_error(error: Exception) -> str | None:
    """Return what is wrong with a user's environment as one sentence; None for any other error."""
    if isinstance(error, FileNotFoundError) and error.filename is None:
        try:
            os.getcwd()
        except FileNotFoundError:
            return "the folder that this command runs in was deleted; change to another and repeat it"
    if found := re.match(r"A dask config file at '(.*)' is malformed", str(error)):
        return f"{found[1]}, of Dask's configuration, is no YAML; mend it, or point DASK_CONFIG elsewhere"
    return None


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn what a disk or an endpoint may answer into one error that names the store."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        if found := unreachable(error, url) or damaged(error, url):
            raise found from error
        if not isinstance(error, OSError):
            raise
        why = error.strerror or str(error) or type(error).__name__
        raise StoreError(f"{url} cannot be used: {why}; nothing that was finished is lost") from error


def damaged(error: Exception, url: str = "a store") -> CorruptError | None:
    """Return what Zarr's checksum found as one sentence; None for any other error.

    >>> str(damaged(ValueError("Stored and computed checksum do not match."), "scores.zarr"))[:60]
    'scores.zarr is damaged: a checksum does not match; give the '
    """
    if "computed checksum do not match" not in str(error):
        return None
    return CorruptError(
        f"{url} is damaged: a checksum does not match; give the command that wrote it again, with --overwrite"
    )


def unreachable(error: Exception, url: str = "an object store") -> UnreachableError | None:
    """Put what obstore tells on twenty lines into one sentence; None for an error of anything else.

    >>> unreachable(OSError("disk full"))
    >>> str(unreachable(FileNotFoundError("... <Code>NoSuchBucket</Code> ..."), "s3://wrong/maps.zarr"))[:60]
    's3://wrong/maps.zarr cannot be reached: there is no such buc'
    """
    said = _endpoint_said(error)
    if said is None:
        return None
    return UnreachableError(
        f"{url} cannot be reached: {said}; check the address and the credentials, then give the same command "
        "again: nothing that was finished is lost"
    )


def _endpoint_said(error: Exception) -> str | None:
    text = str(error)
    if "<Code>NoSuchBucket</Code>" in text:  # an object's absence is no fault, so that it is no obstore error
        return "there is no such bucket"
    if not type(error).__module__.startswith("obstore"):
        return None
    told, _, details = text.partition("\n\nDebug source:")
    if status := re.search(r"status code: (\d+ [\w ]+)", told):
        return f"it answers {status[1].strip()}"
    causes = re.findall(r'"([a-z][\w ]+)",?$', details, re.MULTILINE)
    return str(causes[0] if causes else told.rpartition(" - ")[2]).strip()
