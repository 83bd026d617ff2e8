"""The command line: one command is one library call.

Results go to stdout, progress and notices to stderr. Exit codes: 0 done, 1 failed, 2 usage, 3 incomplete or
corrupt data, 130 interrupted. Heavy imports stand inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from contextlib import suppress
from typing import Any

import click

from salzarr._version import __version__
from salzarr.cli import result_commands, store_commands
from salzarr.cli.terminal import configure_logging, notice, readable
from salzarr.errors import (
    SalzarrError,
    UsageError,
    command_line,
    damaged,
    environment_error,
    redacted,
    unreachable,
)
from salzarr.invocation import typed_command

INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its code."""
    _settle_environment()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a terminal cannot show is escaped, as on stderr: it must not cost a run that is done.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _reader_left()
    except OSError as error:
        notice(f"Error: the output cannot be written: {error.strerror}")
        code = _reader_left()
    if "obstore" in sys.modules:
        # Its threads may still be at what a run gave up, and take an interpreter that ends down with them.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # its reader has left, or it is closed
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _settle_environment() -> None:
    """Undo what a user's environment does to a command that has no use for it."""
    while (file := os.open(os.devnull, os.O_RDWR)) <= 2:  # or a store's file takes a closed stream's place
        os.set_inheritable(file, True)
    os.close(file)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - open until the end
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    os.environ["MPLBACKEND"] = "agg"  # pictures are files: a screen's backend may not be there, or not exist
    if any(action == "error" for action, *_ in warnings.filters):
        os.environ.pop("PYTHONWARNINGS", None)  # of workers, too
        warnings.resetwarnings()
        for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)


def _reader_left() -> int:
    """Let nothing more be written to stdout, whose reader has left; return the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def run(arguments: list[str]) -> int:
    """Run one command; a mistake of the user is one sentence on stderr, never a traceback."""
    with command_line(), typed_command(arguments):
        return _run(arguments)


def _run(arguments: list[str]) -> int:
    """Run one command."""
    try:
        cli.main(arguments, prog_name="salzarr", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.UsageError as error:
        click.UsageError(readable(redacted(error.format_message())), error.ctx).show()
        return UsageError.exit_code
    except (click.Abort, KeyboardInterrupt):
        notice("Interrupted; the same command resumes.")
        return INTERRUPTED
    except SalzarrError as error:
        notice(f"Error: {error}")
        return error.exit_code
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        if said := environment_error(error):
            notice(f"Error: {said}")
            return 1
        where = f" {error.filename}" if error.filename else ""
        notice(f"Error:{where}: {error.strerror or error}; fix that and give the same command again")
        return 1
    except Exception as error:
        # Scores are read late, and their endpoint or disk may fail then.
        found = unreachable(error) or damaged(error, "a store of scores")
        if said := environment_error(error):
            notice(f"Error: {said}")
            return 1
        if isinstance(error, MemoryError):
            notice("Error: there is not enough memory; give a smaller --memory, or a larger machine")
            return 1
        if found is None:
            raise
        notice(f"Error: {found}")
        return found.exit_code
    return 0


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="salzarr")
@click.option("-v", "--verbose", count=True, help="Show every detail.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no notes; only warnings.")
@click.pass_context
def cli(context: click.Context, verbose: int, quiet: bool) -> None:
    """Compare the saliency maps of many models.

    \b
    salzarr convert Models/ maps.zarr      batch the maps into one labelled store
    salzarr compare maps.zarr results/     score every pair of models; matrices and a report

    'salzarr COMMAND --help' explains a command. Exit codes: 0 done, 1 failed, 2 usage, 3 incomplete or
    corrupt data, 130 interrupted.
    """  # noqa: D301 - click takes the character itself
    configure_logging(verbose, quiet)
    warnings.showwarning = _show_warning
    context.obj = quiet


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning as people read it, without the line of code that gave it."""
    notice(f"Warning: {message}")


@cli.command(short_help="Print the completion script of your shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of your shell.

    \b
    bash, zsh   eval "$(salzarr completion bash)"            in ~/.bashrc or ~/.zshrc
    fish        salzarr completion fish | source             in ~/.config/fish/config.fish
    """  # noqa: D301 - click takes the character itself
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "salzarr", "_SALZARR_COMPLETE").source())


for command in (
    store_commands.convert,
    result_commands.compare,
    result_commands.report,
    result_commands.plot,
    result_commands.metrics,
    result_commands.tables,
    store_commands.info,
    store_commands.verify,
):
    cli.add_command(command)
