from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.benchmarks._compat import CompatRow, compatibility
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.network import load_checkpoint
from prunnet_export.search import Evidence
from prunnet_export.verification import load_gallery
from tests._cli import assert_error, call
from tests._inputs import retrieval_data

Environment = dict[str, str]


@pytest.fixture(scope="module")
def evidence(tiny_network: Path) -> Evidence:
    """The tiny network on images in memory."""
    return Evidence(load_checkpoint(tiny_network), retrieval_data())


def table(evidence: Evidence, *capacities: float, patterns: tuple[str, ...] = ("channel",)) -> list[CompatRow]:
    return compatibility(evidence.checkpoint, evidence, patterns=patterns, capacities=capacities, channel_multiple=8)


def test_at_capacity_one_self_is_cross(evidence: Evidence) -> None:
    for row in table(evidence, 1.0, patterns=("channel", "unstructured")):
        assert row.capacity == 1
        assert row.self_test == row.cross_test
        assert row.self_test.recall_at.keys() == {1, 10}
        assert row.self_test.n_queries == 8


def test_a_row_for_each_pattern_and_capacity(evidence: Evidence) -> None:
    rows = table(evidence, 1.0, 0.3, patterns=("unstructured", "channel"))
    assert [(row.pattern, row.asked) for row in rows] == [
        ("unstructured", 1.0),
        ("unstructured", 0.3),
        ("channel", 1.0),
        ("channel", 0.3),
    ]
    assert rows[3].capacity < 0.35
    assert rows[3].self_test != rows[3].cross_test


def test_query_and_gallery_of_the_same_images(evidence: Evidence) -> None:
    data = replace(evidence.data, gallery=evidence.data.query, exclude_self=True)
    [row] = table(replace(evidence, data=data), 1.0)
    assert row.self_test == row.cross_test
    assert row.self_test.n_queries == 8


def test_a_capacity_out_of_reach(evidence: Evidence) -> None:
    with pytest.raises(InvalidInput):
        table(evidence, 0.001)


def test_the_command(
    tiny_network: Path, tiny_data: Path, environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("compat", "--network", tiny_network, "--data", tiny_data, "--capacities=1,0.3")
    ran = call(capfd, bench, environment, *words, "--output-format=json")
    assert (ran.code, ran.err) == (0, "")
    report = json.loads(ran.out)
    assert (report["n_queries"], report["n_gallery"]) == (2, 4)
    dense, cut = report["rows"]
    assert dense["self_test"] == dense["cross_test"]
    assert cut["asked"] == 0.3
    human = call(capfd, bench, environment, *words)
    assert human.code == 0
    assert "cross R@1" in human.out


def test_a_gallery_that_was_written_can_be_read(
    tiny_network: Path,
    tiny_data: Path,
    environment: Environment,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "gallery.npz"
    words = ("gallery", "--network", tiny_network, "--data", tiny_data, "--out", file, "--output-format=json")
    ran = call(capfd, bench, environment, *words)
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["images"] == 4
    config = load_checkpoint(tiny_network).config
    loaded = load_gallery(file, network=config.weights_sha256, dim=config.embedding_dim)
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "args", [("--capacities=x",), ("--pattern=chanel",), ("--network=/nowhere",), ("--data=/nowhere",)], ids=str
)
def test_bad_input(
    args: tuple[str, ...],
    tiny_network: Path,
    tiny_data: Path,
    environment: Environment,
    capfd: pytest.CaptureFixture[str],
) -> None:
    ran = call(capfd, bench, environment, "compat", "--network", tiny_network, "--data", tiny_data, *args)
    assert_error(ran, 2)
