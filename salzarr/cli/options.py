"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from salzarr.errors import UsageError

Command = Callable[..., Any]


def path(name: str, **options: Any) -> Callable[[Command], Command]:
    """Take a path or URL as an argument."""
    return click.argument(name, type=click.Path(), **options)


def file_option(name: str, metavar: str, text: str) -> Callable[[Command], Command]:
    """Take a path as an option."""
    return click.option(name, type=click.Path(), metavar=metavar, help=text)


def split(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> list[str] | None:
    """Split the values of a repeatable option at commas."""
    return [name.strip() for part in value for name in part.split(",") if name.strip()] or None


def named(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> dict[str, str] | None:
    """Read NAME=PATH of a repeatable option."""
    pairs = [part.partition("=") for part in value]
    if wrong := [name for name, equals, path in pairs if not (name and equals and path)]:
        raise click.BadParameter(f"give NAME=PATH, not {wrong[0]!r}")
    return {name: path for name, _equals, path in pairs} or None


def margins(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> dict[str, float] | None:
    """Take SPEC=VALUE, repeated; a spec may hold '=' itself."""
    found = {}
    for part in value:
        spec, _equals, number = part.rpartition("=")
        try:
            found[spec] = float(number)
        except ValueError:
            spec = ""
        if not spec:
            raise click.BadParameter(f"give SPEC=VALUE, such as ssim=0.05, not {part!r}")
    return found or None


def memory_size(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """Read a size such as 512MiB; refuse it before anything is opened."""
    from salzarr.plan import parse_size

    return parse_size(value)


def report_size(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Check the size of a report, and return it as typed."""
    from salzarr.plan import parse_size

    parse_size(value, "report size")
    return value


models = click.option(
    "--models",
    multiple=True,
    callback=split,
    metavar="NAME,…",
    help="Only these models (default: all).",
)


SELECTION = (
    click.option(
        "--strip-suffix",
        multiple=True,
        metavar="TEXT",
        help="An ending to remove from image names, such as _gradcam, so that they match; repeatable.",
    ),
    file_option(
        "--rename",
        "CSV",
        "A table of two columns, the name of an image and its new name, so that names match.",
    ),
    file_option(
        "--names",
        "FILE",
        "Names of the images of stacks that have none: one per line, in order, or a table.",
    ),
    click.option(
        "--stacked",
        metavar="PATTERN",
        help="Name of the .npy files that are stacks of maps (image, H, W).  [default: batch_maps*.npy]",
    ),
    click.option(
        "--axes",
        metavar="NAME,…",
        help="What the axes of the arrays are, such as image,channel,y,x; any other axis name makes one "
        "model per position along it.",
    ),
    click.option(
        "--array",
        metavar="NAME",
        help="The array of maps in .npz, HDF5, NetCDF, Zarr, .mat, .pt and .safetensors files that hold "
        "several.",
    ),
    click.option(
        "--glob",
        metavar="PATTERN",
        help="Only files whose path below SOURCE matches, such as '*/**/Baseline/*.npy' (** matches any "
        "number of folders).",
    ),
    click.option(
        "--model",
        "placed",
        multiple=True,
        callback=named,
        metavar="NAME=PATH",
        help="A model's name and its folder or file below SOURCE (or its name in a store), for models "
        "that are not found, or not named as you want; only these are converted; repeatable.",
    ),
    models,
    click.option(
        "--pattern",
        metavar="PATTERN",
        help="How paths below SOURCE divide into names, such as '{model}/{method}/{image}.npy'. "
        "{image:path} may span folders; without {image} a file is a stack; * is any text, ** any folders. "
        "Every other placeholder becomes a factor of the models.",
    ),
)
"""Options that choose and name the maps of a source; :func:`selected` reads them."""


def selection(command: Command) -> Command:
    """Add the options of :data:`SELECTION`."""
    for option in SELECTION:
        command = option(command)
    return command


def selected(*, models: list[str] | None, placed: dict[str, str] | None, **given: Any) -> dict[str, Any]:
    """Return the options of :func:`selection`, and others that have a value, as keywords of convert."""
    if models and placed:
        raise UsageError(
            "--models chooses among the models found, and --model lists all of them; give one of the two"
        )
    return {k: v for k, v in {"models": placed or models, **given}.items() if v is not None}


memory = click.option(
    "--memory",
    metavar="SIZE",
    callback=memory_size,
    help="Memory limit per process, e.g. 1GiB (default: 80 % of the machine's for scoring, 1GiB beside the "
    "process for tables and report). With many images, give at least 600MiB.",
)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

photos = click.option(
    "--photos",
    type=click.Path(exists=True, file_okay=False),
    metavar="DIR",
    help="A folder with the photographs, named like the images, to show beside the maps.",
)

group_by = click.option(
    "--group-by",
    metavar="COLUMN",
    help="A column of the labels: every statistic for each label, too, and a test of two labels.",
)


SETTINGS = ("bootstrap", "seed", "units", "unit_mean", "group_by", "test_models", "margins")
"""What :func:`analysis` adds."""


def analysis(command: Command) -> Command:
    """Add the settings of the statistics; those left out are as in RESULTS before."""
    for option in (
        click.option(
            "--margin",
            "margins",
            multiple=True,
            callback=margins,
            metavar="SPEC=VALUE",
            help="Equivalence test: count two models as equally close if they differ by less than VALUE, in "
            "the metric's unit; repeatable.",
        ),
        click.option(
            "--test-models",
            multiple=True,
            callback=split,
            metavar="NAME,…",
            help="Models to test against: for each, which of two others is closer. Default: all, up to 22.",
        ),
        group_by,
        click.option(
            "--unit-mean/--image-mean",
            default=None,
            help="Give each unit the same weight, or each image (the default).",
        ),
        click.option(
            "--units",
            metavar="COLUMN",
            help="A column of the labels: images of one unit (crops, frames, a patient's) belong together: "
            "they are resampled and permuted as one, and are never paired as mismatches.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(0),
            metavar="N",
            help="Seed of all random numbers (default: that of RESULTS, or 0).",
        ),
        click.option(
            "--bootstrap",
            type=click.IntRange(0),
            metavar="N",
            help="Resamples for the intervals; 0 for none (default: as in RESULTS, or 2000).",
        ),
    ):
        command = option(command)
    return command


def report_options(command: Command) -> Command:
    """Add the title, the comment and the size limit of a report."""
    for option in (
        click.option(
            "--report-size",
            metavar="SIZE",
            callback=report_size,
            help="Size limit of the report (default: 20MB): it carries as many maps as fit.",
        ),
        click.option("--comment", metavar="TEXT", default="", help="Comment below the title of the report."),
        click.option("--title", metavar="TEXT", help="Title of the report (default: the name of RESULTS)."),
    ):
        command = option(command)
    return command


baseline = click.option(
    "--baseline",
    is_flag=True,
    help="Read the maps again for the chance baseline (mismatched images) and the consensus of the models.",
)


def cluster(command: Command) -> Command:
    """Add the options that say where a command runs; it gets them as ``run_on``, for ``cluster.connect``."""

    @functools.wraps(command)
    def with_run_on(*arguments: Any, **given: Any) -> Any:
        names = ("scheduler", "workers", "threads_per_worker", "dashboard")
        return command(*arguments, run_on={name: given.pop(name) for name in names}, **given)

    for option in (
        click.option(
            "--dashboard",
            metavar="ADDRESS",
            help="With processes: address of Dask's dashboard, such as :8787.",
        ),
        click.option(
            "--threads-per-worker",
            type=click.IntRange(1),
            metavar="N",
            help="With processes: threads of each (default: 1).",
        ),
        click.option(
            "--workers",
            type=click.IntRange(1),
            metavar="N",
            help="Number of threads or processes (default: one per core).",
        ),
        click.option(
            "--scheduler",
            default="threads",
            show_default=True,
            metavar="WHICH",
            help="Where to run: threads or processes of this machine, sync (one job after the other), or the "
            "address of a running Dask scheduler, such as tcp://host:8786.",
        ),
    ):
        with_run_on = option(with_run_on)
    return with_run_on
