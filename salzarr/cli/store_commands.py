"""Commands about maps stores: convert, info, verify."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from salzarr.cli import options
from salzarr.cli.terminal import progress, show_json, show_table
from salzarr.errors import CorruptError, InputError, UsageError

if TYPE_CHECKING:
    from salzarr.store.convert_report import ConvertReport


logger = logging.getLogger(__name__)

SHOWN = 20
"""Faults of a store that are printed at most."""


@click.command(short_help="Batch the maps of all models into one store.")
@options.path("source")
@options.path("store", required=False)
@click.option("--list", "list_only", is_flag=True, help="Show what would be read, without reading a map.")
@options.selection
@click.option("--size", metavar="HxW", help="Resize all maps to this height and width, such as 224x224.")
@click.option(
    "--resize",
    type=click.Choice(["linear", "nearest"]),
    default="linear",
    show_default=True,
    help="How to resize: linear as torch and OpenCV do (clamped at the border; smoothed where it shrinks), "
    "or nearest, which keeps patches and segments sharp.",
)
@click.option(
    "--channel",
    metavar="WHICH",
    help="How to reduce channels to one: mean, max, abs-max (the largest magnitude, with its sign), or the "
    "number of a channel, from 0. Without it, maps with channels are refused.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    default="float32",
    show_default=True,
    help="Type of the stored maps.",
)
@click.option("--append", is_flag=True, help="Add the models and images that STORE does not have yet.")
@click.option("--overwrite", is_flag=True, help="Delete the maps in STORE and start again.")
@options.cluster
@options.as_json
@click.pass_context
def convert(
    context: click.Context,
    /,
    source: str,
    store: str | None,
    *,
    list_only: bool,
    channel: str | None,
    as_json: bool,
    run_on: dict[str, Any],
    **given: Any,
) -> None:
    """Batch every model's maps of SOURCE into one STORE.

    SOURCE is a folder with one folder per model, and the maps anywhere below it: one .npy file per image, one
    batch_maps.npy per model, or other formats (see the README). It may also be another store, to add to STORE
    with --append. STORE is the folder to write, such as maps.zarr. Images are joined by their names. The same
    command resumes a run that was interrupted.
    """
    import salzarr
    from salzarr import cluster

    wanted = options.selected(**given)
    if channel is not None:
        wanted["channel"] = int(channel) if channel.lstrip("-").isdigit() else channel
    if list_only:
        _list(source, as_json, wanted)
        return
    if store is None:
        raise UsageError(
            "name the STORE to write, such as maps.zarr, or look first at what would be read: --list"
        )
    with cluster.connect(**run_on), progress("Converting", context.obj) as bar:
        report = salzarr.convert(source, store, progress=bar, **wanted)
    _show(report, as_json)
    _lose(report.lost)


def _lose(lost: Sequence[str]) -> None:
    """End with the exit code of incomplete data where models were lost."""
    if lost:
        names = "1 model was" if len(lost) == 1 else f"{len(lost)} models were"
        raise InputError(
            f"{names} left out, since no map could be read (see above); fix that and convert again "
            "with --append, or choose other models with --models"
        )


def _list(source: str, as_json: bool, wanted: dict[str, Any]) -> None:
    """Show what would be read: models, their factors, images and shapes, and what is set aside."""
    from salzarr.store.listing import list_source

    for name in ("append", "overwrite", "size", "resize", "channel", "dtype"):
        wanted.pop(name, None)
    listing = list_source(source, **wanted)
    if as_json:
        show_json(asdict(listing))
    else:
        factors = dict.fromkeys(name for model in listing.models for name in model.factors)
        show_table(
            ["model", *factors, "images", "such as", "shapes", "format", "first"],
            [
                (
                    model.name,
                    *(model.factors.get(name, "") for name in factors),
                    model.images,
                    ", ".join(model.examples),
                    ", ".join(model.shapes),
                    model.format,
                    model.first,
                )
                for model in listing.models
            ],
            title=f"{source}: {len(listing.models)} models x {listing.images} images",
        )
    _lose(listing.lost)


def _show(report: ConvertReport, as_json: bool) -> None:
    """Print what a conversion did, and what the store holds now."""
    from salzarr.store.convert_report import COLUMNS

    if as_json:
        show_json(asdict(report))
        return
    height, width = report.shape
    show_table(
        COLUMNS,
        report.table(),
        title=f"{report.store}: {len(report.models)} models x {report.images} images, {height} x {width}",
    )
    click.echo(_done(report))
    degenerate = ", ".join(f"{count:,} {kind}" for kind, count in report.degenerate.items() if count)
    click.echo(f"in the store: {report.resized:,} resized maps, degenerate maps: {degenerate or 'none'}")


def _done(report: ConvertReport) -> str:
    """Return what a conversion did, in a sentence."""
    from dask.utils import format_bytes, format_time

    if not report.written:
        return f"nothing to do: all {report.kept:,} maps are in {report.store} already"
    kept = f", {report.kept:,} were there already" if report.kept else ""
    maps = "1 map" if report.written == 1 else f"{report.written:,} maps"
    return f"{maps} written ({format_bytes(report.bytes)}){kept}; {format_time(report.seconds)}"


@click.command(short_help="Show what a store of maps holds.")
@options.path("store")
@options.as_json
def info(store: str, as_json: bool) -> None:
    """Show what a maps STORE holds: models, images, sizes, chunks, degenerate maps, provenance."""
    from dask.utils import format_bytes

    import salzarr

    facts = salzarr.info(store)
    if as_json:
        show_json(facts)
        return
    models = facts.pop("models")
    for name in ("bytes", "stored_bytes"):
        facts[name] = format_bytes(facts[name])
    for name in ("size", "chunk"):
        facts[name] = " x ".join(map(str, facts[name]))
    facts["codecs"] = ", ".join(_codec(codec) for codec in facts["codecs"])
    for i, done in enumerate(facts.pop("provenance").get("runs", []), 1):
        facts[f"run {i}"] = f"{done['written']} maps from {done['source']}, by salzarr {done['salzarr']}"
    show_table(["what", ""], [(name, _flat(value)) for name, value in facts.items()])
    columns: list[str] = list(next(iter(models.values()), {}))
    show_table(["model", *columns], [(name, *row.values()) for name, row in models.items()])


def _codec(codec: dict[str, Any]) -> str:
    """Return a codec's name and main parameters."""
    details = codec.get("configuration", {})
    chosen = [str(details[key]) for key in ("cname", "clevel", "shuffle") if key in details]
    return " ".join([codec["name"], *chosen])


def _flat(value: object) -> str:
    """Write nested facts on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{k} {_flat(v)}" for k, v in value.items())
    return ", ".join(map(_flat, value)) if isinstance(value, list | tuple) else str(value)


@click.command(short_help="Check that a store is complete and intact.")
@options.path("store")
@options.file_option("--source", "PATH", "Also compare with the folder that it was converted from.")
@options.selection
@options.as_json
@click.pass_context
def verify(context: click.Context, /, store: str, *, source: str | None, as_json: bool, **given: Any) -> None:
    """Read all of a maps STORE and list every chunk that is missing or damaged.

    With --source, the folder is read as the store remembers that it was; other options change that.
    """
    import salzarr

    with progress("Verifying", context.obj) as bar:
        problems = salzarr.verify(store, source=source, progress=bar, **options.selected(**given))
    if as_json:
        show_json([asdict(problem) for problem in problems])
    for problem in () if as_json else problems[:SHOWN]:
        click.echo(str(problem))
    if len(problems) > SHOWN and not as_json:
        click.echo(f"and {len(problems) - SHOWN:,} more; --json lists them all")
    if problems:
        raise CorruptError(
            f"{store} has {len(problems)} faults; convert it again with --overwrite, or restore a copy"
        )
    if not as_json:
        click.echo(f"{store} is complete and intact")
