"""A matrix of the tiny network, and cells that need no network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from prunnet_export.benchmarks.matrix._cells import Cell
from tests._cli import environment, tiny_data, tiny_network
from tests.benchmarks.matrix._cells import WriteMatrix, cell_of, matrix_text

__all__ = ["environment", "tiny_data", "tiny_network"]


@pytest.fixture
def write_matrix(tiny_network: Path, tiny_data: Path, tmp_path: Path) -> WriteMatrix:
    """Writes a matrix of the tiny network; see :func:`matrix_text`."""

    def write(*devices: tuple[str, str, list[str]], ms: tuple[float, ...] = (50,), more: str = "") -> Path:
        file = tmp_path / "MATRIX.toml"
        file.write_text(matrix_text(tiny_network, tiny_data, devices, ms=ms, more=more), encoding="utf-8")
        return file

    return write


@pytest.fixture
def make_cell(tmp_path: Path) -> Callable[..., Cell]:
    """Makes a cell of an artifact that does not exist, by its name, device and address."""

    def make(name: str = "a", device: str = "here", address: str = "local") -> Cell:
        return cell_of(tmp_path, name, device, address)

    return make
