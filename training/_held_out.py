"""The images that training does not see, so that they can be the queries of a verification."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SHARE = 0.05
LEAST = 200
IMAGES_PER_HELD_OUT = 4  # images for each one held out, because a small set has to keep enough to learn from


def held_out(names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which of the images are held out: 5 % of them, at least 200, but never more than a quarter.

    They are those with the smallest SHA-256 of their names. So the choice is the same on every machine, and hardly
    changes when images are added.

    Args:
        names: n different names.

    Returns:
        bool [n].
    """
    count = min(max(LEAST, math.ceil(SHARE * len(names))), len(names) // IMAGES_PER_HELD_OUT)
    digests = np.array([hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8] for name in names], "S8")
    keys = digests.view(">u8") if len(names) else np.empty(0, ">u8")
    chosen = np.zeros(len(names), np.bool_)
    chosen[np.argsort(keys, kind="stable")[:count]] = True
    return chosen
