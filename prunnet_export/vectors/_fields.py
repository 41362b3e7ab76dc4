"""What a file says beside its vectors: labels, metric, network, scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._text import printable
from prunnet_export.vectors._forms import INT8_SCALE, Scale
from prunnet_export.vectors._metrics import METRICS, Metric


def checked_labels(
    labels: npt.NDArray[Any] | None, count: int, file: Path
) -> npt.NDArray[np.int64] | npt.NDArray[np.str_] | None:
    """Labels as int64 or texts; raises InvalidInput if they are something else, or not one for each vector."""
    if labels is None:
        return None
    if labels.shape != (count,):
        raise InvalidInput(f"{file}: labels of shape {labels.shape} for {count} vectors", hint="one label a vector")
    if labels.dtype.kind == "U":
        return labels
    if labels.dtype.kind not in "iu":
        raise InvalidInput(f"{file}: the labels are {labels.dtype}", hint="expected integers or texts")
    return labels.astype(np.int64)


def checked_metric(metric: npt.NDArray[Any] | None, file: Path) -> Metric | None:
    """A metric from its name; raises InvalidInput if it is no known one."""
    if metric is None:
        return None
    stated = printable(str(metric))
    for known in METRICS:
        if stated == known:
            return known
    raise InvalidInput(f"{file}: unknown metric {stated[:40]!r}", hint=f"known: {', '.join(METRICS)}")


def checked_network(network: npt.NDArray[Any] | None, file: Path) -> str | None:
    """The hash of a network; raises InvalidInput if it is no text."""
    if network is None:
        return None
    if network.dtype.kind != "U" or network.ndim != 0:
        raise InvalidInput(f"{file}: `network` is {network.dtype} {list(network.shape)}", hint="expected one text")
    return printable(str(network))


def checked_scale(scale: npt.NDArray[Any] | None, file: Path) -> Scale:
    """What int8 codes are multiplied by; raises InvalidInput if it is not one or more positive numbers."""
    if scale is None:
        return INT8_SCALE
    if scale.dtype.kind != "f" or scale.ndim > 1 or not np.isfinite(scale).all() or not (scale > 0).all():
        raise InvalidInput(f"{file}: `scale` is {scale.dtype} {list(scale.shape)}", hint="expected positive numbers")
    return scale.astype(np.float32)
