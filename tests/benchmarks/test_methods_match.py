"""``prunnet-bench methods --match``: the command, the gallery of the teacher, and the tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prunnet_export.benchmarks._methods_match import FixedGallery, MatchFigures, MatchRun
from prunnet_export.benchmarks._methods_match_table import matching_report
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.benchmarks.methods.matching import Nested, Students
from prunnet_export.datasets import ImageSplit, open_dataset
from prunnet_export.evaluating import ChosenImages
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.reports import render
from tests._cli import DIM, Ran, assert_error, call, tree, write_network
from tests._inputs import retrieval_data
from tests.benchmarks._bench import TEACHER, forget_widths, tiny_settings

Environment = dict[str, str]
Compare = Callable[..., Ran]
SMALL = (
    "--backbone-option=channels=8,16,24,32", "--crop-px=32", "--resize-px=32", "--batch-size=6", "--steps=2",
    "--learning-rate=0.05", "--channel-multiple=4", "--train-capacities=0.3", "--student-capacities=0.6,0.3",
    "--capacities=1,0.6,0.3",
)  # fmt: skip


@pytest.fixture
def compare(
    tiny_data: Path, tiny_network: Path, tmp_path: Path, environment: Environment, capfd: pytest.CaptureFixture[str]
) -> Compare:
    """Runs the command on the tiny data set, with the tiny network as the teacher."""

    def run(*words: str | Path, match: str | Path = tiny_network, out: str = "runs") -> Ran:
        place = ("--data", tiny_data, "--out", tmp_path / out, "--match", match)
        return call(capfd, bench, environment, "methods", *place, *SMALL, *words)

    return run


def write_vectors(file: Path, splits: dict[str, ImageSplit]) -> Path:
    """The vectors of a teacher that knows nothing but the brightness of the images, by name."""
    names, vectors = [], []
    for split in splits.values():
        names += list(split.relative_names)
        vectors += [[float(np.asarray(split.image(i)).mean()), 100.0, float(i % 3)] for i in range(len(split))]
    np.savez(file, names=np.array(names), embeddings=np.array(vectors, np.float32))
    return file


def document(ran: Ran) -> Any:
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_one_table_of_nested_and_students(compare: Compare, tmp_path: Path, tiny_network: Path) -> None:
    report = document(compare("--methods=regression-equal-cost,nested,csd", "--seeds=2", "--output-format=json"))
    assert [row["row"] for row in report["rows"]] == ["nested", "csd", "regression-equal-cost"]
    settings = report["settings"]
    assert settings["embedding_dim"] == DIM
    assert settings["optimizer"] == "adamw"  # the default with a teacher
    assert settings["match"]["teacher"] == tiny_network.name
    assert len(settings["match"]["sha256"]) == 64
    for row in report["rows"]:
        for kind in ("trained", "refitted"):
            assert list(row[kind]) == ["1", "0.6", "0.3"]
            for of_capacity in row[kind].values():
                assert len(of_capacity["cross_r1"]["values"]) == 2
                assert 0 <= of_capacity["overlap"]["mean"] <= 1
    costs = {(run["method"], run["seed"]): (run["cost"], run["steps"]) for run in report["runs"]}
    nested, students = costs["nested", 0], costs["csd", 0]
    assert nested[0] < 1.3
    assert students[0] >= 1.8
    assert costs["regression-equal-cost", 0] == (students[0] / 2, 1)
    names = {"settings.json", *(f"{m}-{s}.json" for m in ("nested", "csd", "regression-equal-cost") for s in (0, 1))}
    assert set(tree(tmp_path / "runs")) == names


def test_runs_of_older_widths_get_no_new_ones_beside_them(compare: Compare, tmp_path: Path) -> None:
    first = document(compare("--methods=nested", "--output-format=json"))
    forget_widths(tmp_path / "runs")
    assert document(compare("--methods=nested", "--output-format=json")) == first
    ran = compare("--methods=nested,csd")
    assert ran.code == 2
    assert "csd-0.json is missing. The runs of this folder have the widths 'uniform'; new ones get" in ran.err
    assert set(tree(tmp_path / "runs")) == {"settings.json", "nested-0.json"}


def test_equal_cost_needs_the_nested_run_and_nothing_is_trained_twice(compare: Compare, tmp_path: Path) -> None:
    words = ("--methods=regression-equal-cost", "--output-format=json")
    first = document(compare(*words))
    assert set(tree(tmp_path / "runs")) == {"settings.json", "nested-0.json", "regression-equal-cost-0.json"}
    assert [row["row"] for row in first["rows"]] == ["regression-equal-cost"]
    with (
        patch.object(Nested, "train", side_effect=AssertionError),
        patch.object(Students, "train", side_effect=KeyboardInterrupt),
    ):
        assert document(compare(*words)) == first
        assert compare("--methods=nested").code == 0
        assert compare("--methods=nested,ssp").code == 130


def test_another_teacher_is_another_comparison(compare: Compare, tmp_path: Path) -> None:
    assert compare("--methods=nested").code == 0
    before = tree(tmp_path / "runs")
    other = write_network(tmp_path / "other", seed=1)
    for words, match in (((), other), (("--views=2",), None), (("--student-capacities=0.6",), None)):
        ran = compare("--methods=regression", *words, **({} if match is None else {"match": match}))
        assert ran.code == 2
        assert "have match = " in ran.err or "have student_capacities = " in ran.err
    assert tree(tmp_path / "runs") == before


def test_views_are_those_of_each_seed(compare: Compare) -> None:
    report = document(compare("--methods=regression", "--seeds=2", "--views=2", "--output-format=json"))
    assert report["settings"]["match"]["views"] == 2


def test_vectors_of_all_images_by_name(compare: Compare, tiny_data: Path, tmp_path: Path) -> None:
    data = open_dataset(str(tiny_data))
    whole = {"train": data.train, "query": data.query, "gallery": data.gallery}
    ran = compare("--methods=regression", "--output-format=json", match=write_vectors(tmp_path / "their.npz", whole))
    report = document(ran)
    assert report["settings"]["embedding_dim"] == 3
    assert report["settings"]["match"]["kind"] == "vectors"
    assert report["teacher"]["r1"] == 1  # the classes differ in brightness


def test_vectors_of_training_images_alone(compare: Compare, tiny_data: Path, tmp_path: Path) -> None:
    file = write_vectors(tmp_path / "their.npz", {"train": open_dataset(str(tiny_data)).train})
    ran = compare("--methods=nested", match=file)
    assert ran.code == 2
    assert "their.npz has no vector of 2 of 2 query or gallery images, e.g. query/class-0/0.png" in ran.err
    assert "give the model that made it" in ran.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--methods=channel",), "unknown method 'channel'"),
        (("--methods=nested", "--label-weight=1"), "without labels"),
        (("--methods=nested", "--embedding-dim=8"), "--embedding-dim"),
        (("--methods=nested", "--student-capacities=2"), "capacity 2"),
        (("--methods=nested", "--match=self"), "--match self needs weights"),
        (("--methods=nested", "--match=nowhere"), "nowhere"),
    ],
    ids=str,
)
def test_bad_input(words: tuple[str, ...], told: str, compare: Compare, tmp_path: Path) -> None:
    ran = compare(*words)
    assert_error(ran, 2)
    assert told in ran.err
    assert not list(tmp_path.iterdir())


def test_options_of_a_teacher_need_one(
    tiny_data: Path, environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = call(capfd, bench, environment, "methods", "--data", tiny_data, "--steps=2", "--views=2")
    assert_error(ran, 2)
    assert "--views says something about a teacher" in ran.err


class Given(nn.Module):
    """An embedder whose embeddings are given."""

    def __init__(self, vectors: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        super().__init__()
        self.vectors = torch.from_numpy(vectors)

    def forward(self, images: Tensor) -> Tensor:
        return self.vectors[: len(images)]


def test_figures_are_those_of_queries_in_the_teachers_gallery() -> None:
    data = retrieval_data()  # eight queries and eight gallery images of four classes, in turn
    images = ChosenImages(data, Preprocessing(crop=16, resize=16), 100, 100)
    gallery = np.eye(8, dtype=np.float32)
    fixed = FixedGallery(images, queries=gallery, gallery=gallery)
    assert fixed.teacher.recall_at[1] == 1
    perfect = fixed.figures(0.5, Given(gallery))
    assert (perfect.capacity, perfect.cross_r1, perfect.overlap) == (0.5, 1, 1)
    # Half of the queries come nearest to an image of another class.
    assert fixed.figures(1, Given(gallery[[0, 1, 2, 3, 5, 6, 7, 4]])).cross_r1 == 0.5


def figures(capacity: float, r1: float, overlap: float) -> MatchFigures:
    return MatchFigures(capacity=capacity, cross_r1=r1, cross_map=0.25, overlap=overlap)


def made(method: str, seed: int, dense: float, narrow: float, *, steps: int = 10, cost: float = 1.5) -> MatchRun:
    return MatchRun(
        method=method,
        seed=seed,
        steps=steps,
        trained=[figures(1, dense / 2, 0.3), figures(0.2, narrow / 2, 0.2)],
        refitted=[figures(1, dense, 0.6), figures(0.2, narrow, 0.4)],
        teacher_r1=0.8,
        teacher_map=0.5,
        seconds=3,
        cost=cost,
        n_queries=7,
        n_gallery=9,
        versions={},
    )


def test_the_tables_by_hand() -> None:
    runs = [made("nested", 0, 0.8, 0.6), made("nested", 1, 0.7, 0.6), made("ssp", 0, 0.4, 0.2, steps=8, cost=1.4)]
    settings = tiny_settings(capacities=(0.2, 0.1), match=TEACHER)
    report = matching_report(settings, "some data", Path("runs"), runs)
    refitted, trained, overlap = report.tables
    assert "in the gallery of their.npz, and in brackets in % of its self-test (80.0%), 7 queries" in refitted.title
    assert refitted.columns == ("method", "seeds", "steps", "cost", "dense", "20%", "10%")
    assert refitted.rows == (
        ("nested", 2, "10", "1.50", "75.0 ± 7.1 (93.8)", "60.0 ± 0.0 (75.0)", None),
        ("ssp", 1, "8", "1.40", "40.0 (50.0)", "20.0 (25.0)", None),
    )
    assert trained.rows[1] == ("ssp", 1, "8", "1.40", "20.0 (25.0)", "10.0 (12.5)", None)
    assert overlap.rows[0] == ("nested", 2, "10", "1.50", "60.0 ± 0.0", "40.0 ± 0.0", None)
    assert report.document["teacher"] == {"r1": 0.8, "map": 0.5}
    assert report.document["rows"][1]["refitted"]["0.1"] is None
    for output_format in ("table", "json", "markdown"):
        assert "some data" in render(report, output_format)
