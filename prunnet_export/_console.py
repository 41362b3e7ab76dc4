"""The output of the commands, their error lines and their exit codes.

The result goes to stdout. Progress, warnings and errors go to stderr. Progress is shown only on a terminal.
Modules log to ``logging.getLogger(__name__)``: an INFO record is shown as progress, a WARNING as a warning line.
rich reads ``NO_COLOR``. No progress is shown if ``CI`` is set.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from prunnet_export._ending import run_command
from prunnet_export._errors import (
    Interrupted,
    MissingExtra,
    PrunnetError,
    StorageError,
    Unreachable,
    UsageError,
    is_out_of_memory,
)
from prunnet_export._interrupts import raise_interrupts, was_interrupted
from prunnet_export._start import stop_at_once
from prunnet_export._streams import discard, escape_the_rest, open_missing_streams
from prunnet_export._text import printable

# Gets the name of the command, the message, the hint and the exit code.
ReportError = Callable[[str, str, str, int], None]

EXIT_INTERRUPTED = 130
EXIT_BUG = 70
_LINKS_IN_A_CIRCLE = "Symlink loop from "  # how Path.resolve() begins its RuntimeError before Python 3.13


class _StderrConsole(Console):
    """A console whose closed pipe is an error as any other. rich would redirect stdout, and end the process."""

    def on_broken_pipe(self) -> None:
        """Called where the error is handled."""
        raise  # noqa: PLE0704  # rich calls this in its handler of the error


def stderr_console() -> Console:
    """A console on stderr. Each use makes a new one, so that it follows a redirected stderr."""
    return _StderrConsole(stderr=True, highlight=False, soft_wrap=True)


def warn(message: str) -> None:
    """Print one warning line on stderr."""
    _print_lines(f"[yellow]warning:[/yellow] {_one_safe_line(message)}")


def note(message: str) -> None:
    """Print one line of progress on stderr, if that is a terminal."""
    if _shows_progress():
        _print_lines(f"[dim]{_one_safe_line(message)}[/dim]")


class _StderrHandler(logging.Handler):
    """Prints log records on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        (warn if record.levelno >= logging.WARNING else note)(record.getMessage())


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Until the end of the block, print the log records of this package, but not those of other packages."""
    logger, handler = logging.getLogger("prunnet_export"), _StderrHandler()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # if a library sets up the root logger, every line would appear twice
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on stderr if that is a terminal. Call it with the steps done, all steps, and a text."""
    if not _shows_progress():
        yield lambda _done, _total, _text: None
        return
    columns = (
        TextColumn(description),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=stderr_console(), transient=True) as bar:
        task = bar.add_task("", total=None, text="")
        yield lambda done, total, text: bar.update(task, completed=done, total=total, text=text)


def run(command: click.Command, *, name: str, extra: str, report: ReportError | None = None) -> NoReturn:
    """Run a command and exit with its documented exit code.

    An error is shown as one ``error:`` line and, if it has a hint, one ``hint:`` line; ``--debug`` adds the traceback.

    Args:
        command: The command.
        name: Its name, for messages.
        extra: The extra that installs the modules which this command imports and a base install lacks.
        report: Prints an error on stdout, for programs.
    """
    try:
        raise_interrupts()
        open_missing_streams()
        escape_the_rest()
        with log_to_stderr():
            result = run_command(command, name=name)
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):
        # The reader of stdout closed it, e.g. `| head`. click exits with 1 then, but 1 means a failed gate here.
        discard(sys.stdout)
        code = 0
    except BaseException as error:  # noqa: BLE001  # no error may show a traceback without --debug
        stop_at_once()  # a second Ctrl-C
        if "--debug" in sys.argv[1:]:
            _print_traceback()
        message, hint, code = describe_error(error, name, extra)
        fail_line(message, hint)
        if report is not None:
            _print_report(lambda: report(name, message, hint, code))
        if isinstance(error, OSError):  # stdout may be the cause
            discard(sys.stdout)
    stop_at_once()  # while Python ends, a Ctrl-C would show a traceback
    sys.exit(code)


def _print_report(report: Callable[[], None]) -> None:
    """Print the report of an error, unless stdout is closed or full."""
    try:
        report()
        sys.stdout.flush()
    except OSError:
        discard(sys.stdout)


def _print_traceback() -> None:
    with suppress(OSError):  # stderr may be closed or full
        traceback.print_exc()


def describe_error(error: BaseException, name: str, extra: str) -> tuple[str, str, int]:
    """The message, the hint and the exit code of an error.

    Args:
        error: The error.
        name: Name of the command, for messages.
        extra: The extra that installs the modules which the command imports and a base install lacks.
    """
    if was_interrupted() and not isinstance(error, Interrupted):
        error = KeyboardInterrupt()  # other code made its own error of it, e.g. an engine that was being imported
    if isinstance(error, RuntimeError) and str(error).startswith(_LINKS_IN_A_CIRCLE):
        error = OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(error).removeprefix(_LINKS_IN_A_CIRCLE).strip("'"))
    if isinstance(error, ModuleNotFoundError):
        error = MissingExtra(error.name or "a module", extra)
    if isinstance(error, PrunnetError):
        return error.message, error.hint, error.exit_code
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else name
        return error.format_message(), f"{command} --help lists the options", UsageError.exit_code
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "interrupted", "no half-written file is left; run the same command again", EXIT_INTERRUPTED
    if isinstance(error, OSError):
        file = error.filename or "a file or the output"
        hint = "check the disk, the path and its permissions"
        return f"cannot use {file}: {error.strerror or error}", hint, StorageError.exit_code
    line = (str(error).splitlines() or [""])[0]
    if is_out_of_memory(error):
        return "memory ran out", "close other programs, or use a smaller batch or image", Unreachable.exit_code
    hint = "this is a bug; run again with --debug and report the traceback"
    return f"internal error: {type(error).__name__}: {line}", hint, EXIT_BUG


@contextmanager
def script_errors() -> Iterator[None]:
    """Show an error of ours as its line and hint, and end the process with its exit code."""
    try:
        yield
    except PrunnetError as error:
        fail_line(error.message, error.hint)
        raise SystemExit(error.exit_code) from None


def fail_line(message: str, hint: str) -> None:
    """Print one ``error:`` line and one ``hint:`` line on stderr. It never raises an error."""
    _print_lines(
        f"[red]error:[/red] {_one_safe_line(message)}",
        *([f"[cyan]hint:[/cyan] {_one_safe_line(hint)}"] if hint else []),
    )


def _print_lines(*lines: str) -> None:
    """Print lines on stderr, unless it is closed or full. The exit code still says how the command ended."""
    try:
        console = stderr_console()
        for line in lines:
            console.print(line)
    except (OSError, ValueError):
        discard(sys.stderr)


def _one_safe_line(message: str) -> str:
    from rich.markup import escape

    return escape(printable(" ".join(message.split())))


def _shows_progress() -> bool:
    return sys.stderr.isatty() and not os.environ.get("CI")
