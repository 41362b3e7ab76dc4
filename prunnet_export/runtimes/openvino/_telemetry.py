"""Imports Intel's packages without telemetry. By default they report their use over the network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# openvino_telemetry and nncf read these environment variables while they are imported.
_NO_REPORTS = {"CI": "true", "NNCF_CI": "1"}


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Packages that are imported in this context never send anything, and write no identifier into the home folder."""
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
