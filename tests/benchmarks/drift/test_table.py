from __future__ import annotations

import json
from pathlib import Path

import pytest

from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.benchmarks.drift._corruptions import CORRUPTIONS
from prunnet_export.benchmarks.drift._table import DriftRow, breaks_first, drift_table
from tests._cli import assert_error, call

COUNT = 1 + sum(len(one.strengths) for one in CORRUPTIONS)


def row(asked: float, corruption: str, strength: float | None, r1: float) -> DriftRow:
    return DriftRow("channel", asked, asked, corruption, strength, r1, 50)


ROWS = [
    row(1.0, "clean", None, 0.8), row(1.0, "JPEG", 5, 0.6), row(1.0, "blur", 0.04, 0.4),
    row(0.2, "clean", None, 0.6), row(0.2, "JPEG", 5, 0.3), row(0.2, "blur", 0.04, 0.3),
]  # fmt: skip


def test_golden() -> None:
    table = drift_table(ROWS, "title")
    assert table.columns == ("queries", "strength", "100%", "20%")
    assert table.rows == (
        ("clean", "", "80.0%", "60.0%"),
        ("JPEG", "5 (quality)", "60.0%", "30.0%"),
        ("blur", "0.04 (radius / shorter side)", "40.0%", "30.0%"),
    )
    assert breaks_first(ROWS) == ("first to break: 20% with JPEG 5 keeps 50% of its clean R@1, the dense network 75%")


def test_no_subnetwork_is_worse() -> None:
    assert "no subnetwork" in breaks_first(ROWS[:3])
    assert "no subnetwork" in breaks_first([*ROWS[:3], row(0.2, "clean", None, 0.0), row(0.2, "JPEG", 5, 0.0)])
    assert "no subnetwork" in breaks_first([*ROWS[:3], row(0.2, "clean", None, 0.4), row(0.2, "JPEG", 5, 0.4)])


def test_the_command(
    tiny_network: Path, tiny_data: Path, capfd: pytest.CaptureFixture[str], environment: dict[str, str]
) -> None:
    words = ("compat", f"--network={tiny_network}", f"--data={tiny_data}", "--corruptions", "--capacities=0.5")
    ran = call(capfd, bench, environment, *words, "--output-format=json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    rows = document["corruptions"]
    assert len(rows) == 2 * COUNT
    assert {one["asked"] for one in rows} == {1.0, 0.5}
    clean = next(one for one in rows if one["asked"] == 0.5 and one["corruption"] == "clean")
    assert clean["r1"] == document["rows"][0]["cross_test"]["recall_at"]["1"]
    shown = call(capfd, bench, environment, *words)
    assert all(one.name in shown.out for one in CORRUPTIONS)
    assert "clean R@1" in shown.out or "no subnetwork" in shown.out


def test_one_pattern(
    tiny_network: Path, tiny_data: Path, capfd: pytest.CaptureFixture[str], environment: dict[str, str]
) -> None:
    ran = call(
        capfd, bench, environment, "compat", f"--network={tiny_network}", f"--data={tiny_data}", "--corruptions",
        "--pattern=channel", "--pattern=unstructured",
    )  # fmt: skip
    assert_error(ran, 2)
    assert "--corruptions takes one pattern" in ran.err


@pytest.mark.parametrize("name", [one.name for one in CORRUPTIONS])
def test_the_page_explains_each(name: str) -> None:
    page = (Path(__file__).parents[3] / "docs" / "drift.md").read_text("utf-8")
    assert f"| {name} |" in page
