"""``prunnet-bench plan`` on a few small images, from its arguments to its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.benchmarks.plan import _command
from prunnet_export.benchmarks.plan._runs import add_run, read_runs
from prunnet_export.training import _trainee
from prunnet_export.training.cli import command as train
from tests._cli import Ran, assert_error, call
from tests.benchmarks.plan._plans import synthetic_runs, write_images, write_vectors

ROOT = Path(__file__).parents[3]
Environment = dict[str, str]
SMALL = (
    "--backbone=resnet18", "--backbone-option=channels=8,16,24,32", "--crop-px=32", "--batch-size=12",
    "--capacities=0.6,0.3", "--epochs=2", "--learning-rate=0.02",
)  # fmt: skip
BRIEF = ("--trial-minutes=0.001", "--output-format=json")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("plan") / "images")


@pytest.fixture(scope="module")
def vectors(images: Path) -> Path:
    return write_vectors(images.parent / "their.npz", images)


@pytest.fixture(scope="module")
def runs(images: Path) -> Path:
    file = images.parent / "runs.jsonl"
    for run in (*synthetic_runs(5), *synthetic_runs(4, with_labels=False)):
        add_run(file, run)
    return file


@pytest.fixture
def plan(environment: Environment, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs ``prunnet-bench plan``."""
    return partial(call, capfd, bench, environment, "plan")


def planned(ran: Ran) -> dict[str, Any]:
    assert ran.code == 0, ran.err
    found: dict[str, Any] = json.loads(ran.out)
    return found


def test_a_plan_with_labels_and_the_network_that_follows(
    vectors: Path, runs: Path, environment: Environment, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    images = vectors.with_name("images")
    run, record = tmp_path / "run", tmp_path / "record.jsonl"
    same = (images, f"--match={vectors}", *SMALL)
    assert call(capfd, train, environment, *same, f"--out={run}").code == 0
    compared = (f"--network={run}", f"--record={record}", f"--runs={runs}", "--images=60")
    found = planned(call(capfd, bench, environment, "plan", *same, *BRIEF, *compared))
    assert found["gate"] == {"figure": "recall", "share": 0.95}
    assert found["teacher"]["recall"]["value"] > 0.9
    assert found["images"] == {"sampled": 60, "learned_from": 45, "whole": 60}
    # The teacher is the image itself at 4 x 4 pixels, so even random features tell the colours apart.
    assert found["adapter"]["points"][-1]["recall"]["value"] > 0.5
    assert [cell["capacity"] for cell in found["network"]][:2] == [1.0, 0.6]
    assert all(cell["shorter_trial"]["steps"] < cell["longer_trial"]["steps"] for cell in found["network"])
    most = 1 / found["teacher"]["recall"]["value"]
    assert all(0 <= cell["share"]["low"] < cell["share"]["high"] <= most for cell in found["network"])
    assert found["hours"]["steps"] == 10
    assert found["hours"]["speed"] is None
    assert found["verdict"] in {"adapter", "train", "neither"}
    [made] = read_runs(record)
    assert (made.teacher, made.data, made.steps, made.images) == ("their.npz", "images", 10, 60)
    assert made.self_test == found["teacher"]["recall"]["value"]
    assert [cell.capacity for cell in made.cells] == [cell["capacity"] for cell in found["network"]]


def test_a_network_with_the_widths_of_before_is_refused(
    vectors: Path,
    environment: Environment,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    same, run = (vectors.with_name("images"), f"--match={vectors}", *SMALL), tmp_path / "run"
    with monkeypatch.context() as before:
        before.setattr(_trainee, "allocate_by_cost", lambda _network, **_options: None)
        assert call(capfd, train, environment, *same, f"--out={run}").code == 0
    ran = call(capfd, bench, environment, "plan", *same, *BRIEF, "--images=60", f"--network={run}")
    assert ran.code == 2
    assert "its order of channels is uniform, not by rank" in ran.err


def test_without_labels_the_gate_is_the_overlap(
    images: Path, runs: Path, plan: Callable[..., Ran], tmp_path: Path
) -> None:
    file = write_vectors(tmp_path / "train.npz", images, splits=("train",))
    found = planned(
        plan(
            images,
            f"--match={file}",
            *SMALL,
            *BRIEF,
            "--min-overlap=0.01",
            f"--runs={runs}",
        )
    )
    assert found["gate"] == {"figure": "overlap", "share": 0.01}
    assert found["teacher"]["recall"] is None
    assert found["n_queries"] == 20
    assert found["verdict"] == "adapter"


def test_a_teacher_that_is_a_model_embeds_only_the_sample(
    images: Path, tiny_network: Path, runs: Path, plan: Callable[..., Ran]
) -> None:
    options = (*SMALL, "--trial-minutes=0.001", "--images=50", "--min-recall=1.5", f"--runs={runs}")
    ran = plan(images, f"--match={tiny_network}", *options)
    assert ran.code == 0, ran.err
    assert "teacher's vectors" in ran.out
    assert "verdict: neither reaches the gate" in ran.out
    assert "--weights FILE" in ran.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "add --match TEACHER"),
        (("--match=nowhere.npz",), "cannot read nowhere.npz"),
        (("--match={vectors}", "--weights=nowhere.pth"), "cannot read nowhere.pth"),
        (("--match={vectors}", "--record=r.jsonl"), "add --network RUN"),
        (("--match={vectors}", "--runs=nowhere.jsonl"), "cannot read nowhere.jsonl"),
        (("--match={vectors}", "--capacities=2"), "capacity"),
        (("--match={vectors}", "--teacher-option=crop=64"), "no model"),
        (("--match={vectors}", "--network=nowhere"), "holds no network"),
        (("--match={vectors}", "--embedding-dim=8"), "cannot be given with --match"),
        (("--match={vectors}", "--batch-size=100"), "--batch-size"),
    ],
)
def test_bad_input(
    images: Path, vectors: Path, plan: Callable[..., Ran], options: tuple[str, ...], message: str
) -> None:
    words = [option.format(vectors=vectors) for option in options]
    ran = plan(images, *SMALL, *words)
    assert ran.code == 2
    assert message in ran.err
    assert not ran.out


def test_a_network_that_was_not_planned_is_refused(
    images: Path, vectors: Path, tiny_network: Path, plan: Callable[..., Ran]
) -> None:
    ran = plan(images, f"--match={vectors}", *SMALL, *BRIEF, f"--network={tiny_network}")
    assert_error(ran, 2, in_json=True)
    assert "trained without a teacher" in ran.err


def test_too_few_runs_predict_nothing(images: Path, vectors: Path, plan: Callable[..., Ran], tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    for run in synthetic_runs(2):
        add_run(few, run)
    ran = plan(images, f"--match={vectors}", *SMALL, *BRIEF, f"--runs={few}", "--output-format=table")
    assert ran.code == 0, ran.err
    assert "no prediction: it needs measured runs of 3 pairs of teacher and data with this figure" in ran.out


def test_trials_that_are_too_short_are_said_so(
    images: Path, vectors: Path, runs: Path, plan: Callable[..., Ran]
) -> None:
    ran = plan(images, f"--match={vectors}", *SMALL, *BRIEF, f"--runs={runs}", "--output-format=table")
    assert ran.code == 0, ran.err
    assert "widened: the trials are too short for this training" in " ".join(ran.out.split())


def test_a_record_of_another_kind_is_refused_before_slow_work(
    images: Path, vectors: Path, plan: Callable[..., Ran], tmp_path: Path
) -> None:
    record = tmp_path / "record.jsonl"
    record.write_text("{}")
    with patch.object(_command, "make_plan", side_effect=AssertionError("slow work")):
        ran = plan(images, f"--match={vectors}", *SMALL, "--network=run", f"--record={record}")
    assert_error(ran, 2)
    assert "line 1: not a measured run" in ran.err


def test_accuracy_of_measured_runs(
    runs: Path, environment: Environment, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = planned(call(capfd, bench, environment, "plan-accuracy", runs, "--output-format=json"))
    assert len(found["cells"]["recall"]) == 50
    assert found["near"]["recall"] > 40
    assert found["adapter_right"] == found["adapter_verdicts"] == 18
    few = tmp_path / "few.jsonl"
    for run in synthetic_runs(3):
        add_run(few, run)
    ran = call(capfd, bench, environment, "plan-accuracy", few)
    assert_error(ran, 2)
    assert "has runs of 3 pairs of teacher and data" in ran.err


def test_the_docs_say_how_well_the_runs_of_the_package_are_predicted(
    environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = call(capfd, bench, environment, "plan-accuracy")
    assert ran.code == 0, ran.err
    footer = ran.out.splitlines()[-3:]
    assert footer[0].startswith("R@1: ")
    assert "\n".join(footer) in (ROOT / "docs" / "plan.md").read_text("utf-8")
