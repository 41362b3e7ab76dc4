from __future__ import annotations

import math
import random
from statistics import NormalDist

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput
from prunnet_export.measuring import (
    LatencyReport,
    Part,
    coefficient_of_variation,
    percentile,
    probability_of_hits,
    samples_needed,
    summarise,
)
from prunnet_export.measuring._statistics import _STUDENT_T, CONFIDENCES, percentile_upper_bound, prediction_bound
from prunnet_export.query import Query

times = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=80)
percents = st.integers(1, 999).map(lambda tenth: tenth / 10)


def report(samples: list[list[float]], q: float = 90.0, confidence: float = 0.95) -> LatencyReport:
    return summarise(
        samples,
        percentile_asked=q,
        confidence=confidence,
        threads=1,
        runtime="engine",
        runtime_version="1.0",
        device="d",
    )


@pytest.mark.parametrize(
    ("q", "expected"), [(10, 1), (50, 5), (50.1, 6), (90, 9), (90.1, 10), (99, 10), (0.1, 1), (99.9, 10)]
)
def test_golden_percentiles_of_one_to_ten(q: float, expected: float) -> None:
    assert percentile([float(x) for x in (3, 1, 2, 5, 4, 10, 9, 8, 7, 6)], q) == expected


def test_rank_is_not_missed_by_a_rounding() -> None:
    # In binary, 0.999 * 1000 and 99.9 * 10 are not both 999.
    assert percentile([float(x) for x in range(1, 1001)], 99.9) == 999
    assert percentile([float(x) for x in range(1, 101)], 57) == 57


@given(times, percents)
def test_agrees_with_the_inverted_cdf_of_numpy(samples: list[float], q: float) -> None:
    # If q n / 100 is a whole number, numpy's rounding decides, so both neighbours are allowed.
    ours = percentile(samples, q)
    eps = 1e-7
    assert ours in {np.percentile(samples, max(0, q + d), method="inverted_cdf") for d in (-eps, 0, eps)}


@given(times, percents, percents)
def test_monotone_in_the_percentile(samples: list[float], a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert percentile(samples, low) <= percentile(samples, high)
    bounds = [percentile_upper_bound(samples, q, confidence=0.9) for q in (low, high)]
    if bounds[1] is not None:
        assert bounds[0] is not None
        assert bounds[0] <= bounds[1]


@given(times, percents)
def test_bound_is_a_sample_at_or_above_the_percentile(samples: list[float], q: float) -> None:
    bound = percentile_upper_bound(samples, q, confidence=0.9)
    assert bound is None or (bound in samples and bound >= percentile(samples, q))


@given(times, percents, st.randoms(use_true_random=False))
def test_permutation_invariant(samples: list[float], q: float, rng: random.Random) -> None:
    shuffled = rng.sample(samples, len(samples))
    assert percentile(samples, q) == percentile(shuffled, q)
    bound = percentile_upper_bound(samples, q, confidence=0.95)
    assert bound == percentile_upper_bound(shuffled, q, confidence=0.95)
    assert coefficient_of_variation(samples) == pytest.approx(coefficient_of_variation(shuffled))


@given(times, percents, st.sampled_from([0.25, 2.0, 1024.0]))
def test_scale_equivariant(samples: list[float], q: float, scale: float) -> None:
    scaled = [sample * scale for sample in samples]
    assert percentile(scaled, q) == percentile(samples, q) * scale
    bound = percentile_upper_bound(samples, q, confidence=0.95)
    assert percentile_upper_bound(scaled, q, confidence=0.95) == (None if bound is None else bound * scale)
    prediction = prediction_bound(samples, confidence=0.95)
    if prediction is not None:
        assert prediction_bound(scaled, confidence=0.95) == pytest.approx(prediction * scale)
    assert coefficient_of_variation(scaled) == pytest.approx(coefficient_of_variation(samples))


@given(percents.filter(lambda q: q <= 99), st.sampled_from(CONFIDENCES))
def test_samples_needed_is_the_edge(q: float, confidence: float) -> None:
    n = samples_needed(q, confidence=confidence)
    assert percentile_upper_bound([1.0] * n, q, confidence=confidence) == 1.0
    assert percentile_upper_bound([1.0] * (n - 1), q, confidence=confidence) is None


@pytest.mark.parametrize(("q", "confidence", "n"), [(90, 0.95, 29), (99, 0.95, 299), (50, 0.95, 5), (90, 0.99, 44)])
def test_golden_sample_counts(q: float, confidence: float, n: int) -> None:
    assert samples_needed(q, confidence=confidence) == n


@pytest.mark.parametrize("n", [29, 60, 300])
def test_bound_covers_the_true_percentile_as_often_as_promised(n: int) -> None:
    draw = np.random.default_rng(7)
    true = math.exp(NormalDist().inv_cdf(0.9))
    bounds = [percentile_upper_bound(draw.lognormal(size=n).tolist(), 90, confidence=0.95) for _ in range(1000)]
    covered = np.mean([bound is not None and bound >= true for bound in bounds])
    assert covered >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 1000)


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_prediction_covers_one_more_run_as_often_as_promised(runs: int) -> None:
    draw = np.random.default_rng(8).normal(10, 1, size=(4000, runs + 1))
    covered = np.mean([(prediction_bound(row[:-1].tolist(), confidence=0.95) or 0) >= row[-1] for row in draw])
    assert covered == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_student_table_is_students_distribution(confidence: float) -> None:
    for df, quantile in enumerate(_STUDENT_T[confidence], start=1):
        x = np.linspace(0, quantile, 20001)
        log_norm = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
        density = np.exp(log_norm) * (1 + x**2 / df) ** (-(df + 1) / 2)
        area = np.sum((density[1:] + density[:-1]) / 2 * np.diff(x))
        assert 0.5 + area == pytest.approx(confidence, abs=2e-4)


def test_long_tables_end_on_the_safe_side() -> None:
    values = [1.0, 2.0] * 50
    z = NormalDist().inv_cdf(0.95)
    bound = prediction_bound(values, confidence=0.95)
    assert bound is not None
    assert bound > 1.5 + z * np.std(values, ddof=1)


@pytest.mark.parametrize("q", [0, 100, -1, 101, math.nan])
def test_a_percentile_out_of_range_is_refused(q: float) -> None:
    for function in (percentile, lambda s, q: percentile_upper_bound(s, q, confidence=0.9)):
        with pytest.raises(InvalidInput, match="percentile"):
            function([1.0], q)


def test_no_samples_are_refused() -> None:
    with pytest.raises(InvalidInput):
        percentile([], 50)
    with pytest.raises(InvalidInput):
        coefficient_of_variation([])


def test_one_value_predicts_nothing() -> None:
    assert prediction_bound([1.0], confidence=0.95) is None


def test_an_untabulated_confidence_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"0\.8"):
        prediction_bound([1.0, 2.0], confidence=0.8)


def test_report_is_bounded_by_what_differs_between_runs() -> None:
    steady = [10 + i / 100 for i in range(100)]
    alike, apart = report([steady] * 3), report([steady, [x + 1 for x in steady], [x + 2 for x in steady]])
    assert alike.upper_ms == percentile_upper_bound(steady * 3, 90, confidence=0.95)
    assert apart.upper_ms == pytest.approx(11.89 + 2.920 * 1 * math.sqrt(4 / 3))
    assert (alike.n, alike.runs) == (300, 3)
    assert alike.p50_ms <= alike.p90_ms <= alike.p99_ms


@given(st.lists(st.lists(st.floats(0.1, 100), min_size=29, max_size=40), min_size=1, max_size=4))
def test_report_survives_json_and_bounds_its_percentile(samples: list[list[float]]) -> None:
    made = report(samples)
    assert made.upper_ms >= made.percentile_ms == made.p90_ms
    assert msgspec.json.decode(msgspec.json.encode(made), type=LatencyReport) == made


def test_report_says_its_terms() -> None:
    text = str(report([[1.0] * 40]))
    for word in (
        "p90",
        "1.00 ms",
        "95%",
        "measured",
        "n 40",
        "1 run",
        "engine 1.0",
        "1 thread,",
        "batch 1",
        "scope compute",
    ):
        assert word in text


def test_too_few_samples_name_the_number_that_is_enough() -> None:
    with pytest.raises(InvalidInput, match="28 samples") as caught:
        report([[1.0] * 28])
    assert "29" in caught.value.hint


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_impossible_times_are_refused(bad: float) -> None:
    with pytest.raises(InvalidInput, match="positive and finite"):
        report([[1.0] * 50 + [bad]])


def test_an_empty_run_is_refused() -> None:
    with pytest.raises(InvalidInput, match="without samples"):
        report([[1.0] * 50, []])


def test_the_parts_of_a_query_add_up_to_each_figure_of_the_whole() -> None:
    draw = np.random.default_rng(0)
    means: dict[Part, float] = {"decode": 50.0, "resize": 5.0, "network": 1.0}
    parts = {
        name: [(mean * draw.lognormal(sigma=0.3, size=40)).tolist() for _ in range(3)] for name, mean in means.items()
    }
    whole = [[sum(times) for times in zip(*runs, strict=True)] for runs in zip(*parts.values(), strict=True)]
    query = Query(scope="end-to-end", photo_px=(3024, 4032))
    made = summarise(
        whole,
        percentile_asked=90,
        threads=1,
        runtime="engine",
        runtime_version="1.0",
        device="d",
        query=query,
        parts=parts,
    )
    assert made.query == query
    assert [(part.name, part.n) for part in made.parts] == [("decode", 120), ("resize", 120), ("network", 120)]
    for field in ("p50_ms", "percentile_ms", "mean_ms"):
        assert sum(getattr(part, field) for part in made.parts) == pytest.approx(getattr(made, field))
    assert made.parts[0].p50_ms == pytest.approx(50, rel=0.1)
    assert msgspec.json.decode(msgspec.json.encode(made), type=LatencyReport) == made


def test_a_part_of_some_samples_is_refused() -> None:
    with pytest.raises(InvalidInput, match="a part without samples"):
        summarise(
            [[1.0] * 40],
            percentile_asked=90,
            threads=1,
            runtime="engine",
            runtime_version="1.0",
            device="d",
            parts={"decode": [[1.0] * 39]},
        )


def test_images_per_second_are_those_of_whole_batches() -> None:
    made = summarise(
        [[4.0] * 40],
        percentile_asked=90,
        threads=1,
        runtime="engine",
        runtime_version="1.0",
        device="d",
        query=Query(batch_size=8),
    )
    assert made.images_per_second == 2000
    assert "batch 8, scope compute" in str(made)


def test_the_probability_of_hits() -> None:
    assert probability_of_hits(0, 30, 0.2) == pytest.approx(1)
    assert probability_of_hits(1, 3, 0.5) == pytest.approx(0.875)
    assert probability_of_hits(3, 3, 0.5) == pytest.approx(0.125)
    assert probability_of_hits(1, 3, 1) == 1
