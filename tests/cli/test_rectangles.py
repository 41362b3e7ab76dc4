"""From the training to the vectors of an artifact with images that are higher than wide."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import prunnet_export
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.cli._command import command as export
from prunnet_export.training.cli import command as train
from tests._cli import call
from tests._inputs import write_folder


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A data set in the layout of Market-1501; its images are 32 x 16 pixels."""
    draw = np.random.default_rng(0)
    for folder, persons in (("bounding_box_train", range(1, 9)), ("query", [9, 10]), ("bounding_box_test", [9, 10])):
        (tmp_path / "people" / folder).mkdir(parents=True)
        camera = 1 if folder == "query" else 2
        for person in persons:
            for shot in range(6):
                pixels = draw.integers(0, 60, (32, 16, 3)) + np.array([20 * person, 200 - 15 * person, 90])
                name = f"{person:04d}_c{camera}s1_{shot:06d}_00.png"
                Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "people" / folder / name)
    return tmp_path / "people"


def test_the_layout_chooses_and_the_artifact_keeps_it(
    people: Path, tmp_path: Path, environment: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "artifact"
    network = ("--backbone-option", "channels=8,8,16,16", "--embedding-dim", "16", "--crop-px", "32x16")
    short = ("--epochs", "1", "--batch-size", "16", "--capacities", "0.5")
    assert call(capfd, train, environment, people, "--out", run, *network, *short).code == 0
    stored = json.loads((run / "config.json").read_text(encoding="utf-8"))["preprocessing"]
    assert (stored["crop"], stored["resize"], stored["fit"]) == ([32, 16], [32, 16], "squash")

    budget = ("--target", "x86-onnxruntime", "--budget-ms", "1000", "--min-recall", "0", "--min-overlap", "0")
    exported = call(capfd, export, environment, "--network", run, "--out", out, *budget)
    assert exported.code in {0, 1}, exported.err  # so little training may miss a gate
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["preprocessing"] == stored
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "to 32 x 16 (height x width) pixels, whatever its ratio" in card
    assert "float32 [1, 3, 32, 16]" in card

    model = prunnet_export.load(out, allow_rejected=True)
    wide = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 90, 3), np.uint8))
    squashed = np.asarray(wide.resize((16, 32), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(model.embed([wide]), model.embed([squashed]))
    assert call(capfd, bench, environment, "check", out, "--device", "local").code == exported.code


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("32x", "--crop-px '32x' is no size in pixels"),
        ("4x64", "--crop-px 4x64 is out of range"),
        ("64x4096", "--crop-px 64x4096 is out of range"),
    ],
)
def test_a_wrong_size_is_one_line(
    size: str, message: str, tmp_path: Path, environment: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    ran = call(capfd, train, environment, write_folder(tmp_path / "data", side=16), "--crop-px", size)
    assert ran.code == 2
    assert message in ran.err
    assert "Traceback" not in ran.err


def test_a_crop_larger_than_the_resize_is_refused(
    tmp_path: Path, environment: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "data", side=16)
    ran = call(capfd, train, environment, folder, "--crop-px", "32x16", "--resize-px", "16x32")
    assert ran.code == 2
    assert "preprocessing crops 32x16 pixels out of 16x32" in ran.err
