"""Revisited Oxford and Paris: the three grades, the boxes, and the metric against the official algorithm."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import RetrievalData, open_dataset
from prunnet_export.evaluating import retrieval_metrics
from prunnet_export.training.data.revisited import FORMAT, GRADES
from tests.training.data._trees import assert_recognised, assert_refused, below, write_images

NAMES = ["all_souls_000000", "ashmolean_000001", "balliol_000002", "bodleian_000003", "christ_000004"]
QUERIES = ["all_souls_000013", "magdalen_000078"]
GROUND_TRUTH: list[dict[str, Any]] = [
    {"bbx": [2.4, 1, 6.6, 5], "easy": [0], "hard": [3, 1], "junk": [2]},
    {"bbx": [0, 0, 8, 6], "easy": [], "hard": [4], "junk": []},
]


def document(**changed: Any) -> dict[str, Any]:
    return {"imlist": NAMES, "qimlist": QUERIES, "gnd": GROUND_TRUTH, **changed}


def write(root: Path, content: Any = None, *, name: str = "gnd_roxford5k.pkl", protocol: int = 2) -> Path:
    content = document() if content is None else content
    encoded = pickle.dumps(content, protocol=protocol) if name.endswith("pkl") else json.dumps(content).encode()
    (root / name).write_bytes(encoded)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_images(tmp_path, [f"jpg/{name}.jpg" for name in (*NAMES, *QUERIES)])
    return tmp_path


def kinds(data: RetrievalData, grade: str) -> list[str]:
    """Of each query, what each gallery image is: + relevant, . junk, - wrong."""
    relevant, junk = data.relevances[grade].rows(0, len(data.query))
    signs = np.where(relevant, "+", np.where(junk, ".", "-"))
    return ["".join(row) for row in signs.tolist()]


@pytest.mark.parametrize("name", ["gnd_roxford5k.pkl", "gnd_rparis6k.pkl", "gnd_roxford5k.json"])
def test_grades(root: Path, name: str) -> None:
    data = FORMAT.load(write(root, name=name))
    assert list(data.relevances) == ["medium", "easy", "hard"]
    assert data.relevance is data.relevances["medium"]
    assert kinds(data, "medium") == ["++.+-", "----+"]
    assert kinds(data, "easy") == ["+..." + "-", "----."]
    assert kinds(data, "hard") == [".+.+-", "----+"]
    assert below(root, data.gallery) == [f"jpg/{one}.jpg" for one in NAMES]
    assert len(data.train) == 0
    assert data.protocol.precision_at == (1, 5, 10)
    assert data.protocol.trapezoid


@pytest.mark.parametrize("protocol", range(5))
def test_lists_may_be_arrays(root: Path, protocol: int) -> None:
    truth = [{key: np.array(value) for key, value in query.items()} for query in GROUND_TRUTH]
    truth[1]["easy"] = np.empty(0, np.int64)
    data = FORMAT.load(write(root, document(gnd=truth), protocol=protocol))
    assert kinds(data, "medium") == ["++.+-", "----+"]


def test_is_recognised(root: Path) -> None:
    assert_recognised(FORMAT, write(root))


def test_the_file_itself_with_its_images_in_a_folder_of_its_name(tmp_path: Path) -> None:
    write_images(tmp_path, [f"roxford5k/jpg/{name}.jpg" for name in (*NAMES, *QUERIES)])
    write(tmp_path, name="gnd_rparis6k.pkl")
    write(tmp_path)
    data = open_dataset(str(tmp_path / "gnd_roxford5k.pkl"))
    assert data.name.startswith("revisited roxford5k ")
    assert below(tmp_path, data.gallery) == [f"roxford5k/jpg/{one}.jpg" for one in NAMES]
    assert data.gallery.relative_names == below(tmp_path, data.gallery)
    (tmp_path / "notes.pkl").touch()
    assert not FORMAT.matches(tmp_path / "notes.pkl")


def test_json_is_preferred_to_a_pickle(root: Path) -> None:
    (root / "gnd_roxford5k.pkl").write_bytes(b"not looked at")
    assert len(FORMAT.load(write(root, name="gnd_roxford5k.json")).query) == 2


def test_the_query_is_cut_to_its_box_and_so_are_its_bytes(root: Path) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    Image.fromarray(pixels).save(root / "jpg" / f"{QUERIES[0]}.jpg", "PNG")
    query = FORMAT.load(write(root)).query
    np.testing.assert_array_equal(np.asarray(query.image(0))[..., 0], pixels[1:5, 2:7])
    (root / "again.png").write_bytes(query.encoded(0))
    np.testing.assert_array_equal(np.asarray(Image.open(root / "again.png")), np.asarray(query.image(0)))


def test_what_a_box_has_beyond_the_image_is_left_out(root: Path) -> None:
    truth = [{**GROUND_TRUTH[0], "bbx": [-3, 2, 100, 100]}, {**GROUND_TRUTH[1], "bbx": [8, 0, 12, 6]}]
    query = FORMAT.load(write(root, document(gnd=truth))).query
    assert query.image(0).size == (8, 4)
    with pytest.raises(Exception, match=f"{QUERIES[1]}.jpg: its box .* lies outside of 8 x 6 pixels"):
        query.image(1)


def official_map(ranks: npt.NDArray[np.int64], truth: list[tuple[list[int], list[int]]]) -> tuple[float, list[float]]:
    """mAP and mP@1/5/10 by walking each ranking [m] of each query once, as the evaluation's description says."""
    averages, precisions = [], []
    for ranking, (ok, junk) in zip(ranks, truth, strict=True):
        if not ok:
            continue
        position, found, area, hits = 0, 0, 0.0, []
        for image in ranking:
            if image in junk:
                continue
            if image in ok:
                before = 1.0 if position == 0 else found / position
                found += 1
                area += (before + found / (position + 1)) / 2 / len(ok)
                hits.append(position + 1)
            position += 1
        averages.append(area)
        precisions.append([sum(hit <= min(k, max(hits)) for hit in hits) / min(k, max(hits)) for k in (1, 5, 10)])
    return float(np.mean(averages)), np.mean(precisions, axis=0).tolist()


@given(seed=st.integers(0, 10_000))
def test_the_metric_is_that_of_the_official_evaluation(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    draw = np.random.default_rng(seed)
    kind = draw.choice(4, (3, 25), p=[0.5, 0.2, 0.2, 0.1])
    kind[0, 0] = 1  # easy, so that no grade but maybe hard is empty
    kind[1, 0] = 2
    names = {1: "easy", 2: "hard", 3: "junk"}
    truth = [{name: np.flatnonzero(row == number).tolist() for number, name in names.items()} for row in kind]
    root = tmp_path_factory.mktemp("revisited")
    (root / "jpg").mkdir()
    images, queries = [f"i{n}" for n in range(25)], ["q0", "q1", "q2"]
    for name in (*images, *queries):
        (root / "jpg" / f"{name}.jpg").touch()
    write(root, {"imlist": images, "qimlist": queries, "gnd": [{**one, "bbx": [0, 0, 1, 1]} for one in truth]})
    data = FORMAT.load(root)
    query, gallery = draw.normal(size=(3, 6)), draw.normal(size=(25, 6))
    cosines = query @ gallery.T / np.linalg.norm(gallery, axis=1)
    ranks = np.argsort(-cosines, axis=1)
    for grade, (positives, junk) in GRADES.items():
        pairs = [
            ([row for name in positives for row in one[name]], [row for name in junk for row in one[name]])
            for one in truth
        ]
        metrics = retrieval_metrics(query, gallery, data.relevances[grade], data.protocol)
        expected, precisions = official_map(ranks, pairs)
        assert metrics.mean_average_precision == pytest.approx(expected)
        assert list(metrics.precision_at.values()) == pytest.approx(precisions)
        assert metrics.n_left_out == sum(not ok for ok, _ in pairs)


class TestHostileGroundTruth:
    @pytest.mark.parametrize("name", ["gnd_roxford5k.pkl", "gnd_roxford5k.json"])
    @pytest.mark.parametrize(
        ("content", "match"),
        [
            ([], "no imlist, qimlist and gnd"),
            (document(imlist=3), "imlist is no list of str"),
            (document(imlist=[3]), "imlist is no list of str"),
            (document(gnd={}), "gnd is no list of dict"),
            (document(gnd=GROUND_TRUTH[:1]), "2 queries, and ground truth of 1"),
            (document(imlist=["../../secret"]), "outside of the data set"),
            (document(imlist=["none"]), r"none\.jpg does not exist"),
            (document(gnd=[GROUND_TRUTH[0], {}]), "query 1: bbx is no array"),
            (document(gnd=[{**GROUND_TRUTH[0], "bbx": [1, 2, 3]}, GROUND_TRUTH[1]]), "query 0: bbx is no left"),
            (document(gnd=[{**GROUND_TRUTH[0], "bbx": "abcd"}, GROUND_TRUTH[1]]), "query 0: bbx is no array"),
            (document(gnd=[{**GROUND_TRUTH[0], "easy": [5]}, GROUND_TRUTH[1]]), "query 0: easy holds no rows below 5"),
            (document(gnd=[{**GROUND_TRUTH[0], "hard": [-1]}, GROUND_TRUTH[1]]), "query 0: hard holds no rows"),
            (document(gnd=[{**GROUND_TRUTH[0], "hard": [0.5]}, GROUND_TRUTH[1]]), "query 0: hard holds no rows"),
            (document(gnd=[{**GROUND_TRUTH[0], "junk": [[1]]}, GROUND_TRUTH[1]]), "query 0: junk is no array"),
            (document(gnd=[{**GROUND_TRUTH[0], "junk": [0]}, GROUND_TRUTH[1]]), "query 0: an image is of two kinds"),
        ],
        ids=str,
    )
    def test_other_values(self, root: Path, name: str, content: Any, match: str) -> None:
        write(root, content, name=name)
        assert_refused(FORMAT, root, f"{name}: .*{match}")

    @pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe"], ids=len)
    def test_foreign_json(self, root: Path, content: bytes) -> None:
        (root / "gnd_roxford5k.json").write_bytes(content)
        assert_refused(FORMAT, root, r"gnd_roxford5k\.json: not JSON")

    def test_two_sets_in_one_folder(self, root: Path) -> None:
        write(root)
        write(root, name="gnd_rparis6k.pkl")
        assert_refused(FORMAT, root, "gnd_roxford5k.pkl, gnd_rparis6k.pkl")
        with pytest.raises(InvalidInput) as caught:
            FORMAT.load(root)
        assert caught.value.hint == "give the file itself"

    def test_nothing(self, tmp_path: Path) -> None:
        assert_refused(FORMAT, tmp_path, "no gnd_")
