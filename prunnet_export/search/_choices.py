"""In which order fitting candidates are tried, once their latency has to be confirmed and their file verified."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from prunnet_export.building import Candidate


class Choices:
    """The best of several ladders, then what is left of them.

    Args:
        ladders: Each from its smallest candidate to the largest that is worth a try.
        rank: The candidate of lowest rank is the best; candidates of one ladder fall in rank as they grow.
    """

    def __init__(self, ladders: Sequence[Sequence[Candidate]], rank: Callable[[Candidate], Any]) -> None:
        self._ladders = [list(ladder) for ladder in ladders if ladder]
        self._rank = rank

    def best(self) -> Candidate | None:
        """What to try next; None where nothing is left."""
        return min((ladder[-1] for ladder in self._ladders), key=self._rank, default=None)

    def step_down(self, candidate: Candidate) -> None:
        """The candidate is over the budget: its ladder goes on with the next smaller one."""
        for ladder in self._ladders:
            if ladder[-1] == candidate:
                ladder.pop()
        self._ladders = [ladder for ladder in self._ladders if ladder]

    def drop(self, candidate: Candidate) -> None:
        """The candidate's file does not hold: nothing smaller of its ladder will."""
        self._ladders = [ladder for ladder in self._ladders if ladder[-1] != candidate]
