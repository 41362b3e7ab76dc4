"""Names in one block of bytes are a sequence like a list."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export.packed_names import PackedNames, PrefixedNames

NAMES = st.lists(st.text(max_size=8))


def packed(names: list[str]) -> PackedNames:
    made = PackedNames()
    for name in names:
        made.append(name)
    return made


@given(NAMES, st.slices(12))
def test_is_a_sequence_like_the_list(names: list[str], part: slice) -> None:
    made = packed(names)
    assert list(made) == names
    assert len(made) == len(names)
    assert made[part] == names[part]
    for index in range(-len(names), len(names)):
        assert made[index] == names[index]


def test_rows_outside_are_refused() -> None:
    for index in (-2, 1):
        with pytest.raises(IndexError):
            packed(["a"])[index]


def test_names_that_are_no_valid_unicode_survive() -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    assert packed([name])[0] == name


def test_a_name_takes_little_more_than_its_text() -> None:
    made = packed([f"{index:06}" for index in range(10_000)])
    assert sys.getsizeof(made._text) + sys.getsizeof(made._ends) < 20 * 10_000


@given(NAMES)
def test_prefixes_go_by_group(names: list[str]) -> None:
    group = np.arange(len(names), dtype=np.int32) % 2
    made = PrefixedNames(names, group, ["a/", "b/"])
    assert list(made) == [f"{'ab'[index % 2]}/{name}" for index, name in enumerate(names)]
    assert made[1:3] == list(made)[1:3]
