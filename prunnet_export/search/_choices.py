"""The order in which fitting candidates are confirmed and verified."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from prunnet_export.building import Candidate


class Choices:
    """Gives the best candidate of several ladders, and the next best one after each failure.

    Args:
        ladders: Ladders of candidates, each from the smallest to the largest one to try.
        rank: The candidate with the lowest rank is the best; in a ladder, the largest candidate has the lowest rank.
    """

    def __init__(self, ladders: Sequence[Sequence[Candidate]], rank: Callable[[Candidate], Any]) -> None:
        self._ladders = [list(ladder) for ladder in ladders if ladder]
        self._rank = rank

    def best(self) -> Candidate | None:
        """The candidate to try next; None if no candidate is left."""
        return min((ladder[-1] for ladder in self._ladders), key=self._rank, default=None)

    def step_down(self, candidate: Candidate) -> None:
        """Remove a candidate that is over the budget; the next smaller one of its ladder remains."""
        for ladder in self._ladders:
            if ladder[-1] == candidate:
                ladder.pop()
        self._ladders = [ladder for ladder in self._ladders if ladder]

    def drop(self, candidate: Candidate) -> None:
        """Remove the ladder of a candidate that fails its verification, because smaller ones would fail too."""
        self._ladders = [ladder for ladder in self._ladders if ladder[-1] != candidate]
