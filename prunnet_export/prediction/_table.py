"""Calibration tables: measurements of a device, stored for predictions without the device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from prunnet_export._documents import decode_json
from prunnet_export._errors import InvalidInput
from prunnet_export._files import open_regular, read_limited
from prunnet_export._limits import SETTINGS_BYTES
from prunnet_export.devices import Fingerprint
from prunnet_export.preprocessing import Size

DENSE = "dense"

Amount = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class CalibrationRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The measurement of one subnetwork.

    Attributes:
        pattern: The shape of its zeros; ``dense`` for the dense network.
        capacity: The capacity that was asked for.
        kept: Fraction of the prunable weights that is kept.
        precision: Precision that the runtime executed in.
        p50_ms: Median latency.
        p90_ms: 90th percentile of the latency.
        cv: Coefficient of variation.
        n: Number of samples.
        speedup: Median of the dense network in the first precision, divided by this median, in the same run.
        size_mb: Size of the model files, 10^6 bytes.
        macs: Multiply-adds of one image.
        kept_macs: Multiply-adds of weights that are not zero.
        weights: Number of weights.
        activations: Number of elements that the layers read and write.
        layers: Number of convolutions and matrix products.
    """

    pattern: str
    capacity: Amount
    kept: Amount
    precision: str
    p50_ms: Amount
    p90_ms: Amount
    cv: float
    n: Count
    speedup: Amount
    size_mb: Amount
    macs: Count
    kept_macs: Count
    weights: Count
    activations: Count
    layers: Count


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table of one backbone on one target and device."""

    backbone: str
    target: str
    crop_px: Size
    channel_multiple: int
    runtime: str
    runtime_version: str
    threads: int | None
    device: Fingerprint
    rows: list[CalibrationRow]
    source: Literal["measured"] = "measured"
    format: Literal["prunnet-calibration"] = "prunnet-calibration"
    version: Literal[2] = 2


def read_calibration(file: Path) -> Calibration:
    """Read a table of ``prunnet-bench calibrate``; raises InvalidInput if the file is missing or not a table."""
    hint = "prunnet-bench calibrate writes one"
    try:
        with open_regular(file) as opened:
            document = read_limited(opened, file, at_most=SETTINGS_BYTES)
        return decode_json(document, Calibration)
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read ({error.strerror})", hint=hint) from None
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{file}: not a calibration table ({error})", hint=hint) from None


def find_calibrations(folder: Path, target: str) -> list[Calibration]:
    """The tables of a target in a folder, sorted by file name. Other files and other versions are skipped."""
    found = []
    for file in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            table = read_calibration(file)
        except InvalidInput:
            continue
        if table.target == target:
            found.append(table)
    return found


def tables_of_one_device(tables: Sequence[Calibration]) -> list[Calibration]:
    """The tables of the device and thread count with the most rows. Tables of two devices are never combined."""
    by_device: dict[tuple[str, int | None], list[Calibration]] = {}
    for table in tables:
        by_device.setdefault((table.device.id, table.threads), []).append(table)
    return max(by_device.values(), key=lambda group: sum(len(table.rows) for table in group), default=[])
