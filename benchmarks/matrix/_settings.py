"""The file of a matrix: its networks, budgets, devices, and options of the exports. Unknown keys are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated

import msgspec

from prunnet_export._documents import read_toml
from prunnet_export._errors import InvalidInput, UnknownName, UsageError
from prunnet_export.budget import Amount

HINT = "docs/matrix.md shows such a file"

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}(?!\n)$")]
"""A name that is a part of names of cells and a name of folders."""

LOCAL, PREDICTED = "local", "predicted"


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """Base of all tables."""


class BudgetTable(_Table, frozen=True, kw_only=True):
    """A table ``[[budget]]``: the limits of ``prunnet-export``.

    Attributes:
        ms: Limit of the latency at the percentile ``at``, in milliseconds.
        mb: Limit of the size, in 10^6 bytes.
        ram_mb: Limit of the peak memory, in MiB.
        at: The percentile.
        name: Its name; made of the limits if there is none.
    """

    ms: Amount | None = None
    mb: Amount | None = None
    ram_mb: Amount | None = None
    at: str = "p90"
    name: Name | None = None

    @property
    def label(self) -> str:
        """The name, or the limits as a name: ``2ms-0.5mb``, ``5ms-p99``."""
        limits = {"ms": self.ms, "mb": self.mb, "mib-ram": self.ram_mb}
        parts = [f"{limit:.6g}{unit}" for unit, limit in limits.items() if limit is not None]
        return self.name or "-".join([*parts, *([] if self.at == "p90" else [self.at])])

    def words(self) -> list[str]:
        """The limits as options of ``prunnet-export``."""
        limits = {"--budget-ms": self.ms, "--budget-mb": self.mb, "--budget-ram-mb": self.ram_mb}
        return [f"--at={self.at}", *(f"{name}={limit!r}" for name, limit in limits.items() if limit is not None)]


class DeviceTable(_Table, frozen=True, kw_only=True):
    """A table ``[[device]]``.

    Attributes:
        label: Its name.
        address: ``local``, ``ssh://user@host``, or ``predicted``.
        targets: The targets that it can run.
    """

    label: Name
    address: str
    targets: Annotated[list[str], msgspec.Meta(min_length=1)]


class ExportTable(_Table, frozen=True, kw_only=True):
    """The table ``[export]``: options of ``prunnet-export`` by their names. Others have its defaults."""

    data: str | None = None
    layout: str | None = None
    gallery: str | None = None
    metric: str | None = None
    pattern: str | None = None
    precision: str | None = None
    select: str | None = None
    channel_multiple: int | None = None
    threads: int | None = None
    scope: str | None = None
    photo_px: str | None = None
    batch_size: int | None = None
    max_queries: int | None = None
    max_gallery: int | None = None
    min_recall: float | None = None
    min_parity: float | None = None
    min_overlap: float | None = None
    query_images: str | None = None

    def words(self) -> list[str]:
        """The options as words of a command line."""
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return [f"--{name.replace('_', '-')}={value}" for name, value in given.items() if value is not None]


class Matrix(_Table, frozen=True, kw_only=True):
    """The whole file.

    Attributes:
        networks: Folders that ``prunnet-train`` wrote, or ``demo``, which is bundled.
        artifacts: Artifacts that exist. They are not exported, and have their own budgets.
        budget: The budgets.
        device: The devices.
        export: Options of every export.
    """

    networks: list[str] = []
    artifacts: list[str] = []
    budget: list[BudgetTable] = []
    device: Annotated[list[DeviceTable], msgspec.Meta(min_length=1)]
    export: ExportTable = ExportTable()

    def only(self, labels: Collection[str]) -> Matrix:
        """The matrix of the devices with these labels; of all devices if none is given.

        Raises:
            UnknownName: there is no such device.
        """
        known = [one.label for one in self.device]
        for label in labels:
            if label not in known:
                raise UnknownName("device", label, known)
        chosen = [one for one in self.device if not labels or one.label in labels]
        return msgspec.structs.replace(self, device=chosen)


def read_matrix(file: Path) -> Matrix:
    """The matrix in a file.

    Raises:
        InvalidInput: the file cannot be read, has an unknown key, or names two things alike.
        UsageError: it describes no cell.
    """
    document = read_toml(file, hint=HINT)
    try:
        matrix = msgspec.convert(document, Matrix)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{file}: {error}", hint=HINT) from None
    if not matrix.networks and not matrix.artifacts:
        raise UsageError(f"{file} names no network and no artifact", hint='add networks = ["demo"]')
    if matrix.networks and not matrix.budget:
        raise UsageError(f"{file} has no budget", hint="add a table [[budget]] with ms = 5")
    _check_unlike(file, "budgets", (one.label for one in matrix.budget))
    _check_unlike(file, "devices", (one.label for one in matrix.device))
    return matrix


def _check_unlike(file: Path, what: str, names: Iterable[str]) -> None:
    """Raise InvalidInput if a name is there twice. The case does not count, as for file names on some systems."""
    twice = [name for name, count in Counter(name.casefold() for name in names).items() if count > 1]
    if twice:
        raise InvalidInput(f"{file}: two {what} have the name {twice[0]!r}", hint="give each one a name of its own")
