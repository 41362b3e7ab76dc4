"""Ctrl-C and SIGTERM: they end a command, but not while something must not be interrupted."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from prunnet_export._system import WINDOWS

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_SECONDS_UNTIL_AGAIN = 0.05
_came: list[signal.Signals] = []  # the signals that interrupted this command


def raise_interrupts() -> None:
    """Raise KeyboardInterrupt at Ctrl-C, at a request to stop, and if the terminal closes.

    Python cannot raise in a destructor: it would print a traceback, and the command would go on. So the signal is sent
    again until it comes at another moment.
    """
    _came.clear()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # not every system has all of them
        # A shell ignores SIGINT for a command in the background, and nohup ignores SIGHUP.
        if number is not None and (name == "SIGTERM" or signal.getsignal(number) is not signal.SIG_IGN):
            signal.signal(number, _interrupt)
    sys.unraisablehook = _send_again_or(sys.unraisablehook)


def was_interrupted() -> bool:
    """Whether such a signal came. Other code may have made another error of it, or lost it."""
    return bool(_came)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    _came.append(signal.Signals(number))
    raise KeyboardInterrupt


def _send_again_or(report: Callable[[UnraisableHookArgs], object]) -> Callable[[UnraisableHookArgs], None]:
    """A ``sys.unraisablehook`` that sends a lost interrupt again, and calls ``report`` for other exceptions."""

    def handle(lost: UnraisableHookArgs) -> None:
        if _came and issubclass(lost.exc_type, KeyboardInterrupt):
            timer = threading.Timer(_SECONDS_UNTIL_AGAIN, _send_to_this_process, [_came[-1]])
            timer.daemon = True
            with suppress(RuntimeError):  # Python is ending already
                timer.start()
        else:
            report(lost)

    return handle


def _send_to_this_process(number: signal.Signals) -> None:
    if WINDOWS:  # os.kill would end the process at once there
        _thread.interrupt_main(number)
    else:
        os.kill(os.getpid(), number)  # unlike interrupt_main this also ends a system call that waits


@contextmanager
def block_interrupts() -> Iterator[None]:
    """Block Ctrl-C here and in the processes that are started here. This process ends them.

    A terminal sends Ctrl-C to all processes, and a worker that is still importing torch would print its traceback.
    """
    if WINDOWS:  # it blocks no signals
        yield
        return
    from multiprocessing import resource_tracker  # slow to import, and every command imports this file

    # This unblocks Ctrl-C, and the first worker would call it, so it is called before the block.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def postponed_interrupts() -> Iterator[None]:
    """Until the end of the block, keep Ctrl-C and SIGTERM waiting. Then the first one that came takes effect.

    Python handles signals in the main thread alone, so nothing is done in other threads.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def keep(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, keep)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: it was not set by Python
        if came:
            signal.raise_signal(came[0])
