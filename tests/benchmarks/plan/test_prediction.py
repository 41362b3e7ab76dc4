"""The prediction from measured runs: a law is found again, and what is uncertain is shown as uncertain."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from prunnet_export.benchmarks.plan._accuracy import adapter_verdicts, judge
from prunnet_export.benchmarks.plan._prediction import Case, fit, left_out, rows_of
from tests.benchmarks.plan._plans import synthetic_runs

CASE = Case(trial=0.2, overlap=0.2, trial_steps=20, steps=400, capacity=0.4)


def test_a_law_is_found_again() -> None:
    judged = judge(synthetic_runs(8), "recall")
    assert len(judged) == 8 * 2 * 5
    assert sum(one.near for one in judged) > 0.9 * len(judged)


def test_each_pair_is_predicted_without_itself() -> None:
    runs = synthetic_runs(5)
    rows = rows_of(runs, "overlap", weights=False)
    before = {row.group: one.value for row, one in left_out(rows)}
    strange = [replace(row, measured=1 - row.measured) if row.group == ("teacher-0", "images") else row for row in rows]
    after = {row.group: one.value for row, one in left_out(strange)}
    assert after["teacher-0", "images"] == before["teacher-0", "images"]
    assert after["teacher-1", "images"] != before["teacher-1", "images"]


def test_intervals_cover_what_they_promise_and_grow_with_the_noise() -> None:
    quiet, noisy = (synthetic_runs(10, noise=noise) for noise in (0.05, 0.8))
    judged = judge(noisy, "recall")
    assert sum(one.inside for one in judged) >= 0.8 * len(judged)
    quiet_model, noisy_model = (fit(rows_of(runs, "recall", weights=False)) for runs in (quiet, noisy))
    assert quiet_model is not None
    assert noisy_model is not None
    assert noisy_model.spread > 2 * quiet_model.spread


def test_runs_from_weights_and_those_with_random_weights_do_not_predict_each_other() -> None:
    random, given = synthetic_runs(5), synthetic_runs(4, noise=0.5, weights=True)
    together = judge([*random, *given], "recall")
    assert together == [*judge(random, "recall"), *judge(given, "recall")]
    assert {one.weights for one in together} == {False, True}
    assert judge([*random, *given[:4]], "recall") == judge(random, "recall")  # two pairs predict nothing


def test_two_pairs_predict_nothing() -> None:
    assert fit(rows_of(synthetic_runs(2), "recall", weights=False)) is None
    assert judge(synthetic_runs(3), "recall") == []


def test_runs_without_labels_predict_overlaps_only() -> None:
    runs = synthetic_runs(4, with_labels=False)
    assert rows_of(runs, "recall", weights=False) == []
    assert fit(rows_of(runs, "overlap", weights=False)) is not None


def test_what_is_unlike_all_runs_has_twice_the_interval() -> None:
    model = fit(rows_of(synthetic_runs(6, noise=0.3), "recall", weights=False))
    assert model is not None

    def width(case: Case) -> float:
        one = model.predict(case)
        low, high = (np.log(share / (1 - share)) for share in (one.low, one.high))
        return float(high - low)

    inside, outside = replace(CASE, trial=0.1), replace(CASE, steps=10**7)
    assert not model.predict(inside).outside
    assert model.predict(outside).outside
    assert width(outside) == pytest.approx(2 * width(inside), rel=1e-6)


def test_a_training_is_not_predicted_to_be_worse_than_its_trial() -> None:
    model = fit(rows_of(synthetic_runs(6), "recall", weights=False))
    assert model is not None
    falling = replace(model, coefficients=-np.abs(model.coefficients))
    assert falling.predict(replace(CASE, trial=0.9, overlap=0.99)).value == pytest.approx(0.9)


def test_without_more_steps_nothing_is_gained() -> None:
    model = fit(rows_of(synthetic_runs(6), "recall", weights=False))
    assert model is not None
    assert model.predict(replace(CASE, steps=CASE.trial_steps)).value == pytest.approx(CASE.trial)


def test_no_share_is_outside_of_0_and_1() -> None:
    model = fit(rows_of(synthetic_runs(6), "recall", weights=False))
    assert model is not None
    for trial in (0.0, 1.0, 1.3):
        one = model.predict(replace(CASE, trial=trial, overlap=min(trial, 1.0)))
        assert 0 < one.low <= one.value <= one.high < 1


def test_verdicts_on_the_adapter_are_held_against_the_map_of_all_images() -> None:
    right = synthetic_runs(1)[0]
    figures = msgspec.structs.replace(right.adapter, recall=right.self_test)
    wrong = msgspec.structs.replace(right, adapter=figures)
    assert adapter_verdicts([right, wrong]) == [True, False]
