from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from prunnet_export.search._bisect import largest_inside


@given(st.integers(0, 300), st.data())
def test_finds_the_largest_and_looks_at_each_rung_once(count: int, data: st.DataObject) -> None:
    fitting = data.draw(st.integers(0, count))
    looked: list[int] = []

    def inside(rung: int) -> bool:
        looked.append(rung)
        return rung < fitting

    found = largest_inside(range(count), inside)
    assert found == (fitting - 1 if fitting else None)
    assert len(looked) == len(set(looked))
    assert len(looked) <= 2 + math.ceil(math.log2(max(count, 1)))


@given(st.lists(st.booleans(), max_size=60))
def test_whatever_the_verdicts_a_rung_that_was_seen_inside_is_returned(verdicts: list[bool]) -> None:
    looked: dict[int, bool] = {}

    def inside(rung: int) -> bool:
        assert rung not in looked
        looked[rung] = verdicts[rung]
        return verdicts[rung]

    found = largest_inside(range(len(verdicts)), inside)
    if found is None:
        assert not any(looked.values())
    else:
        assert looked[found]
        assert found == max(rung for rung, verdict in looked.items() if verdict)


def test_the_ends_settle_it_where_they_can() -> None:
    for verdict, found, expected in ((True, 3, [3]), (False, None, [3, 1])):
        looked: list[int] = []

        def inside(rung: int, looked: list[int] = looked, verdict: bool = verdict) -> bool:
            looked.append(rung)
            return verdict

        assert largest_inside([1, 2, 3], inside) == found
        assert looked == expected
