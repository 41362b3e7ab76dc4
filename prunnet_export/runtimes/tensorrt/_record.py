"""The facts about an engine file, written beside it as ``engine.json``."""

from __future__ import annotations

from pathlib import Path

import msgspec

from prunnet_export._documents import read_json
from prunnet_export._files import replace_file

RECORD = "engine.json"


class EngineRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Facts about an engine file.

    ``device`` is the GPU that it was built on, None if it was built without one. ``sparse_eligible`` layers have 2:4
    weights, and ``sparse_chosen`` layers run on sparse tensor cores; None if the build does not say.
    """

    runtime: str
    version: str
    precision: str
    compute_capabilities: tuple[str, ...]
    device: str | None = None
    sparse_eligible: int | None = None
    sparse_chosen: int | None = None


def write_record(record: EngineRecord, folder: Path) -> None:
    """Write ``engine.json`` into a folder."""
    replace_file(folder / RECORD, msgspec.json.format(msgspec.json.encode(record)) + b"\n")


def read_record(folder: Path) -> EngineRecord | None:
    """The ``engine.json`` of a folder, None if there is none; raises InvalidInput if it is damaged."""
    file = folder / RECORD
    if not file.is_file():
        return None
    return read_json(file, EngineRecord, hint="build the engine again", what="a record of an engine")
