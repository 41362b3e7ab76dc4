"""The threads of torch under a CPU quota."""

from __future__ import annotations

import torch

from prunnet_export._cores import threads_under_quota


def limit_torch_threads() -> None:
    """Give torch no more threads than a CPU quota lets run. A lower number, e.g. of OMP_NUM_THREADS, stays."""
    limit = threads_under_quota()
    if limit is not None and torch.get_num_threads() > limit:
        torch.set_num_threads(limit)
