"""The project's own settings: ``[tool.prunnet-export]`` in the ``pyproject.toml`` of the working folder."""

from __future__ import annotations

from pathlib import Path

import msgspec

from prunnet_export._documents import read_toml
from prunnet_export._errors import InvalidInput


class ProjectConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """Settings of a project.

    Attributes:
        network: Folder of the network that commands use without ``--network``.
        data: Data set that commands use without ``--data``.
    """

    network: str | None = None
    data: str | None = None


def read_project_config(folder: Path) -> ProjectConfig:
    """The settings in a folder's ``pyproject.toml``; empty if there is no such file.

    Raises:
        InvalidInput: the file cannot be parsed, or the table has an unknown key.
    """
    file = folder / "pyproject.toml"
    if not file.is_file():
        return ProjectConfig()
    document = read_toml(file, hint="correct the file, or give --network")
    tool = document.get("tool", {})
    if not isinstance(tool, dict):
        raise InvalidInput(f"{file}: `tool` is no table", hint="correct the file, or give --network")
    try:
        return msgspec.convert(tool.get("prunnet-export", {}), ProjectConfig)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{file}, [tool.prunnet-export]: {error}", hint="known keys: network, data") from None
