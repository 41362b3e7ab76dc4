"""Two processes under torchrun end at the same bits, and alike where one fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput, Unreachable
from prunnet_export.training import _distributed
from prunnet_export.training._distributed import ALONE, Ranks, process_group
from prunnet_export.training._journal import METRICS_FILE
from prunnet_export.training._loop import train
from tests._asserts import assert_one_line
from tests._inputs import retrieval_data, tiny_recipe
from tests.training._several_processes import IMAGES, LONG

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("_several_processes.py")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], Path]:
    """What both processes report, and the folder of their runs."""
    folder = tmp_path_factory.mktemp("together")
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [*torchrun, str(SCRIPT), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"rank-{rank}.json").read_text("utf-8")) for rank in range(2)], folder


Together = tuple[list[dict[str, Any]], Path]


class TestTogether:
    def test_tensors_are_averaged(self, together: Together) -> None:
        expected = [[0, 1.5, 3], [0, 1.5, 3, 4.5, 6], [1.5] * 4, [6], pytest.approx([0.15] * 40)]
        for report in together[0]:
            assert report["averaged"] == expected

    def test_the_lowest_that_failed_has_the_last_word(self, together: Together) -> None:
        peer = "PeerFailed: process {} of 2 failed"
        assert together[0][0]["agreed"] == ["", "InvalidInput: rank 0", peer.format(1), "InvalidInput: rank 0"]
        assert together[0][1]["agreed"] == ["", peer.format(0), "InvalidInput: rank 1", peer.format(0)]

    def test_parameters_are_the_same_bits(self, together: Together) -> None:
        first, second = together[0]
        assert first["long"] == second["long"]
        assert first["short"] == second["short"]
        assert first["long"] != first["short"]

    def test_both_know_the_same_losses(self, together: Together) -> None:
        first, second = together[0]
        assert first["losses"] == second["losses"]
        assert len(first["losses"]) == 50

    def test_learns_as_one_process_that_accumulates(self, together: Together, tmp_path: Path) -> None:
        # The same halves of the same batches, so that BatchNorm sees the same images at once.
        alone: list[float] = []
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as over there: sums in another order would drift apart
        try:
            train(
                tiny_recipe(**LONG, accumulate=2),
                retrieval_data(IMAGES),
                tmp_path,
                progress=lambda _, __, metrics: alone.append(metrics["loss_dense"]),
            )
        finally:
            torch.set_num_threads(threads)
        assert together[0][0]["losses"] == pytest.approx(alone, rel=1e-3)
        assert sum(alone[-10:]) < 0.8 * sum(alone[:10])

    def test_a_killed_run_ends_where_an_uninterrupted_one_does(self, together: Together) -> None:
        for report in together[0]:
            assert report["resumed"] == report["short"]

    def test_one_of_them_writes(self, together: Together) -> None:
        lines = (together[1] / "long" / METRICS_FILE).read_text("utf-8").splitlines()
        steps = [json.loads(line)["step"] for line in lines]
        assert steps == sorted({*range(0, 50, 10), *range(4, 50, 5)})

    def test_one_of_them_says_what_is_wrong(self, together: Together) -> None:
        first, second = together[0]
        for what, message in (
            ("not finite", "InvalidInput: the loss is not finite at step "),
            ("exists", "InvalidInput: "),
            ("odd", "InvalidInput: a batch of 11 images cannot be divided"),
        ):
            assert first[what].startswith(message)
            assert second[what] == "PeerFailed: process 0 of 2 failed"
        assert first["broken"] == "PeerFailed: process 1 of 2 failed"
        assert second["broken"].startswith("InvalidInput: image ")
        assert not (together[1] / "odd").exists()

    def test_each_has_a_number_on_its_machine(self, together: Together) -> None:
        assert [report["local_rank"] for report in together[0]] == [0, 1]


class TestJoined:
    @pytest.mark.parametrize("variables", [{}, {"WORLD_SIZE": "1", "RANK": "0"}, {"RANK": "3"}])
    def test_alone(self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
        _set(monkeypatch, variables)
        with process_group() as ranks:
            assert ranks == ALONE
            with pytest.raises(InvalidInput, match="as it was"), ranks.sharing_failures():
                raise InvalidInput("as it was")

    @pytest.mark.parametrize(
        "changed",
        [{"RANK": ""}, {"RANK": "2"}, {"RANK": "-1"}, {"WORLD_SIZE": "two"}, {"WORLD_SIZE": "0"}, {"MASTER_ADDR": ""}],
    )
    def test_incomplete(self, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str]) -> None:
        complete = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
        _set(monkeypatch, {**complete, **changed})
        with pytest.raises(InvalidInput, match=next(iter(changed))) as caught, process_group():
            pass
        assert_one_line(caught.value)

    def test_no_such_port(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _set(monkeypatch, {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "no port"})
        message = "process 0 of 2 cannot join the others at localhost:no port"
        with pytest.raises(Unreachable, match=message) as caught, process_group():
            pass
        assert_one_line(caught.value)


def _set(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=12), st.integers(1, 12))
def test_buckets_hold_every_tensor_in_order(shapes: list[tuple[int, bool]], limit: int) -> None:
    tensors = [torch.zeros(n, dtype=torch.float64 if double else torch.float32) for n, double in shapes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_distributed, "_BUCKET", limit)
        buckets = list(_distributed._buckets(tensors))
    assert [id(tensor) for bucket in buckets for tensor in bucket] == [id(tensor) for tensor in tensors]
    for bucket in buckets:
        assert len({tensor.dtype for tensor in bucket}) == 1
        assert len(bucket) == 1 or sum(tensor.numel() for tensor in bucket) <= limit


def test_one_process_averages_nothing() -> None:
    tensor = torch.ones(3)
    Ranks().average([tensor])
    assert tensor.tolist() == [1, 1, 1]
