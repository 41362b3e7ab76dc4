"""A package of somebody else with entry points, on the path of this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest


def write_package(folder: Path, group: str, source: str, names: Mapping[str, str]) -> Path:
    """Write the package ``our_GROUP`` into a folder for ``sys.path``.

    Args:
        folder: The folder.
        group: The group of its entry points, without ``prunnet_export.``.
        source: Its only module.
        names: Names of entry points, each with the name of an object of the module.
    """
    module = f"our_{group}"
    (folder / f"{module}.py").write_text(source)
    information = folder / f"{module}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: our-{group}\nVersion: 1.0\n")
    lines = [f"{name} = {module}:{place}" for name, place in names.items()]
    (information / "entry_points.txt").write_text("\n".join([f"[prunnet_export.{group}]", *lines, ""]))
    return folder


def on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, source: str, names: Mapping[str, str]
) -> Iterator[Path]:
    """The folder of such a package while a test runs. Each test has a copy of its own."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(write_package(folder, group, source, names))
    yield folder
    sys.modules.pop(f"our_{group}", None)
