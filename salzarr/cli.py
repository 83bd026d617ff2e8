"""The command line: one command is one library call.

Results go to stdout, progress and notices to stderr. Exit codes: 0 done, 1 failed, 2 usage, 3 incomplete or
corrupt data, 130 interrupted. Heavy imports stand inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from salzarr._version import __version__
from salzarr.errors import SalzarrError, UsageError
from salzarr.terminal import configure_logging, notice, progress, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INTERRUPTED = 130
SHELLS = ("bash", "zsh", "fish")


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; a user's mistake gives one sentence on stderr, never a traceback."""
    try:
        cli.main(arguments, prog_name="salzarr", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.UsageError as error:
        error.show()
        return UsageError.exit_code
    except (click.Abort, KeyboardInterrupt):
        notice("Interrupted; the same command goes on where it stopped.")
        return INTERRUPTED
    except SalzarrError as error:
        notice(f"Error: {error}")
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe has left: nothing to say, and nobody to say it to
        return 1
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        notice(f"Error:{where}: {error.strerror or error}; mend that and give the same command again.")
        return 1
    return 0


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="salzarr")
@click.option("-v", "--verbose", count=True, help="Say more; -vv says everything.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.pass_context
def cli(context: click.Context, verbose: int, quiet: bool) -> None:
    """Compare the saliency maps of many models.

    \b
    salzarr convert Models/ maps.zarr      batch the maps into one labelled store
    salzarr compare maps.zarr results/     score every pair of models; matrices and a report
    """
    configure_logging(verbose)
    context.obj = quiet


def _split(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> list[str] | None:
    """Take an option that may be repeated or hold several names between commas."""
    return [name.strip() for part in value for name in part.split(",") if name.strip()] or None


def _named(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, str] | None:
    """Take NAME=PATH, repeated."""
    pairs = [part.partition("=") for part in value]
    if wrong := [name for name, equals, path in pairs if not (name and equals and path)]:
        raise click.BadParameter(f"give NAME=PATH, not {wrong[0]!r}")
    return {name: path for name, _, path in pairs} or None


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what a command runs on."""
    options = (
        click.option(
            "--scheduler",
            default="threads",
            show_default=True,
            metavar="ADDRESS|threads|processes|sync",
            help="What to run on: this process's threads, processes of this machine, or a running Dask scheduler "
            "such as tcp://host:8786.",
        ),
        click.option("--workers", type=click.IntRange(1), help="Threads or processes; one for each core."),
        click.option("--threads-per-worker", type=click.IntRange(1), help="Threads of each process; 1."),
        click.option("--dashboard", metavar="ADDRESS", help="Dask's dashboard, such as :8787 (processes)."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@cli.command()
@click.argument("source", type=click.Path())
@click.argument("store", type=click.Path())
@click.option("--models", multiple=True, callback=_split, metavar="NAME,…", help="Only these models.")
@click.option("--model", "placed", multiple=True, callback=_named, metavar="NAME=PATH",
              help="A model and its folder or file, for layouts that are not found; may be repeated.")  # fmt: skip
@click.option("--glob", metavar="PATTERN", help="Only files whose path below SOURCE matches.")
@click.option("--stacked", metavar="PATTERN", help="Which .npy files are stacks (image, H, W). [batch_maps*.npy]")
@click.option("--names", metavar="FILE", type=click.Path(),
              help="Names of a stack's images: one a line, or a csv file's first column.")  # fmt: skip
@click.option("--rename", metavar="FILE", type=click.Path(), help="Two-column csv: an image's name, its new name.")
@click.option("--strip-suffix", multiple=True, metavar="TEXT",
              help="An ending to remove from images' names, such as _gradcam; may be repeated.")  # fmt: skip
@click.option("--size", metavar="HxW", help="Resize all maps, such as 224x224.")
@click.option("--channel", metavar="mean|max|abs-max|INDEX", help="What to make of channels.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option("--append", is_flag=True, help="Add models or images to STORE.")
@click.option("--overwrite", is_flag=True, help="Replace STORE.")
@cluster_options
@json_option
@click.pass_obj
def convert(
    quiet: bool,
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
    **options: Any,
) -> None:
    """Batch every model's maps of SOURCE into one STORE.

    SOURCE is a folder with one folder per model; the maps may lie anywhere below: one .npy file per image, or
    one batch_maps.npy per model, and other formats (see the README). Images are joined by their names. A run
    that was interrupted goes on with the same command.
    """
    from dataclasses import asdict

    from salzarr import cluster
    from salzarr import convert as run_convert
    from salzarr.plan import duration, size

    if models and placed:
        raise UsageError("--models selects among the models that are found, --model names all there are; give one")
    given = {name: value for name, value in options.items() if value is not None}
    if channel is not None:
        given["channel"] = int(channel) if channel.lstrip("-").isdigit() else channel
    with (
        cluster.connect(
            scheduler, workers=workers, threads_per_worker=threads_per_worker, dashboard=dashboard
        ),
        progress("Converting", quiet) as bar,
    ):
        report = run_convert(source, store, models=placed or models, progress=bar, **given)
    if as_json:
        show_json(asdict(report))
        return
    for text in report.notices:
        notice(f"Note: {text}")
    show_table(
        ["model", "missing", "only here"],
        [(name, report.missing.get(name, 0), report.extra.get(name, 0)) for name in report.models],
        title=f"{report.store}: {len(report.models)} models x {report.images} images of "
        f"{report.shape[0]} x {report.shape[1]}",
    )
    print(
        f"{report.written} maps written ({size(report.bytes)}), {report.resized} resized, {report.degenerate} degenerate "
        f"({report.non_finite} non-finite, {report.constant} constant), in {duration(report.seconds)}"
    )


@cli.command()
@click.argument("store", type=click.Path())
@json_option
def info(store: str, as_json: bool) -> None:
    """Tell what is in a maps STORE: models, images, sizes, chunks, degenerate maps, provenance."""
    from salzarr import info as read_info

    facts = read_info(store)
    if as_json:
        show_json(facts)
        return
    per_model = facts.pop("per_model")
    show_table(["what", ""], [(name, _flat(value)) for name, value in facts.items()])
    show_table(["model", *next(iter(per_model.values()), {})], [(m, *row.values()) for m, row in per_model.items()])


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_flat(v)}" for k, v in value.items())
    return ", ".join(map(_flat, value)) if isinstance(value, list | tuple) else str(value)


@cli.command()
@click.argument("store", type=click.Path())
@click.argument("results", type=click.Path())
@click.option("--metrics", default="mse,cosine,pearson,ssim,emd", show_default=True, metavar="SPEC,…",
              help="Such as ssim:window=11,emd:normalize=abs; 'salzarr metrics' lists them; module:function is "
              "your own.")  # fmt: skip
@click.option("--models", multiple=True, callback=_split, metavar="NAME,…", help="Only these models.")
@click.option("--images", multiple=True, metavar="NAME,…|N|FILE",
              help="Only these images; the first N; or those listed in a file, one a line.")  # fmt: skip
@click.option("--reference", metavar="MODEL", help="Compare every model with this one only.")
@click.option("--normalize", default="none", show_default=True, metavar="CHAIN",
              help="Of each map before it is scored: none, minmax, max, sum, zscore, abs, positive, or a chain "
              "such as abs+sum.")  # fmt: skip
@click.option("--data-range", type=float, help="The range of the data, for SSIM; found by itself if left out.")
@click.option("--complete-cases", is_flag=True, help="Only images that every model has a usable map of.")
@click.option("--scores", metavar="URL|none", help="Keep the scores elsewhere than in RESULTS, or not at all.")
@click.option("--memory", metavar="SIZE", help="What the run may take, such as 512MiB; half of what is free.")
@click.option("--dry-run", is_flag=True, help="Print what it would read, compute, write and need; run nothing.")
@click.option("--overwrite", is_flag=True, help="Forget what is in RESULTS and begin anew.")
@click.option("--allow-incomplete", is_flag=True, help="Compare a store that has not been converted to its end.")
@click.option("--bootstrap", type=click.IntRange(0), default=2000, show_default=True,
              help="Resamples of the images for the intervals; 0 for none.")  # fmt: skip
@click.option("--groups", type=click.Path(), metavar="CSV", help="Two columns, image and label: statistics per label.")
@click.option("--baseline", is_flag=True, help="Also compare mismatched images: what chance and a shared centre give.")
@click.option("--photos", type=click.Path(), metavar="DIR", help="The photographs, for the report.")
@click.option("--no-report", is_flag=True, help="Scores and summary.csv only: no pictures, no report.")
@cluster_options
@json_option
@click.pass_obj
def compare(
    quiet: bool,
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
    **options: Any,
) -> None:
    """Score every pair of models of STORE, image by image, into the folder RESULTS.

    Writes scores.zarr block by block, then summary.csv, one matrix picture per metric and report.html. A run
    that was interrupted goes on with the same command; models, images or metrics added since cost only what is new.
    """
    from salzarr import cluster, results as outcome
    from salzarr import compare as run_compare
    from salzarr import plan_comparison

    options["images"] = _images(images)
    with cluster.connect(
        scheduler, workers=workers, threads_per_worker=threads_per_worker, dashboard=dashboard
    ):
        if dry_run:
            plan = plan_comparison(store, out=results, **options)
            show_json(plan.to_dict()) if as_json else print(plan)
            return
        with progress("Comparing", quiet) as bar:
            scores = run_compare(store, out=results, progress=bar, **options)
        written = outcome.write_results(
            results,
            scores=scores,
            bootstrap=bootstrap,
            groups=groups,
            baseline=baseline,
            photos=photos,
            pictures=not no_report,
        )
    _show_results(written, as_json)


def _images(given: tuple[str, ...]) -> Any:
    """Read --images: a number, a file of names, or names."""
    import os

    if not given:
        return None
    if len(given) == 1 and given[0].isdigit():
        return int(given[0])
    names: list[str] = []
    for part in given:
        if os.path.isfile(part):
            with open(part, encoding="utf-8") as lines:
                names += [line.strip() for line in lines if line.strip()]
        else:
            names += [name.strip() for name in part.split(",") if name.strip()]
    return names


def _show_results(written: Any, as_json: bool) -> None:
    """Print a summary and say where everything is."""
    frame = written.frame
    if as_json:
        show_json({"summary": frame.to_dict("records"), "files": written.files})
        return
    shown = [c for c in ("group", "metric", "model_a", "model_b", "n", "mean", "mean_low", "mean_high", "std", "median")
             if c in frame]  # fmt: skip
    rows = frame[shown].head(MOST_ROWS).astype(object).values.tolist()
    show_table(shown, rows)
    if len(frame) > MOST_ROWS:
        print(f"… and {len(frame) - MOST_ROWS} more rows in summary.csv")
    for path in written.files:
        print(path)


MOST_ROWS = 60
"""Rows of a summary that a terminal is shown."""


@cli.command()
@click.argument("results", type=click.Path())
@click.option("--bootstrap", type=click.IntRange(0), default=2000, show_default=True, help="Resamples; 0 for none.")
@click.option("--groups", type=click.Path(), metavar="CSV", help="Two columns, image and label.")
@click.option("--baseline", is_flag=True, help="Also compare mismatched images.")
@click.option("--photos", type=click.Path(), metavar="DIR", help="The photographs, for the report.")
@json_option
def report(
    results: str, bootstrap: int, groups: str | None, baseline: bool, photos: str | None, as_json: bool
) -> None:
    """Write summary.csv, the pictures and report.html of RESULTS anew, from the scores that are there."""
    from salzarr.results import write_results

    written = write_results(results, bootstrap=bootstrap, groups=groups, baseline=baseline, photos=photos)
    _show_results(written, as_json)


@cli.command()
@json_option
def metrics(as_json: bool) -> None:
    """List the metrics, with their definitions, directions and costs."""
    from salzarr.metrics import describe

    if as_json:
        show_json(describe())
        return
    show_table(
        ["metric", "more is", "cost", "definition", "parameters"],
        [
            (
                m["name"],
                "alike" if m["kind"] == "similarity" else "different",
                m["cost"],
                m["definition"],
                " ".join(f"{k}={'auto' if v is None else v}" for k, v in m["parameters"].items()),
            )
            for m in describe()
        ],
    )


@cli.command()
@click.argument("target", type=click.Path())
@click.argument("kind")
@click.option("--metric", metavar="SPEC", help="Of which metric; all if left out.")
@click.option("--output", "-o", type=click.Path(), help="Where to; its ending says the format. [TARGET/KIND.png]")
@click.option("--photos", type=click.Path(), metavar="DIR", help="The photographs, for pictures that show maps.")
def plot(target: str, kind: str, metric: str | None, output: str | None, photos: str | None) -> None:
    """Draw one KIND of picture of a results folder, or 'maps' of a maps store."""
    from salzarr.results import draw

    for path in draw(target, kind, metric=metric, output=output, photos=photos):
        print(path)


@cli.command()
@click.argument("store", type=click.Path())
@click.option("--source", type=click.Path(), help="Compare with the inputs, too.")
@json_option
@click.pass_obj
def verify(quiet: bool, store: str, source: str | None, as_json: bool) -> None:
    """Read all of a maps STORE and list every chunk that is missing, torn or flipped."""
    from dataclasses import asdict

    from salzarr import verify as run_verify
    from salzarr.errors import CorruptError

    with progress("Verifying", quiet) as bar:
        problems = run_verify(store, source=source, progress=bar)
    if as_json:
        show_json([asdict(problem) for problem in problems])
    else:
        for problem in problems:
            print(problem)
    if problems:
        raise CorruptError(
            f"{store} has {len(problems)} faults; run salzarr convert with --overwrite, or restore a backup"
        )
    if not as_json:
        print(f"{store}: every chunk is there and intact")


@cli.command()
@click.argument("store", type=click.Path())
@click.argument("folder", type=click.Path())
@click.option("--stacked", is_flag=True, help="One batch_maps.npy per model and its names, not a file per image.")
@click.option("--models", multiple=True, callback=_split, metavar="NAME,…", help="Only these models.")
@click.pass_obj
def export(quiet: bool, store: str, folder: str, stacked: bool, models: list[str] | None) -> None:
    """Write the maps of STORE back to .npy files in FOLDER, bit for bit."""
    from salzarr import export as run_export

    with progress("Exporting", quiet) as bar:
        run_export(store, folder, stacked=stacked, models=models, progress=bar)
    print(folder)


@cli.command()
@click.argument("stores", type=click.Path(), nargs=-1, required=True)
@click.argument("target", type=click.Path())
@click.pass_obj
def merge(quiet: bool, stores: tuple[str, ...], target: str) -> None:
    """Join the models and images of several STORES into a new store TARGET."""
    from salzarr import merge as run_merge

    with progress("Merging", quiet) as bar:
        run_merge(list(stores), target, progress=bar)
    print(target)


@cli.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a SHELL: eval "$(salzarr completion bash)"."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    print(found(cli, {}, "salzarr", "_SALZARR_COMPLETE").source())
