"""Commands about results folders: compare, report, plot; and the list of the metrics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from salzarr.cli import options
from salzarr.cli.terminal import progress, show_json, show_matrix, show_table, show_text
from salzarr.errors import InputError, redacted

if TYPE_CHECKING:
    import xarray as xr

    from salzarr.publishing import Published


MOST_MODELS = 12
"""Models up to which the terminal shows the matrices."""


@click.command(short_help="Score every pair of models; matrices and a report.")
@options.path("store")
@options.path("results")
@click.option(
    "--metrics",
    default="mse,cosine,pearson,ssim,emd",
    show_default=True,
    metavar="SPEC,…",
    help="Metrics and their parameters, e.g. ssim:window=11,emd:normalize=abs; 'salzarr metrics' lists them. "
    "module:function is your own f(a, b) in module.py of this folder.",
)
@options.models
@click.option(
    "--images",
    multiple=True,
    metavar="WHICH",
    help="Only these images: a number N for the first N (a number with leading zeros is a name), names "
    "between commas, or a file with one name per line.",
)
@click.option("--reference", metavar="MODEL", help="Compare every model with this one only.")
@click.option(
    "--normalize",
    default="none",
    show_default=True,
    metavar="CHAIN",
    help="Normalization of each map: none, minmax, max, sum, zscore, abs, positive, or a chain such as "
    "abs+sum.",
)
@click.option(
    "--also-normalize",
    multiple=True,
    callback=options.split,
    metavar="CHAIN,…",
    help="Compute each metric once more after these, to see whether the order of the pairs depends on it.",
)
@click.option("--data-range", type=float, help="Range of the values, for SSIM (default: that of the maps).")
@click.option(
    "--labels",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="A table with a column image (csv; commas, semicolons or tabs): its other columns are stored with "
    "the scores, for --where, --units and --group-by.",
)
@click.option(
    "--where",
    metavar="EXPRESSION",
    help="Only images of which this is true, by their labels, such as \"correct_vgg and label == 'cat'\".",
)
@click.option(
    "--primary",
    metavar="SPEC",
    help="The one metric that the study will report: marked before anything is scored, and shown first.",
)
@click.option("--complete-cases", is_flag=True, help="Only images of which every model has a usable map.")
@click.option(
    "--scores",
    metavar="URL",
    help="Path or URL of the scores (default: RESULTS/scores.zarr).",
)
@options.memory
@click.option(
    "--dry-run", is_flag=True, help="Print what would be read, computed, written and needed; run nothing."
)
@click.option("--overwrite", is_flag=True, help="Delete the scores in RESULTS and start over.")
@click.option("--allow-incomplete", is_flag=True, help="Compare a store whose conversion did not finish.")
@options.analysis
@options.baseline
@options.photos
@options.report_options
@click.option("--no-report", is_flag=True, help="Write only scores and tables: no pictures, no report.")
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
    baseline: bool,
    photos: str | None,
    title: str | None,
    comment: str,
    report_size: str | None,
    no_report: bool,
    as_json: bool,
    run_on: dict[str, Any],
    **given: Any,
) -> None:
    """Score every pair of models of STORE, image by image, into the folder RESULTS.

    STORE was written by 'salzarr convert'. RESULTS is a new folder, or that of an earlier compare. Writes
    scores.zarr block by block, then the tables, one matrix picture per metric and report.html. The same
    command resumes an interrupted run; added models, images or metrics cost only what is new.
    """
    import salzarr
    from salzarr import cluster
    from salzarr.results_analysis import check_extras

    given["images"] = _images(images)
    chosen = {name: given.pop(name) for name in options.SETTINGS}
    check_extras(store, results, given, chosen, baseline=baseline)  # before hours of scoring
    with cluster.connect(**run_on, memory=given["memory"]):
        if dry_run:
            plan = salzarr.plan_comparison(store, out=results, **given)
            if as_json:
                show_json(plan.to_dict())
            else:
                click.echo(str(plan))
            return
        with progress("Comparing", context.obj) as bar:
            salzarr.compare(store, out=results, progress=bar, **given)
        with progress("Reading maps again", context.obj or not baseline) as bar:
            published = salzarr.publish(
                results,
                **chosen,
                maps=store if redacted(store) != store else None,  # no results say how it was opened
                baseline=baseline,
                photos=photos,
                title=title,
                comment=comment,
                report_size=report_size,
                memory=given["memory"],
                pictures=not no_report,
                progress=bar,
            )
    _show(published, as_json)


def _images(given: tuple[str, ...]) -> int | list[str] | None:
    """Parse --images: a number, a file of names, or names."""
    if not given:
        return None
    if len(given) == 1 and given[0].isdigit() and not given[0].startswith("0"):
        return int(given[0])
    names: list[str] = []
    for part in given:
        names += [name.strip() for name in _listed(part) if name.strip()]
    return names


def _listed(part: str) -> list[str]:
    """Read the names in a file, or between commas."""
    if not Path(part).is_file():
        return part.split(",")
    try:
        return Path(part).read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{part} is no list of names ({error}); save it as UTF-8 text") from None


def _show(published: Published, as_json: bool) -> None:
    """Print a matrix per metric, the findings, and the path of the report."""
    if as_json:
        records = published.frame.to_dict("records")
        show_json({"summary": records, "findings": published.findings, "files": published.files})
        return
    _show_matrices(published.summary)
    show_text(" ".join(published.findings))
    table = next(path for path in published.files if path.name == "summary.csv")
    click.echo(f"Every pair is in {table}" if published.report is None else f"Open {published.report}")


def _show_matrices(summary: xr.Dataset) -> None:
    """Print the means of each metric as a matrix, up to 12 models."""
    from salzarr.plot.style import numbers, short
    from salzarr.statistics.rows import metric_names, model_names
    from salzarr.statistics.structure import reference_model
    from salzarr.statistics.summary import to_matrix

    names = short(model_names(summary), 20)
    if len(names) > MOST_MODELS:
        click.echo(f"{len(names)} models are too many to show their matrices here; the report has them.")
        return
    reference = reference_model(summary)
    rows = [k for k in range(len(names)) if k != reference]
    columns = rows if reference is None else [reference]
    for slug in metric_names(summary):
        matrix = to_matrix(summary, slug)
        values = matrix.values[rows][:, columns]
        texts = [numbers(values)[k * len(columns) : (k + 1) * len(columns)] for k in range(len(rows))]
        title = f"{matrix.attrs.get('spec', slug)}, mean over the images"
        show_matrix([names[k] for k in rows], [names[k] for k in columns], texts, title)


@click.command(short_help="Write tables, pictures and report again.")
@options.path("results")
@options.analysis
@options.baseline
@options.photos
@options.report_options
@options.memory
@options.as_json
@click.pass_context
def report(context: click.Context, /, results: str, *, as_json: bool, **given: Any) -> None:
    """Write the tables, the pictures and report.html of RESULTS again, from its scores.

    RESULTS was written by 'salzarr compare'. Settings that are left out are those of the last time, so that
    the numbers stay the same.
    """
    import salzarr

    with progress("Reading maps", context.obj or not given["baseline"]) as bar:
        published = salzarr.publish(results, progress=bar, **given)
    _show(published, as_json)


@click.command(short_help="Draw one kind of picture.")
@click.argument("target", type=click.Path(), metavar="RESULTS|STORE")
@click.argument("kind", metavar="KIND")
@click.option("--metric", metavar="SPEC", help="Metric to draw (default: each).")
@click.option(
    "--output",
    "-o",
    type=click.Path(),
    metavar="FILE",
    help="File to write; its suffix is the format: png, svg or pdf (default: KIND_METRIC.png in RESULTS, or "
    "maps.png beside STORE).",
)
@options.group_by
@options.photos
@click.option(
    "--order",
    type=click.Choice(["given", "name", "cluster"]),
    help="Order of the models in a matrix; cluster puts similar models side by side.  [default: given]",
)
@click.option(
    "--statistic",
    metavar="NAME",
    help="Statistic of the scores: mean, median, std, min, max, q25, q75.  [default: mean]",
)
@click.option(
    "--triangle",
    type=click.Choice(["full", "lower"]),
    help="Show each pair twice (full) or once (lower).  [default: full]",
)
def plot(target: str, kind: str, **given: Any) -> None:
    """Draw one KIND of picture of RESULTS, which 'salzarr compare' wrote, and print its path.

    \b
    matrix         how alike each pair of models is
    distributions  the scores of each pair over the images
    models         a map of the models: the closer, the more alike
    metrics        how far the metrics agree with each other
    gallery        the images on which models differ most, with their maps
    groups         how alike the models are per label (needs --group-by)
    maps           the maps themselves: salzarr plot STORE maps
    """  # noqa: D301 - click takes the character itself
    from salzarr.drawing import draw

    for path in draw(target, kind, **{name: value for name, value in given.items() if value is not None}):
        click.echo(str(path))


@click.command(short_help="List the metrics and their parameters.")
@options.as_json
def metrics(as_json: bool) -> None:
    """List the metrics: what more means, cost, definition and parameters."""
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


@click.command(short_help="List the tables of RESULTS and their columns.")
@click.argument("names", nargs=-1, metavar="[TABLE]...")
@options.as_json
def tables(names: tuple[str, ...], as_json: bool) -> None:
    """List the columns of each TABLE, or of all, and what they hold."""
    from salzarr.errors import UsageError, listed
    from salzarr.statistics.columns import COLUMNS

    if unknown := [name for name in names if name.removesuffix(".csv") not in COLUMNS]:
        raise UsageError(f"no table {unknown[0]!r}; there are {listed([*COLUMNS], len(COLUMNS))}")
    chosen = {name.removesuffix(".csv"): COLUMNS[name.removesuffix(".csv")] for name in names or COLUMNS}
    if as_json:
        show_json(chosen)
        return
    rows = [(f"{name}.csv", column, text) for name, of in chosen.items() for column, text in of.items()]
    show_table(["table", "column", "what it holds"], rows)
