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
import os
from prunnet_export.runtimes.onnxruntime import OnnxRuntime
from prunnet_export.target import Target
def boom(*_): raise eval(os.environ["RAISED"])
if os.environ["WHERE"] == "import": boom()
class Engine(OnnxRuntime):
    __module__ = "theirs"
    def __init__(self):
        if os.environ["WHERE"] == "init": boom()
    version = boom
TARGET = 3 if os.environ["WHERE"] == "type" else Target("theirs", "x", "theirs", ("channel",), ("fp32",), 8, "s")
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("site")
    (site / "theirs.py").write_text(_BROKEN)
    info = site / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[prunnet_export.targets]\ntheirs = theirs:TARGET\n[prunnet_export.runtimes]\ntheirs = theirs:Engine\n"
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


@pytest.mark.parametrize("where", ["import", "type", "init", "version"])
def test_a_broken_package_is_named_and_the_survey_goes_on(site: Path, where: str) -> None:
    survey, export = (
        subprocess.run(
            [
                sys.executable,
                "-c",
                f"import sys; sys.path.insert(0, {str(site)!r})\nfrom prunnet_export.cli import main\nmain()",
                *arguments,
            ],
            env={"RAISED": "SystemExit(0)", "WHERE": where, "PATH": "", "HOME": str(site)},
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
        for arguments in (["--list-targets"], ["--target", "theirs", "--budget-ms", "5"])
    )
    assert survey.returncode == 0
    assert {"theirs", "x86-onnxruntime"} <= {
        line.split("|")[1].strip() for line in survey.stdout.splitlines() if "|" in line
    }
    assert export.returncode == 2
    assert [line.partition(":")[0] for line in export.stderr.splitlines()] == ["error", "hint"]
    assert "theirs 1.0" in export.stderr
