from __future__ import annotations

import signal
import threading

import pytest

from prunnet_export._interrupts import postponed_interrupts
from tests._interrupting import ctrl_c_raises


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_for_the_end_of_the_block(number: int) -> None:
    handled: list[int] = []
    before = signal.signal(number, lambda number, _: handled.append(number))
    try:
        with postponed_interrupts():
            signal.raise_signal(number)
            signal.raise_signal(number)
            assert not handled
        assert handled == [number]
        signal.raise_signal(number)
        assert handled == [number, number]
    finally:
        signal.signal(number, before)


def test_ctrl_c_is_raised_after_the_block() -> None:
    ended: list[bool] = []

    def interrupted() -> None:
        with postponed_interrupts():
            signal.raise_signal(signal.SIGINT)
            ended.append(True)

    with ctrl_c_raises(), pytest.raises(KeyboardInterrupt):
        interrupted()
    assert ended


def test_an_error_in_the_block_passes_and_the_handlers_return() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="wrong"), postponed_interrupts():
        raise ValueError("wrong")
    assert signal.getsignal(signal.SIGINT) == before


def test_another_thread_leaves_the_handlers_alone() -> None:
    found: list[object] = []

    def ask() -> None:
        with postponed_interrupts():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]
