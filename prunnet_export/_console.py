"""What the commands print, where, and how they end.

The result goes to stdout; progress, warnings and errors go to stderr. Progress is shown on a terminal alone.
Rooms say what they do through ``logging.getLogger(__name__)``: information is progress, a warning is a warning line.
``NO_COLOR`` is honoured by rich; under ``CI`` nothing is animated.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from prunnet_export._errors import MissingExtra, PrunnetError, StorageError, Unreachable, UsageError, is_out_of_memory
from prunnet_export._text import printable

EXIT_INTERRUPTED = 130
EXIT_BUG = 70


def stderr_console() -> Console:
    """A console on stderr, made at use so that redirections are seen."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def warn(message: str) -> None:
    """One warning line on stderr."""
    stderr_console().print(f"[yellow]warning:[/yellow] {_plain(message)}")


def note(message: str) -> None:
    """One line of progress on stderr, if that is a terminal."""
    if _animated():
        stderr_console().print(f"[dim]{_plain(message)}[/dim]")


class _StderrHandler(logging.Handler):
    """Shows what this package logs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record."""
        (warn if record.levelno >= logging.WARNING else note)(record.getMessage())


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Show what this package logs, and nothing of other packages, until the end of the block."""
    logger, handler = logging.getLogger("prunnet_export"), _StderrHandler()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # a library that sets up the root logger would show every line twice
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on stderr, where that is a terminal; call it with what is done, how much there is, and a text."""
    if not _animated():
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


def run(command: click.Command, *, name: str, extra: str) -> NoReturn:
    """Run a command line to its end and exit with the documented code.

    A :class:`PrunnetError` is one ``error:`` line and one ``hint:`` line. Anything else is a bug of ours: one
    line too, and the traceback with ``--debug``.

    Args:
        command: What to run.
        name: What it is called.
        extra: The extra that brings what this command imports and a base install lacks.
    """
    _catch_signals()
    debug = "--debug" in sys.argv[1:]
    try:
        with log_to_stderr():
            result = command.main(prog_name=name, standalone_mode=False)
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):
        # The reader of stdout went away, e.g. `| head`; click makes that a SystemExit(1), which is a failed gate here.
        _close_stdout()
        code = 0
    except BaseException as error:  # noqa: BLE001  # the last line of defence: no traceback without --debug
        if debug:
            traceback.print_exc()
        message, hint, code = _told(error, name, extra)
        fail_line(message, hint)
        if isinstance(error, OSError):  # which stdout may be the cause of
            _close_stdout()
    sys.exit(code)


def _told(error: BaseException, name: str, extra: str) -> tuple[str, str, int]:
    """What an error is called, what helps, and the exit code."""
    if isinstance(error, ModuleNotFoundError):
        error = MissingExtra(error.name or "a module", extra)
    if isinstance(error, PrunnetError):
        return error.message, error.hint, error.exit_code
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else name
        return error.format_message(), f"{command} --help lists the options", UsageError.exit_code
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "interrupted", "nothing half-written was left behind; run the same command again", EXIT_INTERRUPTED
    if isinstance(error, OSError):
        where = error.filename or "a file or the output"
        hint = "check the disk, the path and its permissions"
        return f"cannot use {where}: {error.strerror or error}", hint, StorageError.exit_code
    line = (str(error).splitlines() or [""])[0]
    if is_out_of_memory(error):
        return (
            "memory ran out",
            "close other programs, or ask for less: a smaller batch or image",
            Unreachable.exit_code,
        )
    hint = "this is a bug; run again with --debug and report the traceback"
    return f"internal error: {type(error).__name__}: {line}", hint, EXIT_BUG


def _close_stdout() -> None:
    """Keep the interpreter from complaining at exit of what it could not write."""
    with suppress(io.UnsupportedOperation):  # a process that is to be silent prints into memory
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _catch_signals() -> None:
    """A request to stop, and a terminal that goes away, end like Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # which nohup sets
        signal.signal(signal.SIGHUP, _interrupt)


def fail_line(message: str, hint: str) -> None:
    """One ``error:`` line and one ``hint:`` line on stderr."""
    console = stderr_console()
    console.print(f"[red]error:[/red] {_plain(message)}")
    if hint:
        console.print(f"[cyan]hint:[/cyan] {_plain(hint)}")


def _plain(message: str) -> str:
    from rich.markup import escape

    return escape(printable(" ".join(message.split())))


def _animated() -> bool:
    return sys.stderr.isatty() and not os.environ.get("CI")


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
