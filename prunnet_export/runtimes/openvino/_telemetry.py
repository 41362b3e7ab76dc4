"""Imports of Intel's packages, which report their use over the network unless they are told that nobody is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# What openvino_telemetry and nncf look at while they are imported.
_NO_REPORTS = {"CI": "true", "NNCF_CI": "1"}


@contextmanager
def no_telemetry() -> Iterator[None]:
    """What is imported meanwhile sends nothing, then or later, and writes no identifier into the home folder."""
    before = {name: os.environ.get(name) for name in _NO_REPORTS}
    os.environ.update(_NO_REPORTS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
