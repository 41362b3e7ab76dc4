from __future__ import annotations

import numpy as np
import pytest

from prunnet_export.vectors import Lengths, Metric, lengths, metric_fault
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
