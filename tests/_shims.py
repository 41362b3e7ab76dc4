"""Processes that see another system than this one: a module of the tests runs in them before everything else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

TESTS = Path(__file__).parent


def with_shim(environment: dict[str, str], name: str, folder: Path) -> dict[str, str]:
    """The environment of a command in which Python runs the module ``tests/NAME.py`` first.

    Args:
        environment: The environment without it.
        name: The name of the module.
        folder: A new folder for a copy of it.
    """
    folder.mkdir()
    shutil.copyfile(TESTS / f"{name}.py", folder / "sitecustomize.py")
    path = [str(folder), str(TESTS.parent), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(path)}
