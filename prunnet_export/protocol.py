"""The figures that are usually reported on a data set."""

from __future__ import annotations

from dataclasses import dataclass

from prunnet_export._errors import InvalidInput


@dataclass(frozen=True)
class Protocol:
    """The figures to compute.

    Args:
        recall_at: Depths k of R@k, ascending from 1, because verification uses R@1.
        precision_at: Depths k of the mean precision mP@k.
        depth: Number of ranks that average precision uses (mAP@depth); None uses all.
        trapezoid: Whether average precision is the area under the precision-recall curve by the trapezoid rule, as in
            the evaluation of Oxford and Paris. Otherwise it is the mean of the precisions at the relevant ranks.

    Raises:
        InvalidInput: a depth is below 1, or depths do not ascend from 1.
    """

    recall_at: tuple[int, ...] = (1,)
    precision_at: tuple[int, ...] = ()
    depth: int | None = None
    trapezoid: bool = False

    def __post_init__(self) -> None:
        if self.recall_at[:1] != (1,) or list(self.recall_at) != sorted(set(self.recall_at)):
            raise InvalidInput(f"recall is asked for at {self.recall_at}", hint="give depths that ascend from 1")
        depths = (*self.precision_at, *([] if self.depth is None else [self.depth]))
        if any(depth < 1 for depth in depths):
            raise InvalidInput(f"precision is asked for at {depths}", hint="give depths of at least 1")

    @property
    def average(self) -> str:
        """The name of its mean average precision."""
        return "mAP" if self.depth is None else f"mAP@{self.depth}"
