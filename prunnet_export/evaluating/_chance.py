"""Is the teacher's self-test better than chance?

If not, rows or labels of a gallery are in another order, or the network has learned nothing.
"""

from __future__ import annotations

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export.measuring import probability_of_hits
from prunnet_export.relevance import Relevance

_LEAST_QUERIES = 20  # of fewer, even a perfect search proves little
_LEAST_FACTOR = 3
_LEAST_GAIN = 0.1  # of what is possible beyond chance
_UNLIKELY = 0.01


def check_better_than_chance(recall: float, relevance: Relevance, *, what: str | None) -> None:
    """Check that the teacher finds relevant images more often than a search at random.

    With n queries and the chance c, R@1 is near chance if it is at most three times c, or at most a tenth of the way
    from c to 1, whichever is less. It is also near chance if a random search has as many hits with a probability above
    1 %. With fewer than 20 queries nothing is checked.

    Args:
        recall: R@1 of the teacher's query vectors in the gallery.
        relevance: Relevance of the whole gallery to these queries; each has a relevant image.
        what: The gallery, for the message; None if the network that is its own teacher made it just now.

    Raises:
        InvalidInput: it is near chance.
    """
    n, gallery = relevance.shape
    if n < _LEAST_QUERIES:
        return
    chance = float(np.mean(relevance.counts() / gallery))
    least = min(_LEAST_FACTOR * chance, chance + _LEAST_GAIN * (1 - chance))
    if recall > least and probability_of_hits(round(recall * n), n, chance) < _UNLIKELY:
        return
    figures = f"a relevant image first in {recall:.1%} of {n} cases, and a random search in {chance:.1%}"
    if what is None:
        raise InvalidInput(
            f"the dense network's queries find {figures}; it does not tell these images apart",
            hint="train it first, or give --data with images like those of its training; --min-recall 0 goes on",
        )
    raise InvalidInput(
        f"{what}: the teacher's own queries find {figures}; its rows or its labels are in another order",
        hint="write names, labels and vectors of the gallery again, all in one order",
    )
