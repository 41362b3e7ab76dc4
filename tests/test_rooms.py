"""The rules of imports: a room imports only the public faces of lower rooms, and never in a circle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "prunnet_export"
FLOORS = ("training", "targets", "benchmarks")

# The lowest room comes first. A room imports only rooms before it. Modules at the top level are below all rooms.
ROOMS = (
    "plain values",
    "measuring",
    "reports",
    "vectors",
    "galleries",
    "network",
    "patterns",
    "teachers",
    "runtimes",
    "devices",
    "artifact",
    "prediction",
    "building",
    "evaluating",
    "search",
    "finishing",
    "cli",
    "training",
    "targets",
    "benchmarks",
)
PLAIN = ROOMS[0]
# The face of the whole package and the entry points of the commands. They import from rooms when they are used.
DOORS = {PACKAGE, f"{PACKAGE}._start"}


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its full name; the three links are left out."""
    found = {}
    for folder in (PACKAGE, *FLOORS):
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            if any(parent.is_symlink() for parent in file.parents):
                continue
            name = ".".join(parts if folder == PACKAGE else (PACKAGE, *parts))
            found[name.removesuffix(".__init__")] = file
    return found


def room_of(module: str) -> str:
    """The room that a module of the package lies in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else PLAIN


def imports(file: Path, *, at_import: bool = False) -> Iterator[str]:
    """Every module of this package that a file names.

    Args:
        file: A Python file.
        at_import: Only what is imported when the file is: not what stands in functions or is for type checkers.
    """
    for node in statements(ast.parse(file.read_text(encoding="utf-8")), at_import=at_import):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import; use the full name"
            assert node.module is not None
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        yield from (name for name in names if f"{name}.".startswith(f"{PACKAGE}."))


def statements(tree: ast.AST, *, at_import: bool) -> Iterator[ast.AST]:
    """The nodes of a tree."""
    for node in ast.iter_child_nodes(tree):
        later = isinstance(node, ast.FunctionDef) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        )
        if not (at_import and later):
            yield node
            yield from statements(node, at_import=at_import)


def module_of(name: str) -> str:
    """The module that an imported name is, or is defined in."""
    while name not in modules():
        name = name.rpartition(".")[0]
        assert name, "not of this package"
    return name


def test_the_list_names_every_room() -> None:
    folders = {path.name for path in (ROOT / PACKAGE).iterdir() if (path / "__init__.py").exists()}
    assert folders == set(ROOMS) - {PLAIN}


def test_no_room_imports_a_room_above_it() -> None:
    rank = {room: index for index, room in enumerate(ROOMS)}
    found = [
        f"{module} imports {name}"
        for module, file in modules().items()
        if module not in DOORS
        for name in imports(file)
        if name != PACKAGE and rank[room_of(module_of(name))] > rank[room_of(module)]
    ]
    assert not found


def test_training_and_targets_do_not_know_each_other() -> None:
    found = [
        f"{module} imports {name}"
        for module, file in modules().items()
        for name in imports(file)
        if {room_of(module), room_of(module_of(name))} == {"training", "targets"}
    ]
    assert not found


def test_nobody_reaches_behind_the_face_of_a_room() -> None:
    found = [
        f"{module} imports {name}"
        for module, file in modules().items()
        if module not in DOORS
        for name in imports(file)
        if (room := room_of(module_of(name))) not in {PLAIN, room_of(module)} and behind_the_face(name, room)
    ]
    assert not found


def behind_the_face(name: str, room: str) -> bool:
    """Whether a name is outside the ``__init__.py`` of its room, of an engine and of the methods."""
    face = re.fullmatch(rf"{PACKAGE}\.{room}(\.[a-z]\w*)?(\.\w+)?", name)
    return face is None or (module_of(name) in modules() and modules()[module_of(name)].name != "__init__.py")


def test_there_is_no_circle() -> None:
    graph = {
        module: {module_of(name) for name in imports(file, at_import=True)} - {module} - ancestors(module)
        for module, file in modules().items()
    }
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def ancestors(module: str) -> set[str]:
    """The packages that a module lies in, which Python imports before it."""
    parts = module.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts))}


@pytest.mark.parametrize("folder", [PACKAGE, *FLOORS])
def test_rooms_are_imported_by_their_full_names(folder: str) -> None:
    pattern = re.compile(rf"^\s*(?:from|import) (?:{'|'.join(FLOORS)})\b", re.MULTILINE)
    files = [file for file in modules().values() if file.is_relative_to(ROOT / folder)]
    assert files
    assert not [file for file in files if pattern.search(file.read_text(encoding="utf-8"))]


def test_the_judge_sees_every_kind_of_import(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(
        "import prunnet_export.training.cli\n"
        "def f():\n"
        "    from prunnet_export import training\n"
        "    import_module('prunnet_export.training')\n"
        "if TYPE_CHECKING:\n"
        "    from prunnet_export.search._export import Export\n"
    )
    found = list(imports(file))
    assert [room_of(module_of(name)) for name in found] == ["training", "training", "training", "search"]
    assert [behind_the_face(name, room_of(module_of(name))) for name in found] == [True, False, False, True]
    assert list(imports(file, at_import=True)) == ["prunnet_export.training.cli"]
