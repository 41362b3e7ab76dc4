from __future__ import annotations

import pytest

from prunnet_export import UnknownName


@pytest.mark.parametrize(
    ("known", "hint"),
    [
        ([], "known: none is installed"),
        (["b", "a"], "known: a, b"),
        (["cat", "car", "dog"], "did you mean 'cat'? known: car, cat, dog"),
        ([f"model-{number:04}" for number in range(1000)], "known: model-0000, model-0001, model-0002 and 997 others"),
        (["cab", *(f"model-{number:04}" for number in range(1000))], "did you mean 'cab'? known: cab and 1000 others"),
    ],
)
def test_an_unknown_name_shows_a_few_known_ones(known: list[str], hint: str) -> None:
    assert UnknownName("thing", "cax", known).hint == hint
