from __future__ import annotations

import numpy as np
import pytest

from prunnet_export.vectors import Lengths, Metric, Stored, length_fault, lengths, metric_fault
from tests.vectors._files import numbers
from tests.vectors._models import as_float16, as_int8, features

UNIT = Lengths(3, 0.999, 1.001, 1.0)
FREE = Lengths(3, 3.0, 12.0, 7.0)


def test_lengths_are_those_of_all_rows() -> None:
    rows = numbers()
    each = np.linalg.norm(rows, axis=1)
    found = lengths([(0, rows[:20]), (20, rows[20:])])
    assert (found.count, found.are_unit) == (50, False)
    np.testing.assert_allclose([found.least, found.greatest, found.mean], [each.min(), each.max(), each.mean()])


def test_unit_vectors_are_known_in_every_form() -> None:
    for rows in (features(1, 2), as_float16(features(1, 2)), as_int8(features(1, 2))):
        assert lengths([(0, rows)]).are_unit


@pytest.mark.parametrize(
    ("stated", "of_file", "gallery", "teacher", "fault"),
    [
        ("cosine", "l2", FREE, FREE, "the file says l2"),
        ("l2", "dot", FREE, FREE, "the file says dot"),
        ("cosine", "l2", UNIT, UNIT, None),
        ("cosine", None, FREE, FREE, None),
        ("dot", "dot", FREE, FREE, None),
        ("cosine", None, UNIT, FREE, None),
        ("l2", None, UNIT, FREE, "only one of them is normalised"),
        ("l2", "l2", FREE, UNIT, "only one of them is normalised"),
        ("l2", "l2", UNIT, UNIT, None),
    ],
)
def test_a_metric_that_is_contradicted(
    stated: Metric, of_file: Metric | None, gallery: Lengths, teacher: Lengths, fault: str | None
) -> None:
    found = metric_fault(stated, of_file, gallery, teacher)
    assert (found is None) == (fault is None)
    assert fault is None or fault in (found or "")


@pytest.mark.parametrize(
    ("stated", "stored", "factors", "fault"),
    [
        ("dot", "float32", 1.01, None),
        ("dot", "float32", 100, None),
        ("l2", "float32", 1.01, None),
        ("l2", "float16", 1.1, "1.1 times as long"),
        ("l2", "int8", 1.1, None),
        ("l2", "faiss", 100, "100 times as long"),
        ("l2", "binary", 100, None),
        ("cosine", "float32", np.linspace(1, 2, 50), None),
        (
            "dot",
            "float32",
            np.linspace(1, 2, 50),
            "of 50 vectors have other lengths: they are 1 to 2 times",
        ),
        ("l2", "int8", np.linspace(1, 2, 50), "have other lengths"),
        ("dot", "float32", np.where(np.arange(50) == 7, 9.0, 1.0), None),
        ("dot", "float32", np.where(np.arange(50) < 5, 9.0, 1.0), "5 of 50"),
    ],
)
def test_lengths_that_contradict_a_metric(
    stated: Metric, stored: Stored, factors: float | np.ndarray, fault: str | None
) -> None:
    rows = numbers()
    changed = rows * np.broadcast_to(factors, len(rows))[:, None].astype(np.float32)
    found = length_fault(stated, rows, changed, stored)
    assert (found is None) == (fault is None)
    assert fault is None or fault in (found or "")
