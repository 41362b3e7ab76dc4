"""The table of overlap and R@1 in the docs is that of the stored runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prunnet_export.benchmarks import overlap_fit

ROOT = Path(__file__).parents[2]


def test_a_known_line_is_found() -> None:
    draw = np.random.default_rng(0)
    runs = []
    for _ in range(12):
        overlap = draw.uniform(0.3, 0.9, 6)
        runs.append(np.stack([overlap, 0.5 + 0.6 * overlap + draw.normal(0, 0.01, 6)], axis=1))
    found = overlap_fit.fit(runs)
    assert (found.points, found.runs) == (72, 12)
    assert found.at_recall == pytest.approx(0.75, abs=0.01)
    assert found.interval is not None
    assert found.interval[0] < found.at_recall < found.interval[1]
    assert found.spread == pytest.approx(0.01, rel=0.3)
    assert found.correlation > 0.95
    assert overlap_fit.fit(runs[:2]).interval is None


def test_the_docs_have_the_table_of_the_stored_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    picture = tmp_path / "overlap.png"
    monkeypatch.setattr("sys.argv", ["overlap_fit", str(ROOT / "docs" / "methods"), "--picture", str(picture)])
    overlap_fit.main()
    page = (ROOT / "docs" / "export.md").read_text("utf-8")
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) > 4
    assert [line for line in printed if line not in page.splitlines()] == []
    with Image.open(picture) as drawn, Image.open(ROOT / "docs" / "images" / "overlap.png") as shown:
        assert drawn.info["Description"] == shown.info["Description"]
