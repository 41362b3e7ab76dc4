"""The entry points of the commands. From here on Ctrl-C ends them in one line, also during the imports that follow.

This module imports only what every Python process has loaded already.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

_INTERRUPTED = 130


def export() -> None:
    """``prunnet-export``."""
    stop_at_once()
    from prunnet_export.cli import main

    main()


def train() -> None:
    """``prunnet-train``."""
    stop_at_once()
    from prunnet_export.training.cli import main

    main()


def bench() -> None:
    """``prunnet-bench``."""
    stop_at_once()
    from prunnet_export.benchmarks.cli import main

    main()


def stop_at_once() -> None:
    """Until other handlers are set, end the process at Ctrl-C, at a request to stop, and if the terminal closes."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # not every system has all of them
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and a shell's `&` set it
            signal.signal(number, _stop)


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    # An exception would become a traceback, or be lost in an import.
    if os.environ.get("RANK", "0") in {"", "0"}:  # of several training processes only the first prints
        try:  # noqa: SIM105  # nothing is imported in a handler
            os.write(2, b"error: interrupted\nhint: run the same command again\n")
        except OSError:  # stderr is closed or full
            pass
    os._exit(_INTERRUPTED)
