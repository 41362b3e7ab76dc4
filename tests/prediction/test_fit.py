"""A law that is linear is found exactly; a coefficient that would be negative is none; errors are of unseen rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput
from prunnet_export.prediction import Workload
from prunnet_export.prediction._fit import fit, held_out_errors
from tests.prediction._rows import GIGA, row, rows, workload


@given(st.floats(0, 5), st.floats(0.1, 50))
def test_a_linear_law_is_found(fixed: float, per_giga: float) -> None:
    def law(work: Workload) -> float:
        return fixed + per_giga * work.macs / GIGA

    found = fit(rows(law), pattern="channel", precision="fp32")
    for size in (0.05, 0.35, 3.0):
        work = workload(int(size * GIGA), weights=int(size * 10**6))
        assert found.p50_ms(work) == pytest.approx(law(work), rel=0.02)
    assert found.error == pytest.approx(0, abs=0.02)
    assert found.rows == 10


def test_no_coefficient_is_negative() -> None:
    found = fit(rows(lambda work: 5 - 2 * work.macs / GIGA), pattern="channel", precision="fp32")
    assert (found.coefficients >= 0).all()


def test_zeros_count_where_the_engine_uses_them_and_nowhere_else() -> None:
    works = [workload(GIGA, kept=kept) for kept in (1, 0.8, 0.6, 0.4, 0.2, 0.1)]
    used = fit([row(w, 1 + 9 * w.kept_macs / GIGA, pattern="block") for w in works], pattern="block", precision="fp32")
    flat = fit([row(w, 10, pattern="block") for w in works], pattern="block", precision="fp32")
    sparse = workload(GIGA, kept=0.3)
    assert used.p50_ms(sparse) == pytest.approx(1 + 9 * 0.3, rel=0.01)
    assert flat.p50_ms(sparse) == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize("pattern", ["block", "channel"])
def test_a_table_of_one_backbone_predicts_another_size(pattern: str) -> None:
    works = [workload(GIGA, kept=kept) for kept in (1, 0.8, 0.6, 0.4, 0.2, 0.1)]  # only the zeros differ
    found = fit([row(work, 10, pattern=pattern) for work in works], pattern=pattern, precision="fp32")
    assert found.p50_ms(workload(GIGA, kept=0.5)) == pytest.approx(10, rel=0.01)
    assert found.p50_ms(workload(5 * GIGA // 2, weights=2_500_000, layers=50)) > 15
    assert found.p50_ms(workload(GIGA // 4, weights=250_000, layers=5)) < 7


def test_the_error_is_of_rows_that_were_not_seen() -> None:
    noise = np.random.default_rng(0).uniform(0.8, 1.25, 10)
    noisy = [row(workload(size * GIGA), float(size * factor)) for size, factor in zip(range(1, 11), noise, strict=True)]
    errors = held_out_errors(noisy)
    assert len(errors) == 10
    assert 0.03 < np.median(errors) < 0.3


def test_other_patterns_and_precisions_do_not_count() -> None:
    mixed = [*rows(lambda _: 1.0), *[row(workload(GIGA), 99, pattern="block") for _ in range(5)]]
    mixed += [row(workload(GIGA), 99, precision="int8") for _ in range(5)]
    assert fit(mixed, pattern="channel", precision="fp32").rows == 10


def test_too_few_rows() -> None:
    with pytest.raises(InvalidInput, match="2 calibration rows of channel fp32") as caught:
        fit(rows(lambda _: 1.0)[:2], pattern="channel", precision="fp32")
    assert "prunnet-bench calibrate" in caught.value.hint
    assert fit(rows(lambda _: 1.0)[:5], pattern="channel", precision="fp32").error is None
