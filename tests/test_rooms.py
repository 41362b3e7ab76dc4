"""One direction: prunnet_export <- training, targets <- benchmarks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "prunnet_export"
FLOORS = ("training", "targets", "benchmarks")


def files(room: str) -> list[Path]:
    """The Python files of a room; links to other rooms are not followed."""
    found = []
    for entry in sorted((ROOT / room).iterdir()):
        if entry.is_symlink():
            continue
        if entry.is_dir():
            found += files(str(entry.relative_to(ROOT)))
        elif entry.suffix == ".py":
            found.append(entry)
    return found


def imports(file: Path) -> Iterator[str]:
    """Every module that a file names in an import statement, at any depth, or to importlib as a literal."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import; use the full name"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def reaches(module: str, room: str) -> bool:
    return f"{module}.".startswith(f"{PACKAGE}.{room}.")


@pytest.mark.parametrize(
    ("room", "above"),
    [(PACKAGE, FLOORS), ("training", ("targets", "benchmarks")), ("targets", ("training", "benchmarks"))],
)
def test_no_room_imports_the_rooms_above_it(room: str, above: tuple[str, ...]) -> None:
    assert files(room)
    found = [
        f"{file.relative_to(ROOT)}: {module}"
        for file in files(room)
        for module in imports(file)
        if any(reaches(module, other) for other in above)
    ]
    assert not found


@pytest.mark.parametrize("room", [PACKAGE, *FLOORS])
def test_rooms_are_imported_by_their_full_names(room: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}: {module}"
        for file in files(room)
        for module in imports(file)
        if module.split(".")[0] in FLOORS
    ]
    assert not found


def test_the_judge_sees_every_kind_of_import(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(
        "import prunnet_export.training.cli\n"
        "def f():\n"
        "    from prunnet_export import training\n"
        "    import_module('prunnet_export.training')\n"
    )
    assert [reaches(module, "training") for module in imports(file)] == [True] * 3
    assert not reaches("prunnet_export.training_tools", "training")
