from __future__ import annotations

import msgspec
import pytest

from prunnet_export.artifact import Manifest
from prunnet_export.artifact._card import render_card

replace = msgspec.structs.replace


def cells(card: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("|")]


def test_says_what_it_is_how_to_use_it_and_what_came_out(manifest: Manifest) -> None:
    card = render_card(manifest)
    for text in (
        "# demo for x86",
        "prunnet_export.load",
        "pip install 'prunnet-export[onnxruntime]'",
        "39.0% (39 of 100 prunable weights)",
        "measured, n 90 in 3 runs, onnxruntime 1.32.0, 2 threads, batch 1",
        "| parity | 0.99999 | >= 0.999 | 64 | passed | worst image |",
        "1,000 queries against 2,000 gallery images",
        "A CPU, 2 cores",
        "12.5 MiB",
        "EXIF orientation",
        "transparent pixels on white",
        "shorter side has 18 pixels",
        "Crop 16 x 16 pixels",
        "float32 [1, 3, 16, 16]",
    ):
        assert text in card
    assert "Rejected" not in card


def test_every_latency_row_has_its_terms(manifest: Manifest) -> None:
    rows = [row for row in cells(render_card(manifest)) if row[0] in {"this artifact", "dense network"}]
    assert len(rows) == 2
    assert all("measured, n 90" in row[-1] for row in rows)


def test_tables_are_rectangular_whatever_the_texts(manifest: Manifest) -> None:
    gates = [replace(manifest.verification.gates[0], note="a | b\n| c", name="<script>")]
    card = render_card(replace(manifest, verification=replace(manifest.verification, gates=gates)))
    assert "<script>" not in card
    assert "| &lt;script> | 0.99999 | >= 0.999 | 64 | passed | a \\| b \\| c |" in card


def test_rejected_says_why_and_how_to_look_at_it(manifest: Manifest) -> None:
    card = render_card(replace(manifest, status="rejected", reasons=["p90 16.1 ms > 15 ms"]))
    assert "**Rejected.**" in card
    assert "> - p90 16.1 ms > 15 ms" in card
    assert "allow_rejected=True" in card


def test_predictions_are_not_called_measured(manifest: Manifest) -> None:
    latency = replace(manifest.latency, source="predicted")
    card = render_card(replace(manifest, latency=latency, dense_latency=None, memory=None))
    row = next(row for row in cells(card) if row[0] == "this artifact")
    assert row[-1].startswith("predicted")
    assert "not measured" in card


@pytest.mark.parametrize("scatter", [0.02, 0.2])
def test_unsteady_clocks_are_worth_a_line(scatter: float, manifest: Manifest) -> None:
    card = render_card(replace(manifest, latency=replace(manifest.latency, cv=scatter)))
    assert ("not steady" in card) == (scatter > 0.025)


def test_without_labels_there_are_no_scores(manifest: Manifest) -> None:
    bare = replace(
        manifest.verification, cross_r1=None, cross_map=None, self_r1=None, self_map=None, dense_self_r1=None
    )
    card = render_card(replace(manifest, verification=bare))
    assert "R@1" not in card
    assert "parity" in card
