"""Child processes that do not outlive this one, even if it is killed.

A child gets the reading end of a pipe. Nothing is written to it: its end means that the parent has ended. The kernel of
Linux also kills the child, because a thread does not run while an engine holds the interpreter's lock.

A child runs ``python -m prunnet_export._child DESCRIPTOR MODULE ARGUMENT...``, which runs the module as a script.
"""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import os
import runpy
import signal
import sys
from contextlib import suppress
from functools import cache
from threading import Thread
from typing import Any

_PR_SET_PDEATHSIG = 1


@cache
def parent_pipe() -> int:
    """The reading end of a pipe whose other end this process keeps; a child inherits it (``pass_fds``)."""
    reading, _kept = os.pipe()
    return reading


def child_command(module: str, *arguments: str) -> list[str]:
    """The command line of a child that runs a module as a script. It must inherit :func:`parent_pipe`."""
    return [sys.executable, "-m", __name__, str(parent_pipe()), module, *arguments]


def call_in_child(module: str, function: str, *arguments: Any) -> None:
    """Call a function in a process of ``multiprocessing``. The module may take seconds to import."""
    end_with_multiprocessing_parent()
    getattr(importlib.import_module(module), function)(*arguments)


def end_with_multiprocessing_parent(*_: Any) -> None:
    """End this process when the one that started it by ``multiprocessing`` ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        _end_with_parent(os.dup(parent.sentinel))


def _end_with_parent(descriptor: int) -> None:
    with suppress(AttributeError, OSError):  # other systems than Linux do not have it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    Thread(target=_end_at_end_of, args=(descriptor,), daemon=True).start()


def _end_at_end_of(descriptor: int) -> None:
    with suppress(OSError):
        while os.read(descriptor, 1):
            pass
    os._exit(1)


def main() -> None:
    """Run a module as a script, and end when the parent does."""
    _, descriptor, *sys.argv = sys.argv
    _end_with_parent(int(descriptor))
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
