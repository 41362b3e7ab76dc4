"""Child processes that do not outlive this one, even if it is killed.

A child gets the reading end of a pipe. Nothing is written to it: its end means that the parent has ended. The kernel of
Linux also kills the child, because a thread does not run while an engine holds the interpreter's lock. On Windows no
descriptor is passed. There a child gets the number of its parent's process, and waits for the end of this process.

A child runs ``python -m prunnet_export._child NUMBER MODULE ARGUMENT...``, which runs the module as a script. NUMBER is
that of the descriptor, or of the process.
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

from prunnet_export._system import WINDOWS

_PR_SET_PDEATHSIG = 1
_SYNCHRONIZE = 0x00100000  # the right to wait for a process, in Windows
_FOR_EVER = 0xFFFFFFFF


@cache
def _parent_pipe() -> int:
    """The reading end of a pipe whose other end this process keeps."""
    reading, _kept = os.pipe()
    return reading


def child_command(module: str, *arguments: str) -> list[str]:
    """The command line of a child that runs a module as a script. It must inherit :func:`inherited`."""
    number = os.getpid() if WINDOWS else _parent_pipe()
    return [sys.executable, "-m", __name__, str(number), module, *arguments]


def inherited() -> list[int]:
    """The descriptors that a child has to inherit, for ``pass_fds`` of :mod:`subprocess`."""
    return [] if WINDOWS else [_parent_pipe()]


def call_in_child(module: str, function: str, *arguments: Any) -> None:
    """Call a function in a process of ``multiprocessing``. The module may take seconds to import."""
    end_with_multiprocessing_parent()
    getattr(importlib.import_module(module), function)(*arguments)


def end_with_multiprocessing_parent(*_: Any) -> None:
    """End this process when the one that started it by ``multiprocessing`` ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        _end_with_parent(parent.sentinel if WINDOWS else os.dup(parent.sentinel))


def _end_with_parent(number: int) -> None:
    """End this process when the parent ends.

    Args:
        number: The descriptor of the pipe, or a handle of the parent's process on Windows.
    """
    with suppress(AttributeError, OSError, TypeError):  # other systems than Linux do not have it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    Thread(target=_end_after_process if WINDOWS else _end_at_end_of, args=(number,), daemon=True).start()


def _end_at_end_of(descriptor: int) -> None:
    with suppress(OSError):
        while os.read(descriptor, 1):
            pass
    os._exit(1)


def _end_after_process(handle: int) -> None:
    if _kernel().WaitForSingleObject(ctypes.c_void_p(handle), _FOR_EVER) == 0:
        os._exit(1)


def _process_handle(number: int) -> int | None:
    """A handle of a process, by which its end can be waited for; None if there is no such process or no Windows."""
    try:
        open_process = _kernel().OpenProcess
    except (AttributeError, OSError):
        return None
    open_process.restype = ctypes.c_void_p
    handle: int | None = open_process(_SYNCHRONIZE, False, number)
    return handle


def _kernel() -> ctypes.CDLL:
    return ctypes.CDLL("kernel32")


def main() -> None:
    """Run a module as a script, and end when the parent does."""
    _, number, *sys.argv = sys.argv
    handle = _process_handle(int(number)) if WINDOWS else int(number)
    if handle is not None:
        _end_with_parent(handle)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
