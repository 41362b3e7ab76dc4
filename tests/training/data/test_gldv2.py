"""Google Landmarks v2: the lists of the release, those of the papers, and each malformed line by its number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prunnet_export._imports import plugin, plugin_names
from prunnet_export.datasets import DatasetFormat
from prunnet_export.evaluating import retrieval_metrics
from prunnet_export.training.data._landmarks import image_path
from prunnet_export.training.data.gldv2 import FORMAT
from tests.training.data._trees import assert_recognised, assert_refused, below, write_images, write_lines

TRAIN = {"aaa1": 93, "abc2": 4, "aab3": 93}
INDEX = ["0001", "0102", "f003", "f014"]
PRIVATE = {"dd01": ["f003", "0001"], "dd02": ["0102"]}

OFFICIAL = {
    "train/train.csv": ["id,url,landmark_id", *(f'{i},"https://x/a,b",{label}' for i, label in TRAIN.items())],
    "index/index.csv": ["id", *INDEX],
    "test/retrieval_solution_v2.1.csv": [
        "id,images,Usage",
        "dd00,0001,Public",
        "dd03,None,Ignored",
        *(f"{query},{' '.join(images)},Private" for query, images in PRIVATE.items()),
    ],
}
PAPERS = {
    "gldv2_train_old_30percent_class.txt": [f"{image_path('', 'train', i)} {label}" for i, label in TRAIN.items()],
    # Their numbers need not be the order of the rows.
    "gldv2_gallery_list.txt": [f"{image_path('', 'index', i)} {3 - row}" for row, i in enumerate(INDEX)],
    "gldv2_private_query_gt.txt": [
        f"{image_path('', 'test', 'dd01')} 0 1,3",
        f"{image_path('', 'test', 'dd02')} 1 2",
    ],
}


def write(root: Path, lists: dict[str, list[str]]) -> Path:
    for split, ids in (("train", TRAIN), ("index", INDEX), ("test", PRIVATE)):
        write_images(root, [image_path("", split, one) for one in ids])
    for name, lines in lists.items():
        write_lines(root / name, lines)
    return root


@pytest.fixture(params=[OFFICIAL, PAPERS], ids=["official", "papers"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write(tmp_path, request.param)


@pytest.fixture
def official(tmp_path: Path) -> Path:
    return write(tmp_path, OFFICIAL)


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    return write(tmp_path, PAPERS)


def test_splits_labels_and_relevance(root: Path) -> None:
    data = FORMAT.load(root)
    assert below(root, data.train) == ["train/a/a/a/aaa1.jpg", "train/a/b/c/abc2.jpg", "train/a/a/b/aab3.jpg"]
    assert data.train.labels.tolist() == [1, 0, 1]
    assert below(root, data.query) == ["test/d/d/0/dd01.jpg", "test/d/d/0/dd02.jpg"]
    assert below(root, data.gallery) == [image_path("", "index", one) for one in INDEX]
    relevant, junk = data.relevance.rows(0, 2)
    assert relevant.tolist() == [[True, False, True, False], [False, True, False, False]]
    assert not junk.any()
    assert list(data.relevances) == ["private"]
    assert data.gallery.image(3).size == (8, 6)


def test_average_precision_looks_at_a_hundred(root: Path) -> None:
    data = FORMAT.load(root)
    # From the first query's direction the gallery rows rank 1, 0, 3, 2; from the second's 1 comes first.
    gallery = np.array([[1, 0.2], [1, 0.1], [1, 0.9], [1, 0.3]])
    metrics = retrieval_metrics(np.array([[1, 0], [1, 0.1]]), gallery, data.relevance, data.protocol)
    assert metrics.figures(data.protocol)["mAP@100"] == pytest.approx(((1 / 2 + 2 / 4) / 2 + 1) / 2)


def test_is_recognised(root: Path) -> None:
    assert_recognised(FORMAT, root)


def test_the_clean_list(official: Path) -> None:
    write_lines(official / "train" / "train_clean.csv", ["landmark_id,images", "93,aaa1 aab3", "4,abc2"])
    data = FORMAT.load(official)
    assert below(official, data.train) == ["train/a/a/a/aaa1.jpg", "train/a/a/b/aab3.jpg", "train/a/b/c/abc2.jpg"]
    assert data.train.labels.tolist() == [1, 1, 0]


def test_a_landmark_with_very_many_images(official: Path) -> None:
    many = [f"{number:016x}" for number in range(12_000)]
    write_lines(official / "train" / "train_clean.csv", ["landmark_id,images", f"93,aaa1 {' '.join(many)}"])
    assert len(FORMAT.load(official).train) == 12_001


def test_a_list_of_ones_own_comes_first(official: Path) -> None:
    write_lines(official / "train_list.txt", ["train/a/b/c/abc2.jpg 7"])
    assert len(FORMAT.load(official).train) == 1


def test_a_ground_truth_without_usage_is_taken_whole(official: Path) -> None:
    write_lines(official / "test/retrieval_solution_v2.1.csv", ["id,images", "dd01,0001", "dd02,f014"])
    assert len(FORMAT.load(official).query) == 2


def test_a_query_without_answer_is_left_out_of_the_mean(official: Path) -> None:
    write_lines(official / "test/retrieval_solution_v2.1.csv", ["id,images", "dd01,0001", "dd02,"])
    data = FORMAT.load(official)
    metrics = retrieval_metrics(np.eye(2), np.ones((4, 2)), data.relevance, data.protocol)
    assert (metrics.n_queries, metrics.n_left_out) == (1, 1)


def test_what_is_needed_to_test_alone(papers: Path) -> None:
    (papers / "gldv2_train_old_30percent_class.txt").unlink()
    data = FORMAT.load(papers)
    assert (len(data.train), len(data.query), len(data.gallery)) == (0, 2, 4)


def test_what_is_needed_to_train_alone(papers: Path) -> None:
    (papers / "gldv2_private_query_gt.txt").unlink()
    assert_recognised(FORMAT, papers)
    data = FORMAT.load(papers)
    assert (len(data.train), len(data.query), len(data.gallery)) == (3, 0, 0)
    assert data.relevance.shape == (0, 0)


@pytest.mark.parametrize(
    ("layout", "splits", "lists"),
    [
        ("train-val", ("train", "val"), ()),
        ("train-val", ("train", "val"), ("train_list.txt",)),
        ("train-val", ("train", "val"), ("train.csv",)),
        ("gldv2", ("train",), ("train.csv",)),
        ("folder", ("train", "query", "gallery"), ()),
    ],
)
def test_one_layout_claims_a_tree(layout: str, splits: tuple[str, ...], lists: tuple[str, ...], tmp_path: Path) -> None:
    write_images(tmp_path, [f"{split}/{label}/{image}.jpg" for split in splits for label in "ab" for image in "01"])
    for name in lists:
        write_lines(tmp_path / name, ["id,landmark_id"])
    formats = [plugin("datasets", "data layout", name) for name in plugin_names("datasets")]
    assert [
        one.name for one in formats if isinstance(one, DatasetFormat) and not one.fallback and one.matches(tmp_path)
    ] == [layout]


class TestHostileLists:
    @pytest.mark.parametrize(
        ("name", "line", "match"),
        [
            ("train/train.csv", "aaa4,93", "2 fields"),
            ("train/train.csv", "../../x,u,93", "is no image id"),
            ("train/train.csv", "ab,u,93", "is no image id"),
            ("train/train.csv", "aaa4,u,tower", "'tower' is no landmark"),
            ("train/train.csv", "aaa1,u,93", "is already in line 2"),
            ("train/train.csv", 'aaa4,"u"x,93', "expected"),
            ("index/index.csv", "f/03", "is no image id"),
            ("index/index.csv", "f003", "is already in line 4"),
            ("test/retrieval_solution_v2.1.csv", "dd04,0001 9999,Private", "the gallery has no image 9999"),
            ("test/retrieval_solution_v2.1.csv", "dd01,0001,Private", "is already in line 4"),
            ("test/retrieval_solution_v2.1.csv", "d,0001,Private", "is no image id"),
        ],
    )
    def test_a_malformed_row_is_named_by_its_line(self, official: Path, name: str, line: str, match: str) -> None:
        write_lines(official / name, [*OFFICIAL[name], line])
        assert_refused(FORMAT, official, f"{name}:{len(OFFICIAL[name]) + 1}: .*{match}")

    @pytest.mark.parametrize(
        ("name", "line", "match"),
        [
            ("gldv2_train_old_30percent_class.txt", "train/a/a/a/aaa9.jpg", "1 fields"),
            ("gldv2_train_old_30percent_class.txt", "../aaa9.jpg 3", "outside of the data set"),
            ("gldv2_gallery_list.txt", "index/0/0/0/0009.jpg x", "'x' is no number"),
            ("gldv2_private_query_gt.txt", "test/d/d/0/dd03.jpg 2 1,9", "the gallery has no image 9"),
            ("gldv2_private_query_gt.txt", "test/d/d/0/dd03.jpg 2", "2 fields"),
        ],
    )
    def test_a_malformed_row_of_the_papers_lists(self, papers: Path, name: str, line: str, match: str) -> None:
        write_lines(papers / name, [*PAPERS[name], line])
        assert_refused(FORMAT, papers, f"{name}:{len(PAPERS[name]) + 1}: .*{match}")

    @pytest.mark.parametrize("name", list(OFFICIAL))
    @pytest.mark.parametrize("lines", [[], ["x,y,z"], ["id,x"]])
    def test_another_header(self, official: Path, name: str, lines: list[str]) -> None:
        write_lines(official / name, lines)
        match = ": no image" if name == "index/index.csv" and lines == ["id,x"] else ":1: no header line"
        assert_refused(FORMAT, official, f"{name}{match}")

    def test_no_private_query(self, official: Path) -> None:
        write_lines(official / "test/retrieval_solution_v2.1.csv", ["id,images,Usage", "dd01,0001,Public"])
        assert_refused(FORMAT, official, "no private query")

    def test_the_first_image_is_missing(self, root: Path) -> None:
        (root / "index/0/0/0/0001.jpg").unlink()
        assert_refused(FORMAT, root, "index/0/0/0/0001.jpg does not exist")

    def test_no_gallery(self, papers: Path) -> None:
        (papers / "gldv2_gallery_list.txt").unlink()
        assert_refused(FORMAT, papers, "no list of the gallery")

    def test_nothing(self, tmp_path: Path) -> None:
        assert_refused(FORMAT, tmp_path, "no list to train or to test with")
