"""Matrices and cells for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from prunnet_export.benchmarks.matrix._cells import Cell
from prunnet_export.budget import Budget

WriteMatrix = Callable[..., Path]
HERE = ("here", "local", ["x86-onnxruntime"])
SILENT = ("board", "ssh://nobody@127.0.0.1:1", ["raspberry-pi-5"])


def matrix_text(
    network: Path,
    data: Path,
    devices: Sequence[tuple[str, str, list[str]]],
    *,
    ms: Sequence[float] = (50,),
    more: str = "",
) -> str:
    """A matrix of one network, a budget for each limit of milliseconds, and devices of (label, address, targets)."""
    lines = [
        f'networks = ["{network}"]',
        more,
        f'[export]\ndata = "{data}"',
        'pattern = "channel"\nprecision = "fp32"\nmin-recall = 0\nthreads = 1',
        *(f"[[budget]]\nms = {limit}" for limit in ms),
        *(
            f'[[device]]\nlabel = "{label}"\naddress = "{address}"\ntargets = {targets}'
            for label, address, targets in devices
        ),
    ]
    return "\n".join(lines).replace("'", '"') + "\n"


def cell_of(folder: Path, name: str, device: str = "here", address: str = "local") -> Cell:
    """A cell of an artifact that does not exist."""
    return Cell(
        name=f"x86-onnxruntime/tiny/{name}@{device}",
        device=device,
        address=address,
        target="x86-onnxruntime",
        network="tiny",
        budget=Budget(latency_ms=50.0),
        words=(),
        artifact=folder / name,
        home=folder / "results",
        threads=1,
    )
