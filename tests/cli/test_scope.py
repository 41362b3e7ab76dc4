"""What a budget is of, on the command line: all from a photograph's bytes on, or a batch for a hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import prunnet_export
from prunnet_export.artifact import read_manifest
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.cli._command import command as export
from prunnet_export.devices import photograph
from prunnet_export.query import Query
from tests._cli import Ran, assert_error, call, shell

Environment = dict[str, str]
Run = Callable[..., Ran]

ONE_CANDIDATE = ("--threads=1", "--pattern=channel", "--precision=fp32", "--budget-ms=5000", "--output-format=json")
FEW_IMAGES: tuple[str, ...] = ("--max-queries=40", "--max-gallery=80", "--min-recall=0.5")


@pytest.fixture
def run(environment: Environment, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs ``prunnet-export`` in this process."""
    return lambda *args: call(capfd, export, environment, *args)


@pytest.fixture
def run_bench(environment: Environment, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs ``prunnet-bench`` in this process."""
    return lambda *args: call(capfd, bench, environment, *args)


@pytest.fixture
def tiny(tiny_network: Path, tiny_data: Path) -> tuple[str, ...]:
    """The options of an export of an untrained network."""
    return (f"--network={tiny_network}", f"--data={tiny_data}", "--min-recall=0")


def test_the_budget_of_a_whole_query(environment: Environment, run_bench: Run, tmp_path: Path) -> None:
    place, whole = tmp_path / "dist", ("--scope=end-to-end", "--photo-px=600x800")
    ran = shell(
        environment,
        *("prunnet-export", "--target=x86-onnxruntime", *whole, *ONE_CANDIDATE, *FEW_IMAGES, f"--out={place}"),
    )
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    query = Query(scope="end-to-end", photo_px=(600, 800))
    manifest = read_manifest(place)
    assert manifest.budget.query == manifest.latency.query == query
    assert manifest.dense_latency is not None
    assert manifest.dense_latency.query == query
    assert report["budget"]["query"] == {"scope": "end-to-end", "batch_size": 1, "photo_px": [600, 800]}
    parts = report["latency"]["parts"]
    assert [part["name"] for part in parts] == ["decode", "resize", "network"]
    assert {part["n"] for part in parts} == {report["latency"]["n"]}
    for field in ("p50_ms", "percentile_ms", "mean_ms"):
        assert sum(part[field] for part in parts) == pytest.approx(report["latency"][field], rel=0.05)
    card = (place / "README.md").read_text(encoding="utf-8")
    assert "Scope `end-to-end`: from the bytes of a JPEG photograph of 600 x 800" in card
    assert "| decode |" in card

    again = run_bench("latency", place, "--output-format=json")
    assert again.code == 0, again.err
    [measured] = json.loads(again.out)["artifacts"]
    assert (measured["latency"]["scope"], measured["latency"]["photo_px"]) == ("end-to-end", [600, 800])
    assert len(measured["latency"]["parts"]) == 3


@pytest.mark.parametrize("target", ["x86-onnxruntime", "x86-openvino", "x86-mnn"])
def test_the_budget_of_a_batch(target: str, run: Run, run_bench: Run, tiny: tuple[str, ...], tmp_path: Path) -> None:
    place = tmp_path / "dist"
    source = FEW_IMAGES if target == "x86-onnxruntime" else tiny  # the demo network, and another one
    ran = run(f"--target={target}", "--batch-size=8", *ONE_CANDIDATE, *source, f"--out={place}")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["latency"]["batch"] == read_manifest(place).budget.query.batch_size == 8
    assert "Each latency is of a batch of 8 images." in (place / "README.md").read_text(encoding="utf-8")

    again = run_bench(place)
    assert again.code == 0, again.err
    assert "batch 8, scope compute" in again.out
    assert "images/s" in again.out

    model = prunnet_export.load(place, threads=1)
    images = [photograph((120, 100 + index)) for index in range(11)]
    alone = np.concatenate([model.embed([image]) for image in images])
    np.testing.assert_allclose(model.embed(images), alone, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("--photo-px=600x800",), "--photo-px is for a latency that begins with a photograph", "--scope end-to-end"),
        (("--scope=end-to-end", "--photo-px=12mp"), "--photo-px '12mp' is no size in pixels", "256x128"),
        (("--scope=end-to-end", "--photo-px=32"), "a photograph of 32x32 pixels", "64 to 9999"),
        (("--scope=end-to-end", "--device=predicted"), "an end-to-end latency is not predicted", "--scope compute"),
        (("--batch-size=8", "--target=iphone"), "files for coreml take one image at a time", "--batch-size"),
    ],
)
def test_what_cannot_be_measured_is_refused(words: tuple[str, ...], message: str, hint: str, run: Run) -> None:
    ran = run("--target=x86-onnxruntime", "--budget-ms=5", *words)
    assert_error(ran, 2)
    assert message in ran.err
    assert hint in ran.err


def test_a_batch_is_predicted_from_the_limits_of_the_target(run: Run, tiny: tuple[str, ...], tmp_path: Path) -> None:
    place = tmp_path / "dist"
    ran = run(
        *("--target=raspberry-pi-5", "--device=predicted", "--batch-size=8", "--budget-ms=1000"),
        *("--precision=fp32", *tiny, f"--out={place}"),
    )
    assert ran.code == 0, ran.err
    latency = read_manifest(place).latency
    assert (latency.source, latency.batch) == ("predicted", 8)
    assert "the weights are read once" in latency.basis
    shutil.rmtree(place)
