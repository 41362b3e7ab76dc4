"""Which images are held out of a training."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export.training._held_out import held_out


@pytest.mark.parametrize(
    ("images", "expected"), [(0, 0), (3, 0), (4, 1), (400, 100), (800, 200), (4_000, 200), (4_001, 201), (10_000, 500)]
)
def test_five_per_cent_at_least_200_at_most_a_quarter(images: int, expected: int) -> None:
    assert held_out([f"{index}.jpg" for index in range(images)]).sum() == expected


def test_the_choice_is_always_the_same() -> None:
    names = [f"{index}.jpg" for index in range(40)]
    assert np.flatnonzero(held_out(names)).tolist() == [0, 1, 5, 14, 19, 26, 34, 35, 36, 38]


@given(st.lists(st.text(min_size=1), unique=True, max_size=60), st.randoms())
def test_the_order_of_the_images_does_not_matter(names: list[str], random: object) -> None:
    shuffled = names.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random
    both = [{name for name, chosen in zip(one, held_out(one), strict=True) if chosen} for one in (names, shuffled)]
    assert both[0] == both[1]


def test_most_choices_stay_when_images_are_added() -> None:
    names = [f"{index}.jpg" for index in range(10_000)]
    before, after = held_out(names[:9_000]), held_out(names)[:9_000]
    assert (before & after).sum() >= 0.9 * before.sum()
