from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from prunnet_export.benchmarks.methods import METHODS
from prunnet_export.benchmarks.methods.dense import Dense, dense_run
from prunnet_export.network import load_checkpoint
from prunnet_export.training import new_trainee
from tests._asserts import assert_same_tensors
from tests.benchmarks._bench import tiny_bench


def test_the_network_is_trained_once_and_read_afterwards(tmp_path: Path) -> None:
    told: list[str] = []
    bench = replace(tiny_bench(tmp_path), progress=lambda what, _done, _steps: told.append(what))
    first = dense_run(bench, 0)
    assert told == ["dense, seed 0"] * 2
    second = dense_run(bench, 0)
    assert told == ["dense, seed 0"] * 2
    assert first.seconds == second.seconds > 0
    assert_same_tensors(first.network.state_dict(), second.network.state_dict())
    assert_same_tensors(first.classifier.state_dict(), second.classifier.state_dict())
    initial = new_trainee(bench.settings.recipe(0), classes=4)
    assert not torch.equal(first.classifier.weight, initial.classifier.weight)
    for name, weight in first.network.prunable_weights().items():
        assert not torch.equal(weight, initial.network.prunable_weights()[name]), name


def test_it_is_a_network_that_other_commands_can_read(tmp_path: Path) -> None:
    trained = Dense().train(tiny_bench(tmp_path), 3)
    checkpoint = load_checkpoint(tmp_path / "dense-3")
    assert_same_tensors(checkpoint.network.embedder.state_dict(), trained.dense.state_dict())
    assert checkpoint.config.training["seed"] == 3


def test_a_student_leaves_it_as_it_is(tmp_path: Path) -> None:
    bench = tiny_bench(tmp_path)
    before = dense_run(bench, 0)
    dense = METHODS["bct"].train(bench, 0).dense
    after = dense_run(bench, 0)
    assert_same_tensors(dense.state_dict(), before.network.embedder.state_dict())
    assert_same_tensors(after.classifier.state_dict(), before.classifier.state_dict())
    assert not before.classifier.weight.requires_grad
