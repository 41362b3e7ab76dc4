"""Ctrl-C and SIGTERM, while something must not be interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from prunnet_export._system import WINDOWS


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
