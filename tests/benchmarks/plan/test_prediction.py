"""The prediction from measured runs: a law is found again, and what is uncertain is shown as uncertain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export.benchmarks.plan._accuracy import adapter_verdicts, judge
from prunnet_export.benchmarks.plan._prediction import Case, Model, fit, left_out, rows_of
from prunnet_export.benchmarks.plan._runs import MeasuredRun
from tests.benchmarks.plan._plans import synthetic_runs

CASE = Case(shorter=0.1, longer=0.2, shorter_steps=20, longer_steps=80, steps=1600, own=0.8)
shares = st.floats(0, 1.3)
counts = st.lists(st.integers(1, 10**5), min_size=3, max_size=3, unique=True)


def fitted(runs: list[MeasuredRun]) -> Model:
    model = fit(rows_of(runs, "recall"))
    assert model is not None
    return model


def test_a_line_goes_on() -> None:
    # The odds double with each doubling of the steps: 1/4, 1/2, 1, 2 after 10, 20, 40, 80 steps.
    case = Case(shorter=1 / 5, longer=1 / 3, shorter_steps=10, longer_steps=20, steps=80, own=0.8)
    assert case.reach == pytest.approx(2)
    assert case.after_training(1) == pytest.approx(2 / 3)
    assert case.after_training(0.5) == pytest.approx(1 / 2)


def test_a_law_is_found_again() -> None:
    judged = judge(synthetic_runs(8), "recall")
    assert len(judged) == 8 * 2 * 5
    assert all(one.near for one in judged)
    assert fitted(synthetic_runs(8)).factor == pytest.approx(0.8)


def test_each_pair_is_predicted_without_itself() -> None:
    rows = rows_of(synthetic_runs(5), "overlap")

    def prediction_of_the_first(gains: Callable[[str], bool]) -> float:
        """If the runs of some teachers gained nothing after their trials."""
        changed = [row if gains(row.group[0]) else replace(row, measured=row.case.longer) for row in rows]
        return next(one.value for row, one in left_out(changed) if row.group[0] == "teacher-0")

    before = prediction_of_the_first(lambda _teacher: True)
    assert prediction_of_the_first(lambda teacher: teacher != "teacher-0") == before
    assert prediction_of_the_first(lambda teacher: teacher == "teacher-0") < before


def test_intervals_cover_what_they_promise_and_grow_with_the_noise() -> None:
    quiet, noisy = (synthetic_runs(10, noise=noise) for noise in (0.05, 0.8))
    judged = judge(noisy, "recall")
    assert sum(one.inside for one in judged) >= 0.8 * len(judged)
    assert fitted(noisy).half_width > 2 * fitted(quiet).half_width


def test_two_pairs_predict_nothing() -> None:
    assert fit(rows_of(synthetic_runs(2), "recall")) is None
    assert judge(synthetic_runs(3), "recall") == []


def test_runs_without_labels_predict_overlaps_only() -> None:
    runs = synthetic_runs(4, with_labels=False)
    assert rows_of(runs, "recall") == []
    assert fit(rows_of(runs, "overlap")) is not None


def test_the_interval_is_wider_the_further_the_line_goes_and_the_fewer_steps_it_is_from() -> None:
    model = fitted(synthetic_runs(6, noise=0.3))
    inside = model.predict(CASE)
    assert not inside.widened
    assert inside.value - inside.low == pytest.approx(model.half_width / 0.8)
    further = replace(CASE, steps=int(CASE.longer_steps * 4 ** (2 * model.reach)))
    fewer = replace(CASE, shorter_steps=model.shorter_steps // 2, longer_steps=2 * model.shorter_steps)
    for case, wider in ((further, 2), (fewer, model.shorter_steps / fewer.shorter_steps)):
        one = model.predict(case)
        assert one.widened
        assert one.value - one.low == pytest.approx(wider * model.half_width / 0.8, rel=0.01)
        assert one.high <= 1 / 0.8  # no R@1 is above 1


def test_runs_whose_trials_were_whole_trainings_say_nothing_of_a_line() -> None:
    runs = [msgspec.structs.replace(run, steps=run.longer_steps) for run in synthetic_runs(4, noise=0.3)]
    assert fitted(runs).predict(CASE).widened


@given(shorter=shares, longer=shares, steps=counts, factor=st.floats(0, 2))
def test_a_training_is_never_predicted_to_be_worse_than_its_trial(
    shorter: float, longer: float, steps: list[int], factor: float
) -> None:
    first, second = sorted(steps[:2])
    last = steps[2]
    case = Case(shorter=shorter, longer=longer, shorter_steps=first, longer_steps=second, steps=last, own=1)
    assert longer <= case.after_training(factor) <= max(1, longer)
    assert replace(case, steps=second).after_training(factor) == pytest.approx(max(longer, 0.003))


@given(shorter=shares, longer=shares, steps=counts)
def test_no_figure_is_outside_of_0_and_1(shorter: float, longer: float, steps: list[int]) -> None:
    model = fitted(synthetic_runs(6, noise=0.3))
    first, second = sorted(steps[:2])
    own = 1 / 1.3
    case = Case(shorter=shorter, longer=longer, shorter_steps=first, longer_steps=second, steps=steps[2], own=own)
    one = model.predict(case)
    assert 0 <= one.low * own <= one.value * own <= one.high * own <= 1 + 1e-9


def test_verdicts_on_the_adapter_are_held_against_the_map_of_all_images() -> None:
    right = synthetic_runs(1)[0]
    figures = msgspec.structs.replace(right.adapter, recall=right.self_test)
    wrong = msgspec.structs.replace(right, adapter=figures)
    assert adapter_verdicts([right, wrong]) == [True, False]
