from __future__ import annotations

import pytest

from prunnet_export.runtimes.tensorrt._log import Log, SparseLayers, find_logger, shorten, sparse_layers
from tests.runtimes.tensorrt._fake_gpu import fake_engine

NAMED = [
    "(Sparsity) Layers eligible for sparse math: MatMul_401, Conv_619 + Relu_620, Conv_626",
    "(Sparsity) TRT inference plan picked sparse implementation for layers: Conv_626",
]
COUNTED = [
    "(Sparsity) Found 39 layer(s) eligible to use sparse tactics",
    "(Sparsity) Chose 0 layer(s) using sparse tactics",
]


@pytest.mark.parametrize(
    ("lines", "layers"),
    [
        (NAMED, SparseLayers(3, 1)),
        (COUNTED, SparseLayers(39, 0)),
        (["(Sparsity) TRT inference plan picked sparse implementation for layers:"], SparseLayers(None, 0)),
        (["(Sparsity) Layers eligible for sparse math: "], SparseLayers(0, None)),
        (["(Sparsity) Found 4 layer(s) eligible to use sparse tactics: a, b, c, d"], SparseLayers(4, None)),
        (["[I] [TRT] " + line for line in COUNTED], SparseLayers(39, 0)),
        (["Layers eligible for sparse math: a", "Detected 1 inputs and 1 output network tensors."], SparseLayers()),
        ([], SparseLayers()),
    ],
)
def test_reads_how_many_layers_run_sparse(lines: list[str], layers: SparseLayers) -> None:
    assert sparse_layers(lines) == layers


def test_the_last_word_counts() -> None:
    assert sparse_layers([*COUNTED, "(Sparsity) Chose 7 layer(s) using sparse tactics"]) == SparseLayers(39, 7)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("IRuntime::load: Error Code 1: Serialization (wrong magic)", "Serialization (wrong magic)"),
        ("[a.cpp::f::250] Error Code 1: Cuda Runtime (no driver)", "Cuda Runtime (no driver)"),
        ("two\n  lines", "two lines"),
        ("Error Code 9:", "Error Code 9:"),
        ("", "Exception"),
    ],
)
def test_messages_are_shortened(message: str, line: str) -> None:
    assert shorten(message) == line


def test_long_messages_are_cut() -> None:
    assert len(shorten("x" * 1000)) == 160


def test_the_first_error_is_the_complaint() -> None:
    log = Log()
    assert log.first_error() == "it does not say why"
    log.errors += ["Error Code 4: the cause", "what follows"]
    assert log.first_error() == "the cause"
    log.clear()
    assert log.first_error() == "it does not say why"


def test_every_level_but_chatter_is_heard_and_nothing_printed(capfd: pytest.CaptureFixture[str]) -> None:
    engine = fake_engine()
    logger = find_logger(engine)
    assert find_logger(engine) is logger
    levels = engine.ILogger
    for level, message in [
        (levels.VERBOSE, "a tactic"),
        (levels.VERBOSE, "(Sparsity) Found 1 layer(s)"),
        (levels.INFO, "info"),
        (levels.WARNING, "warning"),
        (levels.ERROR, "error"),
        (levels.INTERNAL_ERROR, "internal"),
    ]:
        logger.log(level, message)
    assert list(logger.log_record.lines) == ["(Sparsity) Found 1 layer(s)", "info", "warning", "error", "internal"]
    assert logger.log_record.errors == ["error", "internal"]
    assert capfd.readouterr() == ("", "")
