from __future__ import annotations

import msgspec
import pytest

from prunnet_export.artifact import GalleryEntry, Gate, GoldenEntry, Manifest, MatchThreshold
from prunnet_export.artifact._card import render_card
from prunnet_export.measuring import PartLatency
from prunnet_export.network_config import TeacherEntry

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


def test_says_which_images_are_in_it_and_how_to_test_a_device(manifest: Manifest) -> None:
    card = render_card(manifest)
    assert "the original files of the query images" in card
    assert "golden" not in card
    verification = replace(manifest.verification, query_images="pixels")
    card = render_card(replace(manifest, golden=GoldenEntry(), verification=verification))
    assert "the query images at the size of the input" in card
    assert "`golden/pixels.u8` after step 4 (uint8 [16, 16, 3])" in card
    assert "from (width - 16) // 2 and (height - 16) // 2 on" in card


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


def test_the_gallery_and_the_thresholds_of_a_match(manifest: Manifest) -> None:
    assert "The gallery is made for this verification: 2,000 x 8 float32, searched by cosine." in render_card(manifest)
    assert "accepts matches by a threshold" not in render_card(manifest)
    gallery = GalleryEntry(
        made_by="teacher", file="their.parquet", count=9000, dim=8, stored="int8", metric="l2", query_scale=2.5
    )
    overlap = Gate(
        name="neighbour overlap", value=0.7, threshold=0.5, comparison=">=", passed=True, n=64, interval=(0.65, 0.75)
    )
    thresholds = [MatchThreshold(false_accept_rate=0.001, pairs=50_000, teacher=0.8, artifact=0.91)]
    verification = replace(
        manifest.verification, gallery=gallery, gates=[overlap], match_thresholds=thresholds, cross_r1=0.5
    )
    teacher = TeacherEntry(name="their|model.onnx", kind="onnx", sha256="b" * 64, sample_sha256="c" * 64)
    network = replace(manifest.network, teacher=teacher)
    card = render_card(replace(manifest, network=network, verification=verification))
    for text in (
        "a gallery of its *teacher*, their\\|model.onnx",
        "their.parquet: 9,000 x 8 int8, searched by l2, with embeddings of this artifact times 2.5",
        "| neighbour overlap | 0.7 (95% 0.65 to 0.75) | >= 0.5 | 64 | passed |",
        "query by this artifact, gallery by the teacher",
        "teacher's self-test: both by the teacher",
        "| 0.001 | 0.8 | 0.91 | 50,000 |",
        "artifact: distance at most",
        "accepts matches by a threshold",
    ):
        assert text in card
    assert "*dense* network" not in card


def test_without_labels_there_are_no_scores(manifest: Manifest) -> None:
    bare = replace(
        manifest.verification, cross_r1=None, cross_map=None, self_r1=None, self_map=None, teacher_self_r1=None
    )
    card = render_card(replace(manifest, verification=bare))
    assert "R@1" not in card
    assert "parity" in card


def test_says_what_the_latency_is_of(manifest: Manifest) -> None:
    assert "Scope `compute`: the network alone" in render_card(manifest)
    parts = [
        PartLatency(name="decode", p50_ms=5, percentile_ms=6, mean_ms=5, n=90),
        PartLatency(name="network", p50_ms=1.5, percentile_ms=1.6, mean_ms=1.4, n=90),
    ]
    latency = replace(manifest.latency, scope="end-to-end", photo_px=(3024, 4032), batch=8, parts=parts)
    card = render_card(replace(manifest, latency=latency))
    assert "Scope `end-to-end`: from the bytes of a JPEG photograph of 3024 x 4032 (height x width) pixels" in card
    [row] = [row for row in cells(card) if row[0] == "decode"]
    assert [*map(float, row[1:4]), row[-1]] == [5, 6, 5, "90"]
    assert "a batch of 8 images" in card
    assert "images per second (batch 8 / p50, measured" in card
