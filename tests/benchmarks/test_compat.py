from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.benchmarks._compat import Compatibility, CompatRow
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.evaluating import Evidence
from prunnet_export.network import load_checkpoint
from prunnet_export.protocol import Protocol
from prunnet_export.relevance import Listed, Lists
from prunnet_export.vectors import open_vectors
from tests._cli import assert_error, call
from tests._inputs import retrieval_data

Environment = dict[str, str]


@pytest.fixture(scope="module")
def evidence(tiny_network: Path) -> Evidence:
    """The tiny network on images in memory."""
    return Evidence(load_checkpoint(tiny_network), retrieval_data(), 100, 100)


def table(evidence: Evidence, *capacities: float, patterns: tuple[str, ...] = ("channel",)) -> list[CompatRow]:
    job = Compatibility(evidence, 8)
    return [row for pattern in patterns for row in job.rows(job.embedded(pattern, capacities))]


def test_at_capacity_one_self_is_cross(evidence: Evidence) -> None:
    for row in table(evidence, 1.0, patterns=("channel", "unstructured")):
        assert row.capacity == 1
        assert row.self_test == row.cross_test
        assert row.self_test.recall_at.keys() == {1}
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


def test_the_figures_and_judgements_are_the_data_sets(evidence: Evidence) -> None:
    lists = {name: Lists.of([[row], [], *[[0]] * 6]) for name, row in (("hard", 3), ("easy", 4))}
    data = replace(
        evidence.data,
        judged={name: Listed(one, Lists.of([[1]] * 8), 8) for name, one in lists.items()},
        protocol=Protocol(precision_at=(5,), trapezoid=True),
    )
    rows = table(replace(evidence, data=data), 1.0)
    assert [row.judged for row in rows] == ["hard", "easy"]
    for row in rows:
        assert row.cross_test.precision_at.keys() == {5}
        assert row.cross_test.n_queries == 7  # one has nothing relevant by the first judgement, and is not embedded
    assert rows[0].cross_test != rows[1].cross_test


def test_a_judgement_without_anything_to_find_is_left_out(evidence: Evidence, caplog: pytest.LogCaptureFixture) -> None:
    lists = {"medium": Lists.of([[3], [4], *[[]] * 6]), "hard": Lists.of([*[[]] * 7, [0]])}
    judged = {name: Listed(one, Lists.of([[]] * 8), 8) for name, one in lists.items()}
    rows = table(replace(evidence, data=replace(evidence.data, judged=judged)), 1.0, 0.3)
    assert [row.judged for row in rows] == ["medium", "medium"]
    assert caplog.messages == ["hard is left out: none of the chosen queries has a relevant image"]


def test_all_pairs_hold_self_test_and_cross_test(evidence: Evidence) -> None:
    job = Compatibility(evidence, 8)
    embedded = list(job.embedded("channel", [1.0, 0.3]))
    rows, cells = list(job.rows(embedded)), job.all_pairs(embedded)
    assert [(cell.query, cell.gallery) for cell in cells] == [(1, 1), (1, 0.3), (0.3, 1), (0.3, 0.3)]
    assert cells[0].metrics == rows[0].self_test
    assert cells[2].metrics == rows[1].cross_test
    assert cells[3].metrics == rows[1].self_test


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
    assert "all_pairs" not in report
    human = call(capfd, bench, environment, *words)
    assert human.code == 0
    header, *lines = [line for line in human.out.splitlines() if line.startswith("|")]
    names = [name.strip() for name in header.split("|")[1:-1]]
    assert names == ["pattern", "capacity", "kept", "test", "R@1", "95%", "R@2", "R@4", "R@8", "mAP"]
    assert [line.split("|")[4].strip() for line in lines] == ["self", "cross"] * 2


def test_the_command_prints_all_pairs(
    tiny_network: Path, tiny_data: Path, environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    # The dense network is part of it, asked for or not.
    words = ("compat", "--network", tiny_network, "--data", tiny_data, "--capacities=0.3", "--all-pairs")
    report = json.loads(call(capfd, bench, environment, *words, "--output-format=json").out)
    assert report["all_pairs"]["pattern"] == "channel"
    cells = {(cell["query"], cell["gallery"]): cell["metrics"] for cell in report["all_pairs"]["cells"]}
    assert cells.keys() == {(1, 1), (1, 0.3), (0.3, 1), (0.3, 0.3)}
    assert cells[0.3, 1] == report["rows"][1]["cross_test"]
    human = call(capfd, bench, environment, *words)
    assert human.code == 0
    figures = {
        "R@1": {pair: metrics["recall_at"]["1"] for pair, metrics in cells.items()},
        "mAP": {pair: metrics["mean_average_precision"] for pair, metrics in cells.items()},
    }
    for name, figure in figures.items():
        table = human.out.split(f"{name}: query x gallery")[1]
        shown = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line[:1] == "|"]
        assert shown[:3] == [
            ["query", "100%", "30%"],
            ["100%", f"{figure[1, 1]:.1%}", f"{figure[1, 0.3]:.1%}"],
            ["30%", f"{figure[0.3, 1]:.1%}", f"{figure[0.3, 0.3]:.1%}"],
        ]


def test_all_pairs_are_of_one_pattern(
    tiny_network: Path, tiny_data: Path, environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("--pattern=channel", "--pattern=unstructured", "--all-pairs")
    ran = call(capfd, bench, environment, "compat", "--network", tiny_network, "--data", tiny_data, *words)
    assert ran.code == 2
    assert "one pattern" in ran.err


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
    loaded = open_vectors(file)
    assert (loaded.network, loaded.dim) == (config.weights_sha256, config.embedding_dim)
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [0, 0, 1, 1]


def test_a_gallery_of_nothing(
    tiny_network: Path, environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train/a/a/a").mkdir(parents=True)
    (tmp_path / "train/a/a/a/aaa1.jpg").touch()
    (tmp_path / "train_list.txt").write_text("train/a/a/a/aaa1.jpg 1\n")
    words = ("gallery", "--network", tiny_network, "--data", tmp_path, "--out", tmp_path / "g.npz")
    assert_error(call(capfd, bench, environment, *words), 2)
    assert not (tmp_path / "g.npz").exists()


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


def test_a_pattern_that_reaches_no_capacity(evidence: Evidence) -> None:
    with pytest.raises(InvalidInput, match=r"channel\+2:4 reaches none of the capacities"):
        table(evidence, 0.8, patterns=("channel+2:4",))
