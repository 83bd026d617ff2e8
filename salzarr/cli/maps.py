"""Commands about maps stores: convert, info, verify, export, merge."""

from __future__ import annotations

from typing import Any

import click

from salzarr.cli import options
from salzarr.cli.terminal import notice, progress, show_json, show_table
from salzarr.errors import CorruptError, UsageError


@click.command()
@options.path("source")
@options.path("store")
@options.models
@click.option(
    "--model",
    "placed",
    multiple=True,
    callback=options.named,
    metavar="NAME=PATH",
    help="A model and its folder or file, where the layout is not found; repeat it.",
)
@click.option("--glob", metavar="PATTERN", help="Only files whose path below SOURCE matches.")
@click.option("--stacked", metavar="PATTERN", help="Which .npy are stacks (image, H, W)  [batch_maps*.npy]")
@options.file_option("--names", "FILE", "Names of a stack's images: one a line, or a csv's first column.")
@options.file_option("--rename", "CSV", "Two columns: an image's name, its new name.")
@click.option(
    "--strip-suffix",
    multiple=True,
    metavar="TEXT",
    help="An ending to remove from images' names, such as _gradcam; repeat it.",
)
@click.option("--size", metavar="HxW", help="Resize all maps, such as 224x224.")
@click.option("--channel", metavar="WHICH", help="Of maps with channels: mean, max, abs-max, or a number.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option("--append", is_flag=True, help="Add models or images to STORE.")
@click.option("--overwrite", is_flag=True, help="Replace STORE.")
@options.cluster
@options.as_json
@click.pass_context
def convert(
    context: click.Context,
    /,
    source: str,
    store: str,
    *,
    models: list[str] | None,
    placed: dict[str, str] | None,
    channel: str | None,
    as_json: bool,
    scheduler: str,
    workers: int | None,
    threads_per_worker: int | None,
    dashboard: str | None,
    **given: Any,
) -> None:
    """Batch every model's maps of SOURCE into one STORE.

    SOURCE is a folder with one folder per model; the maps may lie anywhere below: one .npy file per image, or
    one batch_maps.npy per model, and other formats (see the README). Images are joined by their names. A run
    that was interrupted goes on with the same command.
    """
    from dataclasses import asdict

    import salzarr
    from salzarr import cluster
    from salzarr.plan import duration, size

    if models and placed:
        raise UsageError(
            "--models selects among the models found, --model names all there are; give one of them"
        )
    wanted = {name: value for name, value in given.items() if value is not None}
    if channel is not None:
        wanted["channel"] = int(channel) if channel.lstrip("-").isdigit() else channel
    with (
        cluster.connect(
            scheduler, workers=workers, threads_per_worker=threads_per_worker, dashboard=dashboard
        ),
        progress("Converting", context.obj) as bar,
    ):
        report = salzarr.convert(source, store, models=placed or models, progress=bar, **wanted)
    if as_json:
        show_json(asdict(report))
        return
    for text in report.notices:
        notice(f"Note: {text}")
    height, width = report.shape
    show_table(
        ["model", "images", "missing", "only here"],
        [
            (
                name,
                report.images - report.missing.get(name, 0),
                report.missing.get(name, 0),
                report.extra.get(name, 0),
            )
            for name in report.models
        ],
        title=f"{report.store}: {len(report.models)} models x {report.images} images, {height} x {width}",
    )
    degenerate = ", ".join(f"{count} {kind}" for kind, count in report.degenerate.items() if count)
    click.echo(
        f"{report.written} maps written ({size(report.bytes)}), {report.resized} resized, "
        f"degenerate: {degenerate or 'none'}; {duration(report.seconds)}"
    )


@click.command()
@options.path("store")
@options.as_json
def info(store: str, as_json: bool) -> None:
    """Tell what is in a maps STORE: models, images, sizes, chunks, degenerate maps, provenance."""
    import salzarr
    from salzarr.plan import size

    facts = salzarr.info(store)
    if as_json:
        show_json(facts)
        return
    models = facts.pop("models")
    for name in ("bytes", "stored_bytes"):
        facts[name] = size(facts[name])
    for name in ("size", "chunk"):
        facts[name] = " x ".join(map(str, facts[name]))
    facts["codecs"] = ", ".join(_codec(codec) for codec in facts["codecs"])
    for i, done in enumerate(facts.pop("provenance").get("runs", []), 1):
        facts[f"run {i}"] = f"{done['written']} maps from {done['source']}, by salzarr {done['salzarr']}"
    show_table(["what", ""], [(name, _flat(value)) for name, value in facts.items()])
    columns: list[str] = list(next(iter(models.values()), {}))
    show_table(["model", *columns], [(name, *row.values()) for name, row in models.items()])


def _codec(codec: dict[str, Any]) -> str:
    """Name a codec with what matters of it."""
    details = codec.get("configuration", {})
    chosen = [str(details[key]) for key in ("cname", "clevel", "shuffle") if key in details]
    return " ".join([codec["name"], *chosen])


def _flat(value: object) -> str:
    """Write nested facts on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{k} {_flat(v)}" for k, v in value.items())
    return ", ".join(map(_flat, value)) if isinstance(value, list | tuple) else str(value)


@click.command()
@options.path("store")
@options.file_option("--source", "PATH", "Compare with the inputs, too.")
@options.as_json
@click.pass_context
def verify(context: click.Context, store: str, source: str | None, as_json: bool) -> None:
    """Read all of a maps STORE and list every chunk that is missing, torn or flipped."""
    from dataclasses import asdict

    import salzarr

    with progress("Verifying", context.obj) as bar:
        problems = salzarr.verify(store, source=source, progress=bar)
    if as_json:
        show_json([asdict(problem) for problem in problems])
    for problem in () if as_json else problems:
        click.echo(str(problem))
    if problems:
        raise CorruptError(
            f"{store} has {len(problems)} faults; convert it again with --overwrite, or restore a copy"
        )
    if not as_json:
        click.echo(f"{store}: every chunk is there and intact")


@click.command()
@options.path("store")
@options.path("folder")
@click.option(
    "--stacked", is_flag=True, help="One batch_maps.npy per model with its names, not a file per image."
)
@options.models
@click.pass_context
def export(context: click.Context, store: str, folder: str, stacked: bool, models: list[str] | None) -> None:
    """Write the maps of STORE back to .npy files in FOLDER, bit for bit."""
    import salzarr

    with progress("Exporting", context.obj) as bar:
        salzarr.export(store, folder, stacked=stacked, models=models, progress=bar)
    click.echo(folder)


@click.command()
@options.path("stores", nargs=-1, required=True)
@options.path("target")
@click.pass_context
def merge(context: click.Context, stores: tuple[str, ...], target: str) -> None:
    """Join the models and images of several STORES into a new store TARGET."""
    import salzarr

    with progress("Merging", context.obj) as bar:
        salzarr.merge(list(stores), target, progress=bar)
    click.echo(target)
