from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prunnet_export._errors import Unreachable
from prunnet_export.benchmarks._training_cost_memory import Memory, Request, measure, peak_memory
from prunnet_export.benchmarks._training_cost_steps import PlainPasses, RecipeStep
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.training import Recipe
from tests._cli import Ran, assert_error, call, shell
from tests._inputs import tiny_recipe

Environment = dict[str, str]
SMALL = ("--backbone=resnet18", "--backbone-option=channels=8,16,24,32", "--image-size=32", "--batch=4", "--threads=1")


def recipe(*patterns: str) -> Recipe:
    return tiny_recipe(patterns=patterns, batch_size=4, preprocessing=Preprocessing(crop=32, resize=32))


@pytest.fixture(scope="module")
def ran(environment: Environment) -> Ran:
    words = (*SMALL, "--capacities=0.6,0.3", "--repeats=2", "--output-format=json")
    return shell(environment, "prunnet-bench", "training-cost", *words)


@pytest.fixture(scope="module")
def document(ran: Ran) -> dict[str, Any]:
    assert ran.code == 0, ran.err
    found: dict[str, Any] = json.loads(ran.out)
    return found


@pytest.mark.parametrize("pattern", ["unstructured", "channel"])
def test_time_of_a_pattern(document: dict[str, Any], pattern: str) -> None:
    cost = document[pattern]
    assert cost["ratio"] == pytest.approx(cost["ours_ms"] / cost["plain_ms"])
    # 60 and 30 % of the weights multiply about 60 and 30 % as often; zeros are multiplied too.
    assert cost["plain_passes"] == pytest.approx(
        3 if pattern == "unstructured" else 1.9, rel=0.1 if pattern == "channel" else 1e-9
    )
    assert (cost["n"], cost["percentile"]) == (2, 50)
    assert cost["plain_ms"] > 0
    assert min(cost["ours_cv"], cost["plain_cv"]) >= 0


def test_memory_is_that_of_the_worse_pattern(document: dict[str, Any]) -> None:
    memory = document["memory"]
    ours = [memory[f"{pattern}_mb"] for pattern in ("unstructured", "channel")]
    grown = [memory[f"{pattern}_mb"] - memory[f"{pattern}_idle_mb"] for pattern in ("plain", "unstructured", "channel")]
    assert memory["ratio"] == pytest.approx(max(ours) / memory["plain_mb"])
    assert memory["ratio_above_idle"] == pytest.approx(max(grown[1:]) / grown[0])
    assert all(one > 0 for one in grown)


def test_the_terms_stand_beside_the_figures(document: dict[str, Any]) -> None:
    asked = {"backbone": "resnet18", "image_size": 32, "batch": 4, "capacities": [0.6, 0.3], "threads": 1}
    assert {name: document[name] for name in asked} == asked
    assert document["versions"].keys() == {"python", "prunnet-export", "torch", "timm", "numpy"}
    assert document["source"] == "measured"
    assert document["device"]["cores"] >= 1


def test_a_recipe_step_trains() -> None:
    step = RecipeStep(recipe("channel"))
    embedder = step._trainee.network.embedder
    parameters = [embedder.projector.weight, embedder.backbone.get_parameter("conv1.weight")]
    before = [parameter.detach().clone() for parameter in parameters]
    step()
    assert not any(one.equal(other) for one, other in zip(parameters, before, strict=True))


def test_plain_passes_fill_the_gradients_of_one_pass() -> None:
    passes = PlainPasses(recipe())
    assert passes.count == 3
    passes()
    parameters = [*passes._backbone.parameters(), *passes._classifier.parameters()]
    assert all(parameter.grad is not None for parameter in parameters)
    before = passes._classifier.weight.detach().clone()
    passes()
    assert passes._classifier.weight.equal(before)
    passes = PlainPasses(recipe(), update=True)
    passes()
    assert not passes._classifier.weight.equal(before)


@pytest.mark.parametrize("patterns", [(), ("unstructured",)])
def test_memory_here(patterns: tuple[str, ...]) -> None:
    found = measure(Request(recipe=recipe(*patterns), threads=None))
    assert found.peak_mb >= found.idle_mb > 0
    assert found.growth_mb == pytest.approx(found.peak_mb - found.idle_mb)


def test_files_of_the_users_folder_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    assert peak_memory(Request(recipe=recipe(), threads=None)).peak_mb > 0


def test_a_process_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(Unreachable, match="ended with code 1: no message"):
        peak_memory(Request(recipe=recipe(), threads=None))


def test_growth() -> None:
    assert Memory(peak_mb=5, idle_mb=2, source="any").growth_mb == 3


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--backbone=resnet_of_doom",), "resnet_of_doom"),
        (("--backbone-option=channels",), "channels"),
        (("--image-size=3",), "--image-size"),
        (("--batch=1",), "--batch"),
        (("--repeats=0",), "--repeats"),
        (("--threads=0",), "--threads"),
        (("--capacities=much",), "--capacities"),
        (("--capacities=0",), "capacity 0"),
        (("--capacities=0.0001",), "below the smallest channel cut"),
    ],
    ids=str,
)
def test_bad_input(
    args: tuple[str, ...], told: str, environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = call(capfd, bench, environment, "training-cost", *SMALL, *args)
    assert_error(ran, 2)
    assert told in ran.err
