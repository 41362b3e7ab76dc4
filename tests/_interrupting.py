"""Ctrl-C at every moment of a call."""

from __future__ import annotations

import gc
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import prunnet_export

_PACKAGE = str(Path(prunnet_export.__file__).parent)


@contextmanager
def ctrl_c_raises() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, also where a shell has started the tests in the background and ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def interrupted_at_each_moment(action: Callable[[], object]) -> Iterator[int]:
    """Run ``action`` once for each built-in function that it calls, and send SIGINT when that one returns.

    Python handles signals when a call returns, so these are the moments at which Ctrl-C can arrive. Only calls by this
    package and by what it calls itself count, as the libraries make thousands. Yields the number of the moment after
    each interrupted run, and ends when a run is not interrupted any more.
    """
    with warnings.catch_warnings(), ctrl_c_raises():
        warnings.simplefilter("ignore", ResourceWarning)  # an interrupt right after opening a file leaves it open
        for moment in range(10_000):
            if _run_to_its_end(action, moment):
                assert moment, "the action was never interrupted"
                break
            yield moment
        else:
            raise AssertionError("the action never ends")
        gc.collect()  # the files that were left open


def _run_to_its_end(action: Callable[[], object], moment: int) -> bool:
    """Run ``action`` and interrupt it at a moment; returns whether it ended before."""
    calls = 0

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        if event == "c_return" and _is_near_this_package(frame):
            calls += 1
            if calls == moment + 1:
                signal.raise_signal(signal.SIGINT)

    before = sys.getprofile()
    try:
        sys.setprofile(profile)
        action()
    except KeyboardInterrupt:
        return False
    finally:
        sys.setprofile(before)
    return True


def _is_near_this_package(frame: FrameType) -> bool:
    caller = frame.f_back
    return any(_PACKAGE in each.f_code.co_filename for each in (frame, caller) if each is not None)
