"""Packages of others that are broken: each ends as one error that names it, and as no other outcome."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prunnet_export._errors import InvalidInput, UsageError
from prunnet_export._foreign import foreign_code, guarded
from prunnet_export.runtimes import Runtime
from tests._asserts import assert_one_line

_BROKEN = """
from prunnet_export.runtimes.onnxruntime import OnnxRuntime
from prunnet_export.target import Target
WHERE = __name__.removeprefix("broken_")
def boom(*_): raise SystemExit(0)
if WHERE == "import": boom()
class Engine(OnnxRuntime):
    __module__ = __name__
    def __init__(self):
        if WHERE == "init": boom()
    version = boom
TARGET = 3 if WHERE == "type" else Target(__name__, "x", __name__, ("channel",), ("fp32",), 8, "s")
"""
_WHERE = ("import", "type", "init", "version")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four installed packages, each broken at another place."""
    site = tmp_path_factory.mktemp("site")
    for name in (f"broken_{where}" for where in _WHERE):
        (site / f"{name}.py").write_text(_BROKEN)
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[prunnet_export.targets]\n{name} = {name}:TARGET\n[prunnet_export.runtimes]\n{name} = {name}:Engine\n"
        )
    return site


@pytest.mark.parametrize(
    "error", [SystemExit(0), EOFError(), BrokenPipeError(), RecursionError("deep"), OSError(5, "x")]
)
def test_whatever_foreign_code_raises_is_one_error(error: BaseException) -> None:
    with pytest.raises(UsageError, match="it failed: ") as caught, foreign_code("it failed", "repair it"):
        raise error
    assert_one_line(caught.value)
    assert caught.value.hint == "repair it"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [InvalidInput("x"), KeyboardInterrupt(), MemoryError(), RuntimeError("can't allocate memory")]
)
def test_what_is_not_the_fault_of_the_code_stays_what_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, foreign_code("it failed", "repair it"):
        raise error
    assert caught.value is error


def test_the_methods_of_a_foreign_class_are_guarded_and_ours_are_not() -> None:
    theirs = type("Theirs", (), {"__module__": "theirs", "version": lambda _: sys.exit(0), "built": lambda _, x: x})
    made = guarded(theirs, Runtime, "runtime 'theirs'", "repair it")
    with pytest.raises(UsageError, match=r"runtime 'theirs', version\(\): SystemExit 0"):
        made().version()
    assert made().built(5) == 5
    ours = type("Ours", (), {"__module__": "prunnet_export.ours"})
    assert guarded(ours, Runtime, "", "") is ours


def export(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    source = f"import sys; sys.path.insert(0, {str(site)!r})\nfrom prunnet_export.cli import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", source, *arguments],
        env={"PATH": "", "HOME": str(site)},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_survey_lists_broken_packages_and_goes_on(site: Path) -> None:
    survey = export(site, "--list-targets")
    assert survey.returncode == 0
    listed = {line.split("|")[1].strip() for line in survey.stdout.splitlines() if "|" in line}
    assert {*(f"broken_{where}" for where in _WHERE), "x86-onnxruntime"} <= listed


@pytest.mark.parametrize("where", _WHERE)
def test_a_broken_package_is_named(site: Path, where: str) -> None:
    ran = export(site, "--target", f"broken_{where}", "--budget-ms", "5")
    assert ran.returncode == 2
    assert [line.partition(":")[0] for line in ran.stderr.splitlines()] == ["error", "hint"]
    assert f"broken_{where} 1.0" in ran.stderr
