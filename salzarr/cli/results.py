"""Commands about results folders: compare, report, plot; and the list of the metrics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from salzarr.cli import options
from salzarr.cli.terminal import progress, show_json, show_table
from salzarr.errors import RunError

if TYPE_CHECKING:
    from salzarr.publishing import Published

MOST_ROWS = 100
"""Rows of a summary that a terminal is shown, spread over its metrics."""

SHOWN = ("metric", "model_a", "model_b", "n", "mean", "mean_low", "mean_high", "std", "median")


@click.command()
@options.path("store")
@options.path("results")
@click.option(
    "--metrics",
    default="mse,cosine,pearson,ssim,emd",
    show_default=True,
    metavar="SPEC,…",
    help="Such as ssim:window=11,emd:normalize=abs; see 'salzarr metrics'; module:function is your own.",
)
@options.models
@click.option(
    "--images",
    multiple=True,
    metavar="WHICH",
    help="Only these: names between commas, the first so many, or a file with one name a line.",
)
@click.option("--reference", metavar="MODEL", help="Compare every model with this one only.")
@click.option(
    "--normalize",
    default="none",
    show_default=True,
    metavar="CHAIN",
    help="Of each map first: none, minmax, max, sum, zscore, abs, positive, or a chain such as abs+sum.",
)
@click.option("--data-range", type=float, help="The range of the data, for SSIM; found by itself.")
@click.option("--complete-cases", is_flag=True, help="Only images of which every model has a usable map.")
@click.option(
    "--scores", metavar="URL|none", help="Keep the scores elsewhere than in RESULTS, or not at all."
)
@click.option("--memory", metavar="SIZE", help="What one process may take, such as 512MiB.")
@click.option(
    "--dry-run", is_flag=True, help="Print what it would read, compute, write and need; run nothing."
)
@click.option("--overwrite", is_flag=True, help="Forget the scores in RESULTS and begin anew.")
@click.option("--allow-incomplete", is_flag=True, help="Compare a store that was not converted to its end.")
@options.bootstrap
@options.groups
@options.baseline
@options.photos
@click.option("--no-report", is_flag=True, help="Only scores and summary.csv: no pictures, no report.")
@options.cluster
@options.as_json
@click.pass_context
def compare(
    context: click.Context,
    /,
    store: str,
    results: str,
    *,
    images: tuple[str, ...],
    dry_run: bool,
    bootstrap: int,
    groups: str | None,
    baseline: bool,
    photos: str | None,
    no_report: bool,
    as_json: bool,
    scheduler: str,
    workers: int | None,
    threads_per_worker: int | None,
    dashboard: str | None,
    **given: Any,
) -> None:
    """Score every pair of models of STORE, image by image, into the folder RESULTS.

    Writes scores.zarr block by block, then summary.csv, one matrix picture per metric and report.html. A run
    that was interrupted goes on with the same command; models, images or metrics added since cost only what
    is new.
    """
    import salzarr
    from salzarr import cluster

    given["images"] = _images(images)
    with cluster.connect(
        scheduler, workers=workers, threads_per_worker=threads_per_worker, dashboard=dashboard
    ):
        if dry_run:
            plan = salzarr.plan_comparison(store, out=results, **given)
            if as_json:
                show_json(plan.to_dict())
            else:
                click.echo(str(plan))
            return
        with progress("Comparing", context.obj) as bar:
            found = salzarr.compare(store, out=results, progress=bar, **given)
        with progress("Reading maps again", context.obj or not baseline) as bar:
            published = salzarr.publish(
                results,
                summary=found if given["scores"] == "none" else None,
                bootstrap=bootstrap,
                groups=groups,
                baseline=baseline,
                photos=photos,
                memory=given["memory"],
                pictures=not no_report,
                progress=bar,
            )
    _show(published, as_json)
    if failed := found.attrs.get("failed"):
        raise RunError(f"{len(failed)} images could not be scored: {', '.join(list(failed)[:10])}")


def _images(given: tuple[str, ...]) -> int | list[str] | None:
    """Read --images: a number, a file of names, or names."""
    if not given:
        return None
    if len(given) == 1 and given[0].isdigit():
        return int(given[0])
    names: list[str] = []
    for part in given:
        listed = Path(part).read_text("utf-8").splitlines() if Path(part).is_file() else part.split(",")
        names += [name.strip() for name in listed if name.strip()]
    return names


def _show(published: Published, as_json: bool) -> None:
    """Print a summary and say where everything is."""
    frame = published.frame
    if as_json:
        show_json({"summary": frame.to_dict("records"), "files": published.files})
        return
    columns = [name for name in SHOWN if name in frame]
    shown = frame.groupby("metric", sort=False).head(max(1, MOST_ROWS // frame["metric"].nunique()))
    show_table(columns, shown[columns].astype(object).to_numpy().tolist())
    if len(frame) > len(shown):
        click.echo(f"… and {len(frame) - len(shown)} more pairs in summary.csv")
    for path in published.files:
        click.echo(str(path))


@click.command()
@options.path("results")
@options.bootstrap
@options.groups
@options.baseline
@options.photos
@options.as_json
@click.pass_context
def report(context: click.Context, /, results: str, *, as_json: bool, **given: Any) -> None:
    """Write the tables, the pictures and report.html of RESULTS anew, from the scores that are there."""
    import salzarr

    with progress("Reading maps", context.obj or not given["baseline"]) as bar:
        published = salzarr.publish(results, progress=bar, **given)
    _show(published, as_json)


@click.command()
@options.path("target")
@click.argument("kind")
@click.option("--metric", metavar="SPEC", help="Of which metric; all of them if left out.")
@click.option("--output", "-o", type=click.Path(), help="Where to; its ending is the format.")
@options.groups
@options.photos
@click.option("--order", type=click.Choice(["given", "name", "cluster"]), help="Of the models in a matrix.")
@click.option("--statistic", metavar="NAME", help="Of the scores in a matrix, such as median.")
@click.option("--triangle", type=click.Choice(["full", "lower"]), help="Of a matrix.")
def plot(target: str, kind: str, **given: Any) -> None:
    """Draw one KIND of picture of a results folder, or 'maps' of a maps store.

    Kinds: matrix, distributions, models, metrics, gallery, groups, maps.
    """
    from salzarr.publishing import draw

    for path in draw(target, kind, **{name: value for name, value in given.items() if value is not None}):
        click.echo(str(path))


@click.command()
@options.as_json
def metrics(as_json: bool) -> None:
    """List the metrics, with their definitions, directions and costs."""
    from salzarr.metrics import describe

    found = describe()
    if as_json:
        show_json(found)
        return
    show_table(
        ["metric", "more is", "cost", "definition", "parameters"],
        [
            (
                metric["name"],
                "more alike" if metric["kind"] == "similarity" else "more different",
                metric["cost"],
                metric["definition"],
                " ".join(f"{k}={'auto' if v is None else v}" for k, v in metric["parameters"].items()),
            )
            for metric in found
        ],
    )
