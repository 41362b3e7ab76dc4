"""One cell after the other: what is skipped, and what is an error."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from prunnet_export._errors import InvalidInput, MissingExtra, Unreachable
from prunnet_export._interrupts import raise_interrupts
from prunnet_export.artifact import Manifest, Unchecked
from prunnet_export.benchmarks._results import CheckEntry, Result
from prunnet_export.benchmarks.matrix import _bench
from prunnet_export.benchmarks.matrix._bench import Bench, _predicted, _with_export
from prunnet_export.benchmarks.matrix._cells import Cell
from prunnet_export.devices import Device
from prunnet_export.devices._protocol import Reply, Request
from prunnet_export.search import Outcome
from tests._cli import signals_kept

MakeCell = Callable[..., Cell]
BOARD = ("board", "ssh://board")


class Board(Device):
    """A board that answers some requests."""

    asked, answers = 0, 0

    def run(self, _request: Request, *, timeout: float = 0) -> Reply:  # the interface
        raise NotImplementedError

    def fingerprint(self) -> None:  # type: ignore[override]  # it is only asked whether it answers
        self.asked += 1
        if self.asked > self.answers:
            raise Unreachable("the board does not answer", hint="is it on?")


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    board = Board()
    monkeypatch.setattr(_bench, "find_device", lambda _name: board)
    return board


def failing(error: BaseException) -> Callable[..., object]:
    def fail(*_words: object, **_options: object) -> object:
        raise error

    return fail


def test_a_silent_board_is_asked_once(board: Board, make_cell: MakeCell) -> None:
    bench = Bench()
    results = [bench.run(make_cell(name, *BOARD)) for name in "ab"]
    assert board.asked == 1
    assert [(one.status, one.exit_code, one.message) for one in results] == [
        ("skipped", 3, "the board does not answer")
    ] * 2
    assert (results[0].hint, results[0].device, results[0].target) == ("is it on?", "board", "x86-onnxruntime")


def test_a_board_that_goes_away_is_skipped_and_one_that_stays_has_an_error(
    board: Board, make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_bench, "restore", failing(Unreachable("the worker was killed by SIGSEGV", hint="?")))
    for answers, status in ((1, "skipped"), (2, "error")):
        board.asked, board.answers = 0, answers
        result = Bench().run(make_cell("a", *BOARD))
        assert (result.status, result.exit_code) == (status, 3)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unreachable("the worker died"), 3),
        (InvalidInput("no such file"), 2),
        (MissingExtra("torch", "host"), 2),
        (OSError(28, "No space left on device"), 2),
        (RuntimeError("a bug"), 70),
        (SystemExit(0), 70),
    ],
)
def test_an_error_of_one_cell_is_its_result(
    error: BaseException, code: int, make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_bench, "restore", failing(error))
    result = Bench().run(make_cell())
    assert (result.status, result.exit_code) == ("error", code)
    assert result.message


def test_an_interrupt_is_no_result(make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bench, "restore", failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        Bench().run(make_cell())


def test_an_error_that_an_engine_makes_of_an_interrupt_is_no_result(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def engine(*_args: object) -> None:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        raise RuntimeError("initialization failed")

    monkeypatch.setattr(_bench, "restore", engine)
    with signals_kept():
        raise_interrupts()
        with pytest.raises(KeyboardInterrupt):
            Bench().run(make_cell())


def test_a_rejected_export_fails_even_if_it_is_inside_now(manifest: Manifest, tmp_path: Path) -> None:
    inside = Result(name="a", status="passed", checks=[CheckEntry(name="latency budget", passed=True, message="")])
    kept = _with_export(inside, Outcome(tmp_path, manifest))
    assert (kept.status, [check.name for check in kept.checks]) == ("passed", ["export", "latency budget"])
    rejected = msgspec.structs.replace(manifest, status="rejected", reasons=["no capacity fits", "and more"])
    failed = _with_export(inside, Outcome(tmp_path, rejected, "take --budget-ms 9"))
    assert (failed.status, failed.exit_code, failed.hint) == ("failed", 1, "take --budget-ms 9")
    assert failed.message == failed.checks[0].message == "no capacity fits; and more"


@pytest.mark.parametrize("source", ["predicted", "calibrated"])
def test_a_predicted_cell_says_so(source: str, manifest: Manifest, make_cell: MakeCell, tmp_path: Path) -> None:
    latency = msgspec.structs.replace(manifest.latency, source=source, n=0, runs=0)
    outcome = Outcome(tmp_path / "artifacts" / "a", msgspec.structs.replace(manifest, latency=latency))
    result = _predicted(make_cell("a", "nano", "predicted"), outcome)
    assert (result.status, result.anchor, result.samples_ms, result.machine) == ("passed", None, [], None)
    assert result.latency == latency
    assert result.artifact == "../artifacts/a"
    names = [check.name for check in result.checks]
    assert f"latency budget ({source})" in names
    assert "latency budget" not in names
    assert result.skips == []
    missing = [Unchecked(name="parity", reason="no images")]
    verification = msgspec.structs.replace(manifest.verification, unchecked=missing)
    unchecked = msgspec.structs.replace(outcome.manifest, verification=verification)
    [skip] = _predicted(make_cell("a", "nano", "predicted"), Outcome(outcome.folder, unchecked)).skips
    assert (skip.name, skip.message) == ("parity", "no images")
    rejected = msgspec.structs.replace(outcome.manifest, status="rejected", reasons=["too slow"])
    failed = _predicted(make_cell("a", "nano", "predicted"), Outcome(tmp_path, rejected))
    assert (failed.status, failed.exit_code, failed.message) == ("failed", 1, "too slow")
