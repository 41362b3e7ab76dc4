from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from prunnet_export.benchmarks._methods import Figures, Run
from prunnet_export.benchmarks._methods_table import methods_report
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.benchmarks.methods.dense import Dense
from prunnet_export.benchmarks.methods.prunable import Prunable
from prunnet_export.reports import render
from prunnet_export.training import TrainingBatches
from tests._cli import Ran, assert_error, call, tree
from tests._inputs import write_folder
from tests.benchmarks._bench import forget_widths, tiny_settings

Environment = dict[str, str]
Compare = Callable[..., Ran]
SMALL = (
    "--backbone-option=channels=8,16,24,32", "--embedding-dim=8", "--crop-px=32", "--resize-px=32", "--batch-size=6",
    "--steps=2", "--learning-rate=0.05", "--channel-multiple=4", "--train-capacities=0.6,0.3",
    "--capacities=1,0.6,0.3",
)  # fmt: skip


@pytest.fixture
def compare(tiny_data: Path, tmp_path: Path, environment: Environment, capfd: pytest.CaptureFixture[str]) -> Compare:
    """Runs the command on the tiny data set."""

    def run(*words: str, out: str = "runs") -> Ran:
        return call(capfd, bench, environment, "methods", "--data", tiny_data, "--out", tmp_path / out, *SMALL, *words)

    return run


def figures(ran: Ran) -> Any:
    """What does not depend on the clock."""
    assert ran.code == 0, ran.err
    return json.loads(ran.out)["rows"]


def test_methods_and_seeds_in_one_table(compare: Compare, tmp_path: Path) -> None:
    ran = compare("--methods=channel,dense", "--seeds=2", "--output-format=json")
    assert (ran.code, ran.err) == (0, "")
    report = json.loads(ran.out)
    assert [row["row"] for row in report["rows"]] == ["dense", "channel"]
    assert [(run["method"], run["seed"]) for run in report["runs"]] == [
        ("dense", 0),
        ("dense", 1),
        ("channel", 0),
        ("channel", 1),
    ]
    assert report["settings"]["train_capacities"] == [0.6, 0.3]
    assert report["settings"]["capacities"] == [0.6, 0.3]
    for row in report["rows"]:
        assert list(row["figures"]) == ["1", "0.6", "0.3"]
        dense = row["figures"]["1"]
        assert row["aligned"]["1"] == dense
        assert row["aligned"]["0.3"] != row["figures"]["0.3"]
        assert dense["self_r1"] == dense["cross_r1"]
        for of_capacity in row["figures"].values():
            values = of_capacity["cross_r1"]["values"]
            assert len(values) == 2
            assert of_capacity["cross_r1"]["mean"] == pytest.approx(sum(values) / 2)
            assert of_capacity["cross_r1"]["spread"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    for run in report["runs"]:
        assert run["seconds"] > 0
        assert run["versions"].keys() >= {"python", "torch", "prunnet-export"}
    folders = ["dense-0", "dense-1", "settings.json", *(f"{m}-{s}.json" for m in ("channel", "dense") for s in (0, 1))]
    assert sorted(entry.name for entry in (tmp_path / "runs").iterdir()) == sorted(folders)


def test_after_an_interruption_only_the_rest_is_trained(compare: Compare, tmp_path: Path) -> None:
    words = ("--methods=dense,channel,switchable", "--output-format=json")
    whole = figures(compare(*words, out="whole"))
    with patch.object(Prunable, "train", side_effect=KeyboardInterrupt):
        assert_error(compare(*words), 130, in_json=True)
    assert [name for name in tree(tmp_path / "runs") if name.endswith("-0.json")] == ["dense-0.json"]
    stamp = (tmp_path / "runs" / "dense-0.json").stat()
    assert figures(compare(*words)) == whole
    assert (tmp_path / "runs" / "dense-0.json").stat() == stamp
    with patch.object(Prunable, "train", side_effect=AssertionError):  # nothing is left to train
        assert figures(compare(*words)) == whole


def test_methods_that_were_run_apart(compare: Compare) -> None:
    figures(compare("--methods=bct", "--output-format=json"))
    human = compare("--methods=dense")
    assert human.code == 0
    together = compare("--methods=dense,bct", "--output-format=markdown")
    lines = [line for line in together.out.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines] == ["| method", "| ---", "| dense", "| bct"] * 2


def test_other_settings_are_refused(compare: Compare, tmp_path: Path) -> None:
    figures(compare("--methods=dense", "--output-format=json"))
    before = tree(tmp_path / "runs")
    for changed, told in (("--steps=3", "steps = 2, not 3"), ("--embedding-dim=16", "embedding_dim = 8, not 16")):
        ran = compare("--methods=channel", changed)
        assert_error(ran, 2)
        assert told in ran.err
    assert tree(tmp_path / "runs") == before


def test_the_same_images_at_another_place(compare: Compare, tiny_data: Path, tmp_path: Path) -> None:
    here = figures(compare("--methods=dense", "--output-format=json"))
    moved = shutil.copytree(tiny_data, tmp_path / "moved")
    for place in (f"{tiny_data}/", f"{moved}"):
        assert figures(compare("--methods=dense", "--output-format=json", f"--data={place}")) == here
    image = min((moved / "train").glob("*/*"))
    image.rename(image.with_name("other.png"))
    ran = compare("--methods=dense", f"--data={moved}")
    assert_error(ran, 2)
    assert f"have the images of {tiny_data}, not those of {moved}" in ran.err


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--methods=chanel",), "did you mean 'channel'?"),
        (("--methods=,",), "unknown method ''"),
        (("--train-capacities=2",), "capacity 2"),
        (("--capacities=0",), "capacity 0"),
        (("--capacities=many",), "--capacities"),
        (("--backbone-option=channels",), "channels"),
        (("--crop-px=64",), "crops 64 pixels out of 32"),
    ],
    ids=str,
)
def test_bad_input(args: tuple[str, ...], told: str, compare: Compare, tmp_path: Path) -> None:
    ran = compare("--methods=dense", *args)
    assert_error(ran, 2)
    assert told in ran.err
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_told_before_anything_is_written(compare: Compare, tmp_path: Path) -> None:
    with patch.dict("sys.modules", {"torchjd": None, "torchjd.aggregation": None}):
        ran = compare("--methods=dense,pcgrad")
    assert_error(ran, 2)
    assert "prunnet-export[bench]" in ran.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "{", "[]", '{"method": "dense"}'])
def test_a_damaged_run(content: str, compare: Compare, tmp_path: Path) -> None:
    with patch.object(Dense, "train", side_effect=KeyboardInterrupt):
        assert_error(compare("--methods=dense"), 130)
    (tmp_path / "runs" / "dense-0.json").write_text(content)
    ran = compare("--methods=dense")
    assert_error(ran, 2)
    assert "dense-0.json" in ran.err


def test_runs_that_nobody_knows_the_settings_of(compare: Compare, tmp_path: Path) -> None:
    figures(compare("--methods=dense", "--output-format=json"))
    settings = tmp_path / "runs" / "settings.json"
    settings.write_text("{")
    ran = compare("--methods=dense")
    assert_error(ran, 2)
    assert "settings.json" in ran.err
    assert "choose another --out" in ran.err
    settings.unlink()
    ran = compare("--methods=dense", "--steps=3")
    assert_error(ran, 2)
    assert "dense-0 exists, but its settings file settings.json does not" in ran.err
    assert not settings.exists()


def test_runs_of_older_widths_are_shown_and_get_no_new_ones_beside_them(compare: Compare, tmp_path: Path) -> None:
    first = figures(compare("--methods=dense", "--output-format=json"))
    forget_widths(tmp_path / "runs")
    assert figures(compare("--methods=dense", "--output-format=json")) == first
    ran = compare("--methods=dense", "--seeds=2")
    assert_error(ran, 2)
    assert "dense-1.json is missing. The runs of this folder have the widths 'uniform'; new ones get" in ran.err
    assert not (tmp_path / "runs" / "dense-1").exists()


@pytest.mark.parametrize("method", ["channel", "bct", "switchable"])
def test_what_cannot_be_cut_is_refused_before_training(method: str, compare: Compare, tmp_path: Path) -> None:
    with patch.object(TrainingBatches, "__init__", side_effect=AssertionError("trained")):
        ran = compare(
            f"--methods={method}", "--train-capacities=0.6,0.001", "--capacities=0.6,0.001", "--dense-first=0.5"
        )
    assert_error(ran, 2)
    assert "capacity 0.001 is below" in ran.err
    assert tree(tmp_path / "runs") == ["settings.json"]


def test_more_images_in_a_batch_than_there_are(compare: Compare) -> None:
    ran = compare("--methods=dense", "--batch-size=64")
    assert_error(ran, 2)
    assert "batch" in ran.err


def test_a_data_set_that_is_for_tests_alone(
    tmp_path: Path, environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    data = write_folder(tmp_path / "data")
    for file in (data / "train").rglob("*.png"):
        file.unlink()
    ran = call(capfd, bench, environment, "methods", "--data", data, "--out", tmp_path / "runs", *SMALL)
    assert_error(ran, 2)
    assert "train" in ran.err


def test_help_imports_no_torch() -> None:
    source = (
        "import sys; from prunnet_export.benchmarks.cli import command;"
        " command(['methods', '--help'], standalone_mode=False); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True, text=True)
    assert "--train-capacities" in done.stdout


def made(method: str, seed: int, rows: dict[str, dict[float, tuple[float, float]]]) -> Run:
    return Run(
        method=method,
        seed=seed,
        rows={
            row: [
                Figures(capacity=capacity, cross_r1=cross, self_r1=own, self_map=0.5, cross_map=0.5)
                for capacity, (cross, own) in of_row.items()
            ]
            for row, of_row in rows.items()
        },
        aligned={row: [Figures(capacity=1, cross_r1=1, self_r1=1, self_map=1, cross_map=1)] for row in rows},
        seconds=3 + seed,
        cost=1.5,
        n_queries=7,
        n_gallery=9,
        versions={},
    )


def test_the_table_by_hand() -> None:
    runs = [
        made("channel", 0, {"channel": {1: (0.9, 0.9), 0.6: (0.8, 0.7)}}),
        made("channel", 1, {"channel": {1: (0.8, 0.8), 0.6: (0.8, 0.9)}}),
        made("aml", 0, {"aml": {1: (0.5, 0.5)}}),
    ]
    report = methods_report(tiny_settings(capacities=(0.6,)), "some data", Path("runs"), runs)
    table, aligned = report.tables
    assert table.columns == aligned.columns == ("method", "seeds", "cost", "dense", "60%")
    assert aligned.rows == (("channel", 2, "1.50", "100.0 ± 0.0", None), ("aml", 1, "1.50", "100.0", None))
    assert table.rows == (
        ("channel", 2, "1.50", "85.0 ± 7.1", "80.0 ± 0.0 (80.0)"),
        ("aml", 1, "1.50", "50.0", None),
    )
    assert report.document["rows"][1]["figures"]["0.6"] is None
    assert report.document["rows"][1]["figures"]["1"]["cross_r1"] == {"mean": 0.5, "spread": None, "values": [0.5]}
    for output_format in ("table", "json", "markdown"):
        assert "some data" in render(report, output_format)


def test_a_pattern_of_one_share_has_a_column_of_its_own() -> None:
    run = made(
        "patterns", 0, {"patterns, channel": {1: (1, 1), 0.6: (1, 1)}, "patterns, 2:4": {1: (1, 1), 0.5: (1, 1)}}
    )
    table, _ = methods_report(tiny_settings(capacities=(0.6,)), "d", Path("runs"), [run]).tables
    assert table.columns[3:] == ("dense", "60%", "50%")
    assert [row[4:] for row in table.rows] == [("100.0 (100.0)", None), (None, "100.0 (100.0)")]


def test_images_that_nothing_is_judged_by_are_found_before_training(
    tiny_data: Path, tmp_path: Path, environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    for folder in sorted((data / "query").iterdir())[1:]:
        shutil.rmtree(folder)
    with patch.object(Prunable, "train", side_effect=AssertionError("trained")):
        words = ("methods", "--data", data, "--out", tmp_path / "runs", *SMALL, "--methods=channel")
        ran = call(capfd, bench, environment, *words)
    assert_error(ran, 2)
    assert "1 query image" in ran.err
