"""The training loop: what it leaves behind, and that an interruption changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch as safetensors
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput, StorageError, Unreachable
from prunnet_export._lock import FolderLock
from prunnet_export.datasets import RetrievalData
from prunnet_export.evaluating import statistics_inputs
from prunnet_export.network import PrunableNetwork, load_checkpoint
from prunnet_export.patterns.channel import Channel
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.training._batches import Batch
from prunnet_export.training._gradients import IntegratedGradients
from prunnet_export.training._journal import LOCK_FILE, METRICS_FILE, RECIPE_FILE
from prunnet_export.training._loop import reestimate_dense_batchnorm, train
from prunnet_export.training._recipe import Recipe
from prunnet_export.training._state import STATE_FILE
from prunnet_export.training._trainee import new_trainee
from tests._asserts import assert_one_line, assert_same_tensors
from tests._inputs import array_split, cut, images, retrieval_data, tiny_recipe
from tests.training._killing import Killed, kill_at

FILES = {"config.json", METRICS_FILE, "network.safetensors", RECIPE_FILE, STATE_FILE}


def metrics(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / METRICS_FILE).read_text("utf-8").splitlines()]
    for line in lines:
        line.pop("seconds_per_step")
    return lines


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[PrunableNetwork, Path]:
    """A run of two epochs that nobody interrupted."""
    out = tmp_path_factory.mktemp("finished") / "run"
    return train(tiny_recipe(), retrieval_data(), out), out


def assert_refused(match: str, recipe: Recipe, data: RetrievalData, out: Path, *, resume: bool = False) -> None:
    with pytest.raises(InvalidInput, match=match) as raised:
        train(recipe, data, out, resume=resume)
    assert_one_line(raised.value)


class TestFinished:
    def test_leaves_these_files(self, finished: tuple[PrunableNetwork, Path]) -> None:
        assert {file.name for file in finished[1].iterdir()} == FILES

    def test_the_checkpoint_is_the_network(self, finished: tuple[PrunableNetwork, Path]) -> None:
        network, out = finished
        loaded = load_checkpoint(out)
        assert_same_tensors(loaded.network.state_dict(), network.state_dict())
        assert not network.training
        assert loaded.config.data == tiny_recipe().data
        assert loaded.config.training["steps"] == 4
        assert loaded.config.training["capacities"] == [0.6, 0.3]

    def test_metrics_have_a_loss_for_every_network(self, finished: tuple[PrunableNetwork, Path]) -> None:
        lines = metrics(finished[1])
        assert [line["step"] for line in lines] == [0, 1, 3]
        assert [line["epoch"] for line in lines] == [0, 0, 1]
        for line in lines:
            assert {"loss_dense", "loss_channel_0.6", "loss_channel_0.3", "gradient_norm"} <= line.keys()

    def test_weights_and_scores_have_moved(self, finished: tuple[PrunableNetwork, Path]) -> None:
        before = dict(new_trainee(tiny_recipe(), classes=4, device=torch.device("cpu")).network.named_parameters())
        for name, parameter in finished[0].named_parameters():
            assert not torch.equal(parameter, before[name]), name

    def test_statistics_are_those_of_the_training_images(self, finished: tuple[PrunableNetwork, Path]) -> None:
        norm = finished[0].embedder.norm
        with torch.no_grad():
            inputs = statistics_inputs(retrieval_data().train, tiny_recipe().preprocessing, 24)
            seen = torch.cat([finished[0](batch) for batch in inputs])
            standardised = (seen - norm.bias) / norm.weight
        assert float(standardised.mean(0).abs().max()) < 0.2

    def test_subnetworks_can_be_cut(self, finished: tuple[PrunableNetwork, Path]) -> None:
        small = cut(finished[0], 0.3, Channel(4))
        assert bool(small(images(2, 16)).isfinite().all())

    def test_the_same_recipe_ends_at_the_same_bits(
        self, finished: tuple[PrunableNetwork, Path], tmp_path: Path
    ) -> None:
        torch.manual_seed(99)
        again = train(tiny_recipe(), retrieval_data(), tmp_path)
        assert_same_tensors(again.state_dict(), finished[0].state_dict())
        assert (tmp_path / "network.safetensors").read_bytes() == (finished[1] / "network.safetensors").read_bytes()

    def test_resuming_a_finished_run_changes_nothing(self, finished: tuple[PrunableNetwork, Path]) -> None:
        again = train(tiny_recipe(), retrieval_data(), finished[1], resume=True)
        assert_same_tensors(again.state_dict(), finished[0].state_dict())

    def test_progress_is_told_after_every_step(self, tmp_path: Path) -> None:
        told: list[tuple[int, int]] = []
        recipe = tiny_recipe(epochs=1)
        train(recipe, retrieval_data(), tmp_path, progress=lambda step, steps, _: told.append((step, steps)))
        assert told == [(1, 2), (2, 2)]


class TestResume:
    @pytest.mark.parametrize("step", [1, 2, 3, 4])
    def test_a_killed_run_ends_where_an_uninterrupted_one_does(
        self, finished: tuple[PrunableNetwork, Path], tmp_path: Path, step: int
    ) -> None:
        with pytest.raises(Killed):
            train(tiny_recipe(), retrieval_data(), tmp_path, progress=kill_at(step))
        assert not (tmp_path / "config.json").exists()
        torch.manual_seed(step)
        resumed = train(tiny_recipe(), retrieval_data(), tmp_path, resume=True)
        assert_same_tensors(resumed.state_dict(), finished[0].state_dict())
        assert metrics(tmp_path) == metrics(finished[1])

    @pytest.mark.parametrize(("step", "accumulate"), [(5, 1), (6, 1), (8, 2)])
    def test_it_goes_on_at_the_very_step(self, tmp_path: Path, step: int, accumulate: int) -> None:
        recipe = tiny_recipe(batch_size=4, accumulate=accumulate)  # 6 steps an epoch
        whole, cut = tmp_path / "whole", tmp_path / "cut"
        train(recipe, retrieval_data(), whole)
        with pytest.raises(Killed):
            train(recipe, retrieval_data(), cut, seconds_between_states=0, progress=kill_at(step))
        told: list[int] = []
        train(recipe, retrieval_data(), cut, resume=True, progress=lambda done, _, __: told.append(done))
        assert told == list(range(step + 1, 13))
        assert metrics(cut) == metrics(whole)
        for name in FILES - {METRICS_FILE}:
            assert (cut / name).read_bytes() == (whole / name).read_bytes(), name

    def test_a_fresh_state_waits_for_the_end_of_the_epoch(self, tmp_path: Path) -> None:
        with pytest.raises(Killed):
            train(tiny_recipe(), retrieval_data(), tmp_path, progress=kill_at(1))
        told: list[int] = []
        train(tiny_recipe(), retrieval_data(), tmp_path, resume=True, progress=lambda done, _, __: told.append(done))
        assert told == [1, 2, 3, 4]

    @pytest.mark.parametrize("name", [METRICS_FILE, STATE_FILE, RECIPE_FILE, "network.safetensors", "config.json"])
    @pytest.mark.parametrize("replaced", [False, True])
    def test_killed_while_a_file_is_replaced(
        self,
        finished: tuple[PrunableNetwork, Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        replaced: bool,
    ) -> None:
        replace = Path.replace

        def kill(temporary: Path, file: Path) -> Path:
            if file.name != name:
                return replace(temporary, file)
            # What a process that is gone cannot tidy away.
            (tmp_path / f".{name}.a1b2c3d4e5f6").write_bytes(b"half")
            if replaced:
                replace(temporary, file)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", kill)
            with pytest.raises(Killed):
                train(tiny_recipe(), retrieval_data(), tmp_path)
        train(tiny_recipe(), retrieval_data(), tmp_path, resume=True)
        assert {file.name for file in tmp_path.iterdir()} == FILES
        assert (tmp_path / "network.safetensors").read_bytes() == (finished[1] / "network.safetensors").read_bytes()
        assert metrics(tmp_path) == metrics(finished[1])

    @pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
    def test_the_optimizers_memory_is_kept(self, tmp_path: Path, optimizer: str) -> None:
        recipe = tiny_recipe(optimizer=optimizer, schedule="cosine", patterns=("unstructured",))
        whole = train(recipe, retrieval_data(), tmp_path / "whole")
        with pytest.raises(Killed):
            train(recipe, retrieval_data(), tmp_path / "cut", progress=kill_at(3))
        resumed = train(recipe, retrieval_data(), tmp_path / "cut", resume=True)
        assert_same_tensors(resumed.state_dict(), whole.state_dict())

    def test_a_line_of_metrics_that_was_cut_in_two(
        self, finished: tuple[PrunableNetwork, Path], tmp_path: Path
    ) -> None:
        with pytest.raises(Killed):
            train(tiny_recipe(), retrieval_data(), tmp_path, progress=kill_at(3))
        with (tmp_path / METRICS_FILE).open("a") as file:
            file.write('{"step": 3, "epo')
        train(tiny_recipe(), retrieval_data(), tmp_path, resume=True)
        assert metrics(tmp_path) == metrics(finished[1])

    def test_what_had_not_begun_begins(self, finished: tuple[PrunableNetwork, Path], tmp_path: Path) -> None:
        begun = train(tiny_recipe(), retrieval_data(), tmp_path / "new", resume=True)
        assert_same_tensors(begun.state_dict(), finished[0].state_dict())

    @pytest.mark.parametrize(
        ("metadata", "match"),
        [
            ({"epochs_done": "1"}, "does not say which step"),
            ({"steps": "5/4"}, "does not say which step"),
            ({"steps": "-2/4"}, "does not say which step"),
            ({"steps": "1/6"}, "of a run of 6 steps, and the images now make 4"),
            ({"steps": "one/4"}, "cannot be resumed from"),
            ({"steps": "4"}, "cannot be resumed from"),
        ],
    )
    def test_a_state_of_another_version_or_run(self, tmp_path: Path, metadata: dict[str, str], match: str) -> None:
        with pytest.raises(Killed):
            train(tiny_recipe(), retrieval_data(), tmp_path, progress=kill_at(2))
        file = tmp_path / STATE_FILE
        file.write_bytes(safetensors.save(safetensors.load(file.read_bytes()), metadata=metadata))
        assert_refused(match, tiny_recipe(), retrieval_data(), tmp_path, resume=True)

    def test_a_state_that_was_deleted(self, tmp_path: Path) -> None:
        with pytest.raises(Killed):
            train(tiny_recipe(), retrieval_data(), tmp_path, progress=kill_at(2))
        (tmp_path / STATE_FILE).unlink()
        assert_refused("is missing", tiny_recipe(), retrieval_data(), tmp_path, resume=True)

    @pytest.mark.parametrize(
        "changed", [{"learning_rate": 0.1}, {"capacities": (0.5,)}, {"seed": 1}, {"accumulate": 2}]
    )
    def test_another_recipe(self, finished: tuple[PrunableNetwork, Path], changed: dict[str, object]) -> None:
        field = next(iter(changed))
        assert_refused(f"started with {field}", tiny_recipe(**changed), retrieval_data(), finished[1], resume=True)

    def test_a_run_is_not_overwritten(self, finished: tuple[PrunableNetwork, Path]) -> None:
        assert_refused("already holds a run", tiny_recipe(), retrieval_data(), finished[1])

    @pytest.mark.parametrize("length", [0, 7, 1000])
    def test_a_truncated_state(self, tmp_path: Path, length: int) -> None:
        with pytest.raises(Killed):
            train(tiny_recipe(), retrieval_data(), tmp_path, progress=kill_at(3))
        state = tmp_path / STATE_FILE
        state.write_bytes(state.read_bytes()[:length])
        assert_refused("cannot be resumed from", tiny_recipe(), retrieval_data(), tmp_path, resume=True)

    @pytest.mark.parametrize("raw", [b"", b"{", b'{"surprise": 1}', b"\xff"])
    def test_a_corrupt_recipe(self, tmp_path: Path, raw: bytes) -> None:
        (tmp_path / RECIPE_FILE).write_bytes(raw)
        assert_refused("recipe.json", tiny_recipe(), retrieval_data(), tmp_path, resume=True)


class TestAccumulate:
    def test_a_step_sees_the_same_images(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[list[Batch]] = []
        call = IntegratedGradients.__call__

        def watched(self: IntegratedGradients, *chosen: Any, generator: torch.Generator) -> list[float]:
            seen.append(chosen[1])
            return call(self, *chosen, generator=generator)

        monkeypatch.setattr(IntegratedGradients, "__call__", watched)
        for accumulate in (1, 3):
            train(tiny_recipe(epochs=1, accumulate=accumulate), retrieval_data(27), tmp_path / str(accumulate))
        whole, parts = seen[:2], seen[2:]
        assert [len(batches) for batches in seen] == [1, 1, 3, 3]
        for [batch], batches in zip(whole, parts, strict=True):
            assert torch.equal(torch.cat([one.images for one in batches]), batch.images)
            assert torch.equal(torch.cat([one.labels for one in batches]), batch.labels)


def test_bfloat16_trains_parameters_that_stay_float32(tmp_path: Path) -> None:
    # Not at 16 px: torch 2.14 leaves weight gradients of strided bfloat16 convolutions of a single pixel unset.
    recipes = [
        tiny_recipe(epochs=1, preprocessing=Preprocessing(crop=32, resize=32), bfloat16=narrow)
        for narrow in (True, False)
    ]
    network, _ = (train(recipe, retrieval_data(), tmp_path / str(recipe.bfloat16)) for recipe in recipes)
    for name, parameter in network.named_parameters():
        assert parameter.dtype == torch.float32, name
    narrow, wide = ([line["loss_dense"] for line in metrics(tmp_path / name)] for name in ("True", "False"))
    assert narrow != wide
    assert narrow[0] == pytest.approx(wide[0], rel=0.02)
    assert load_checkpoint(tmp_path / "True").config.training["bfloat16"] is True


class TestRefused:
    @pytest.mark.parametrize(
        "changed", [{"batch_size": 12, "accumulate": 5}, {"batch_size": 6, "accumulate": 6}, {"batch_size": 1}]
    )
    def test_a_batch_that_cannot_be_divided(self, tmp_path: Path, changed: dict[str, object]) -> None:
        assert_refused("cannot be divided", tiny_recipe(**changed), retrieval_data(), tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_micro_batches_that_fill_no_batch(self, tmp_path: Path) -> None:
        recipe = tiny_recipe(batch_size=26, accumulate=2)
        assert_refused("do not fill one batch of 26", recipe, retrieval_data(24), tmp_path / "run")

    def test_a_recipe_for_other_processes(self, tmp_path: Path) -> None:
        assert_refused("2 process", tiny_recipe(processes=2), retrieval_data(), tmp_path / "run")

    def test_a_batch_larger_than_the_data(self, tmp_path: Path) -> None:
        assert_refused("do not fill", tiny_recipe(batch_size=25), retrieval_data(24), tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_images_without_labels(self, tmp_path: Path) -> None:
        unlabelled = replace(retrieval_data(), has_labels=False)
        assert_refused("in memory has no labels to train with", tiny_recipe(), unlabelled, tmp_path / "run")

    def test_a_loss_that_is_not_finite(self, tmp_path: Path) -> None:
        recipe = tiny_recipe(learning_rate=1e30, warmup=0.0, epochs=3)
        assert_refused("not finite at step", recipe, retrieval_data(), tmp_path)
        assert not (tmp_path / "config.json").exists()

    def test_a_capacity_below_what_can_be_cut(self, tmp_path: Path) -> None:
        assert_refused("smallest channel cut", tiny_recipe(capacities=(0.001,)), retrieval_data(), tmp_path)

    def test_labels_of_one_class_train_all_the_same(self, tmp_path: Path) -> None:
        one = array_split(12, classes=1)
        train(tiny_recipe(epochs=1), RetrievalData("one", one, one, one), tmp_path)
        assert (tmp_path / "config.json").exists()


class TestRecipe:
    @given(st.integers(1, 64), st.integers(1, 8), st.integers(1, 8))
    def test_micro_batches_make_up_the_batch_or_it_is_refused(self, size: int, processes: int, accumulate: int) -> None:
        recipe = tiny_recipe(batch_size=size, processes=processes, accumulate=accumulate)
        if size % (processes * accumulate) or size < 2 * processes * accumulate:
            with pytest.raises(InvalidInput, match="cannot be divided") as caught:
                _ = recipe.micro_batch
            assert_one_line(caught.value)
        else:
            assert recipe.micro_batch * processes * accumulate == size

    @given(st.integers(1, 500), st.sampled_from(["step", "cosine"]), st.floats(0, 0.5))
    def test_rates_are_positive_and_at_most_the_highest(self, steps: int, schedule: str, warmup: float) -> None:
        recipe = tiny_recipe(schedule=schedule, warmup=warmup)
        for step in range(0, steps, max(1, steps // 17)):
            assert 0 < recipe.rate(step, steps) <= recipe.learning_rate * (1 + 1e-12)

    def test_golden_rates(self) -> None:
        step = tiny_recipe(learning_rate=1.0, warmup=0.1, schedule="step")
        rates = [step.rate(index, 20) for index in (0, 1, 2, 4, 5, 9, 10, 14, 15, 19)]
        assert rates == pytest.approx([0.5, 1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
        cosine = tiny_recipe(learning_rate=1.0, warmup=0.0, schedule="cosine")
        assert [cosine.rate(index, 4) for index in range(4)] == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)

    @pytest.mark.parametrize("count", [1, 5, 24, 1000])
    def test_statistics_images_are_spread_over_the_split(self, count: int) -> None:
        recipe, seen = tiny_recipe(statistics_images=count), list[int]()
        network = new_trainee(recipe, classes=4).network
        network.embedder.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
        reestimate_dense_batchnorm(network, retrieval_data(24), recipe)
        assert sum(seen) == (0 if count == 1 else min(count, 24))
        assert not network.embedder.training


class TestTrouble:
    def test_a_pattern_that_reaches_no_capacity(self, tmp_path: Path) -> None:
        recipe = tiny_recipe(patterns=("channel+2:4",), capacities=(0.8, 0.6))
        assert_refused(r"channel\+2:4 reaches none of the capacities", recipe, retrieval_data(), tmp_path / "run")

    @pytest.mark.parametrize("field", ["gamma", "dense_first", "learning_rate", "weight_decay", "distillation"])
    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_numbers_that_json_cannot_say(self, field: str, value: float) -> None:
        with pytest.raises(InvalidInput, match=field.replace("_", " ")):
            tiny_recipe(**{field: value})

    @pytest.mark.parametrize(
        "error",
        [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
    )
    def test_a_step_without_memory(self, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> list[float]:
            raise error

        monkeypatch.setattr(IntegratedGradients, "__call__", fail)
        with pytest.raises(Unreachable, match="does not fit into memory") as caught:
            train(tiny_recipe(), retrieval_data(), tmp_path / "run")
        assert "--accumulate" in caught.value.hint


def test_two_runs_in_one_folder(tmp_path: Path) -> None:
    out = tmp_path / "run"
    lock = FolderLock(out, out / LOCK_FILE)
    lock.acquire()
    with pytest.raises(StorageError, match="another process writes to") as raised:
        train(tiny_recipe(), retrieval_data(), out)
    assert_one_line(raised.value)
    assert [file.name for file in out.iterdir()] == [LOCK_FILE]
    lock.close()
    train(tiny_recipe(), retrieval_data(), out)
    assert {file.name for file in out.iterdir()} == FILES


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", ["network.safetensors", "config.json"])
def test_a_network_without_its_run_is_not_replaced(name: str, resume: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"precious")
    assert_refused("without its run", tiny_recipe(), retrieval_data(), tmp_path, resume=resume)
    assert (tmp_path / name).read_bytes() == b"precious"
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_line_of_metrics_that_a_disk_has_spoilt(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tiny_recipe(), retrieval_data(), tmp_path, progress=kill_at(3))
    with (tmp_path / METRICS_FILE).open("ab") as opened:
        opened.write(b"\xff\xfe")
    train(tiny_recipe(), retrieval_data(), tmp_path, resume=True)
    assert [line["step"] for line in metrics(tmp_path)] == sorted({line["step"] for line in metrics(tmp_path)})
