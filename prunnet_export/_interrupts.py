"""Ctrl-C in processes that are started with multiprocessing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def block_interrupts() -> Iterator[None]:
    """Block Ctrl-C here and in the processes that are started here. This process ends them.

    A terminal sends Ctrl-C to all processes, and a worker that is still importing torch would print its traceback.
    """
    # This unblocks Ctrl-C, and the first worker would call it, so it is called before the block.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
