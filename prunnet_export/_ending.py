"""How a command ended: the reader of its output went away, or something in it tried to end the program."""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress

import click


class EndedByCodeError(RuntimeError):
    """Some code called ``sys.exit()`` in the middle of a command."""


def run_command(command: click.Command, *, name: str) -> object:
    """Run a command, and return what it returns.

    Raises:
        SystemExit: the reader of stdout went away, e.g. ``| head``.
        EndedByCodeError: some code tried to end the program, or did not handle that another pipe than stdout closed.
        EOFError: a command waited for input that never came.
    """
    output = _Output()
    try:
        return command.main(prog_name=name, standalone_mode=False)
    except SystemExit as error:  # click and rich turn a broken pipe into it
        if output.reader_is_gone():
            raise
        raise EndedByCodeError(f"something ended the program with the code {error.code}") from error
    except click.Abort as error:
        if isinstance(error.__cause__, EOFError):  # click takes it for a Ctrl-D at a question, and asks none here
            raise error.__cause__ from None
        raise
    finally:
        output.close()


class _Output:
    """A second handle of stdout. The first one is redirected when its reader goes away."""

    def __init__(self) -> None:
        self._handle: int | None = None
        with suppress(OSError, ValueError, AttributeError, io.UnsupportedOperation):  # closed, or a buffer in memory
            self._handle = os.dup(sys.stdout.fileno())

    def reader_is_gone(self) -> bool:
        """Whether nobody can read any more what is written to stdout."""
        if self._handle is None or not hasattr(select, "poll"):
            return True
        poll = select.poll()
        poll.register(self._handle, 0)  # errors are reported in any case
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))

    def close(self) -> None:
        """Close the handle."""
        if self._handle is not None:
            os.close(self._handle)
