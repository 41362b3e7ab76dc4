"""The processes of a matrix, with cells that end at once: their artifacts do not exist."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from contextlib import closing
from multiprocessing import active_children
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from prunnet_export.benchmarks.matrix import _worker
from prunnet_export.benchmarks.matrix._cells import Cell
from prunnet_export.benchmarks.matrix._worker import _Machine, run_cells

MakeCell = Callable[..., Cell]


def test_machines_work_at_the_same_time_and_their_cells_one_after_the_other(
    make_cell: MakeCell, caplog: pytest.LogCaptureFixture
) -> None:
    here = [make_cell("a"), make_cell("b")]
    there = [make_cell("c", "board", "ssh://nobody@127.0.0.1:1"), make_cell("d", "board", "ssh://nobody@127.0.0.1:1")]
    with (
        caplog.at_level(logging.INFO, logger="prunnet_export"),
        closing(run_cells([here, there], at_once=2)) as running,
    ):
        results = list(running)
    names = [one.name for one in results]
    assert sorted(names) == sorted(cell.name for cell in [*here, *there])
    for queue in (here, there):
        assert [name for name in names if name.endswith(queue[0].device)] == [cell.name for cell in queue]
    statuses = {one.name[-1]: (one.status, one.exit_code) for one in results}
    assert statuses == {"e": ("error", 2), "d": ("skipped", 3)}  # the last letters of "here" and "board"
    assert {cell.name for cell in [*here, *there]} <= {message.partition(":")[0] for message in caplog.messages}
    assert not active_children()


def test_a_process_that_dies_is_an_error_and_the_others_go_on(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    send = _Machine._send

    def send_and_kill(machine: _Machine) -> None:
        send(machine)
        if not killed:
            assert machine._process.pid is not None
            killed.append(machine._process.pid)
            os.kill(machine._process.pid, signal.SIGKILL)

    monkeypatch.setattr(_Machine, "_send", send_and_kill)
    first, second = run_cells([[make_cell("a"), make_cell("b")]], at_once=1)
    assert (first.status, first.exit_code) == ("error", 3)
    assert "SIGKILL" in first.message
    assert "not an artifact" in second.message


def test_closing_ends_the_processes(make_cell: MakeCell, tmp_path: Path) -> None:
    running = run_cells([[make_cell("a"), make_cell("b")], [make_cell("c")]], at_once=2)
    next(running)
    assert active_children()
    running.close()
    assert not active_children()
    assert not list(tmp_path.iterdir())


def test_no_more_machines_work_at_once_than_asked_for(make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch) -> None:
    most: list[int] = []

    def counted(connections: list[object]) -> list[object]:
        most.append(len(connections))
        return wait(connections)  # type: ignore[arg-type, return-value]  # as given

    monkeypatch.setattr(_worker, "wait", counted)
    assert len(list(run_cells([[make_cell("a")], [make_cell("b")]], at_once=1))) == 2
    assert max(most) == 1


def test_nothing_to_do() -> None:
    assert not list(run_cells([[]], at_once=2))
