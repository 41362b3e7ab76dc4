"""The cells of a matrix: each is one network, or artifact, at one budget on one device for one target."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from prunnet_export._errors import InvalidInput, PrunnetError, UsageError
from prunnet_export._text import shown
from prunnet_export.artifact import Manifest, read_manifest
from prunnet_export.benchmarks.matrix._settings import PREDICTED, BudgetTable, DeviceTable, Matrix
from prunnet_export.budget import Budget
from prunnet_export.cli import parse_export
from prunnet_export.devices import find_device, parse_address
from prunnet_export.network_config import DEMO, read_config
from prunnet_export.target import find_target

_MOST = 500  # a result has about 20 kB, and the file of a run is read up to 16 MiB
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell.

    Attributes:
        name: Its name, ``TARGET/NETWORK/BUDGET@DEVICE``; for an artifact that exists, its folder is in place of BUDGET.
        device: Label of the device.
        address: Address of the device.
        target: Name of the target.
        network: Name of the network.
        budget: The budget.
        words: Options of the export; none if the artifact exists.
        artifact: Folder of the artifact.
        home: Folder of the file that the result is stored in.
        threads: Threads of the runtime; None leaves it to the engine, or to an artifact that exists.
    """

    name: str
    device: str
    address: str
    target: str
    network: str
    budget: Budget
    words: tuple[str, ...]
    artifact: Path
    home: Path
    threads: int | None

    @property
    def machine(self) -> str:
        """The machine that runs the cell: cells of one machine run one after the other."""
        return parse_address(self.address).host if self.address.startswith("ssh://") else self.address


@dataclass(frozen=True)
class Plan:
    """The cells in their order, and everything that they depend on."""

    cells: list[Cell]
    settings: dict[str, Any]


def plan_cells(matrix: Matrix, file: Path, *, artifacts: Path, results: Path) -> Plan:
    """The cells of a matrix. Paths in its file are relative to the folder of the file.

    Args:
        matrix: The matrix.
        file: Its file.
        artifacts: The folder of new artifacts.
        results: The folder of the results.

    Raises:
        InvalidInput: a network, an artifact, an address or a name is not valid.
        UnknownName: there is no such target.
        UsageError: an option of an export is wrong, or no device measures an artifact.
    """
    folder = file.absolute().parent
    networks = _networks(matrix.networks, folder)
    existing = {folder / name: read_manifest(folder / name) for name in matrix.artifacts}
    options = _options(matrix, folder)
    make = _Maker(artifacts.absolute(), results.absolute(), matrix.export.threads)
    cells: list[Cell] = []
    for device in matrix.device:
        if device.address != PREDICTED:
            find_device(device.address)
        for target in dict.fromkeys(find_target(name).name for name in device.targets):
            for name, network in networks.items():
                words = (f"--target={target}", f"--network={network}", *options)
                cells += [make.exported(device, target, name, budget, words) for budget in matrix.budget]
            cells += make.checked(device, target, existing)
    _check_whole(cells, existing, file)
    inputs = {name: read_config(place).weights_sha256 for name, place in networks.items()}
    inputs |= {shown(place.name): manifest.files[manifest.entry].sha256 for place, manifest in existing.items()}
    settings: dict[str, Any] = {**msgspec.to_builtins(matrix), "inputs": inputs}
    for name in ("networks", "artifacts"):  # their names and hashes are in the inputs; their places do not matter
        del settings[name]
    if matrix.export.data is not None:
        settings["export"]["data"] = _images(matrix.export.data, matrix.export.layout, folder)
    return Plan(cells, settings)


def _images(data: str, layout: str | None, folder: Path) -> str:
    """What says which images they are: a digest, or the path as it is written if they cannot be opened."""
    from prunnet_export.datasets import open_dataset
    from prunnet_export.training import images_digest

    try:
        place = folder / data
        return images_digest(open_dataset(str(place) if place.exists() else data, layout=layout), whole=True)
    except PrunnetError:  # every export will say so
        return data


def _networks(given: list[str], folder: Path) -> dict[str, Path]:
    """The folder of each network by its name."""
    found: dict[str, Path] = {}
    for text in dict.fromkeys(given):
        place = DEMO if text == "demo" else folder / text
        name = "demo" if text == "demo" else place.resolve().name
        if not _NAME.fullmatch(name) or name in found:
            raise InvalidInput(
                f"{shown(name)!r} names no network in a matrix, or two",
                hint="rename the folder: letters, digits and . _ + -",
            )
        found[name] = place
    return found


def _options(matrix: Matrix, folder: Path) -> list[str]:
    """The table [export] as options, with paths that do not depend on the working folder."""
    table = matrix.export
    if table.data is not None and (folder / table.data).exists():  # else it may be built in
        table = msgspec.structs.replace(table, data=str(folder / table.data))
    if table.gallery is not None:
        table = msgspec.structs.replace(table, gallery=str(folder / table.gallery))
    return table.words()


@dataclass(frozen=True)
class _Maker:
    """Makes cells: the folder of new artifacts, the folder of the results, and the threads of the runtime."""

    artifacts: Path
    results: Path
    threads: int | None

    def exported(
        self, device: DeviceTable, target: str, network: str, table: BudgetTable, words: tuple[str, ...]
    ) -> Cell:
        """A cell whose artifact is exported."""
        place = self.artifacts / device.label / target / network / table.label
        words = (*words, *table.words(), f"--device={device.address}", f"--out={place}")
        options = parse_export(words)  # a wrong option is found before anything is measured
        return self._cell(device, target, network, table.label, budget=options.budget, words=words, artifact=place)

    def checked(self, device: DeviceTable, target: str, existing: Mapping[Path, Manifest]) -> Iterator[Cell]:
        """The cells of artifacts that exist. A prediction would not say anything new about them."""
        for place, manifest in existing.items():
            if manifest.target == target and device.address != PREDICTED:
                network, name = manifest.network.name, shown(place.resolve().name)
                yield self._cell(device, target, network, name, budget=manifest.budget, words=(), artifact=place)

    def _cell(
        self,
        device: DeviceTable,
        target: str,
        network: str,
        last: str,
        *,
        budget: Budget,
        words: tuple[str, ...],
        artifact: Path,
    ) -> Cell:
        return Cell(
            name=f"{target}/{network}/{last}@{device.label}",
            device=device.label,
            address=device.address,
            target=target,
            network=network,
            budget=budget,
            words=words,
            artifact=artifact,
            home=self.results,
            threads=self.threads,
        )


def _check_whole(cells: list[Cell], existing: Mapping[Path, Manifest], file: Path) -> None:
    """Raise an error if an artifact is measured nowhere, two cells have one name, or there are too many."""
    for place, manifest in existing.items():
        if not any(cell.artifact == place for cell in cells):
            raise UsageError(
                f"{file}: no device measures {place}, whose target is {manifest.target}",
                hint="add the target to a device that is not predicted",
            )
    if len(cells) > _MOST:
        raise UsageError(f"{file} has {len(cells)} cells, and a run has at most {_MOST}", hint="split the file")
    name, count = Counter(cell.name for cell in cells).most_common(1)[0]
    if count > 1:
        raise InvalidInput(f"{file}: two cells have the name {name}", hint="rename the folder of an artifact")
