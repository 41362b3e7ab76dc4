"""How commands end after errors of the machine, and what the terminal shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest

from prunnet_export._console import run
from prunnet_export._errors import MissingExtra, Unreachable
from prunnet_export._imports import require
from tests._cli import SECONDS, command_file, signals_kept


def end_of(error: BaseException, capfd: pytest.CaptureFixture[str]) -> tuple[object, list[str]]:
    """The exit code, and what stderr says, of a command that raises."""

    @click.command()
    def failing() -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["failing"])
        patch.setattr(os, "dup2", lambda *_: None)  # stdout is pytest's here
        with signals_kept(), pytest.raises(SystemExit) as caught:
            run(failing, name="failing", extra="host")
    return caught.value.code, capfd.readouterr().err.splitlines()


def test_an_operating_system_that_refuses_is_no_bug(capfd: pytest.CaptureFixture[str]) -> None:
    code, lines = end_of(OSError(28, "No space left on device", "model/half"), capfd)
    assert code == 2
    assert lines == [
        "error: cannot use model/half: No space left on device",
        "hint: check the disk, the path and its permissions",
    ]


def test_what_is_unforeseen_is_a_bug(capfd: pytest.CaptureFixture[str]) -> None:
    code, lines = end_of(RuntimeError("first\nsecond"), capfd)
    assert code == 70
    assert lines[0] == "error: internal error: RuntimeError: first"
    assert "--debug" in lines[1]


class OutOfMemoryError(RuntimeError):
    """An error with the name of torch's."""


@pytest.mark.parametrize(
    "error", [MemoryError(), OutOfMemoryError("CUDA out of memory"), RuntimeError("x: can't allocate memory: y")]
)
def test_too_little_memory_is_no_bug(error: Exception, capfd: pytest.CaptureFixture[str]) -> None:
    code, lines = end_of(error, capfd)
    assert (code, lines[0]) == (3, "error: memory ran out")
    assert lines[1].startswith("hint: ")


def test_an_error_of_the_system_in_a_process_that_is_to_be_silent() -> None:
    source = (
        "import io, sys; import click; from prunnet_export._console import run\n"
        "@click.command()\ndef failing(): raise OSError(24, 'Too many open files')\n"
        "sys.stdout = io.StringIO(); run(failing, name='failing', extra='host')"
    )
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert [line.partition(":")[0] for line in ran.stderr.splitlines()] == ["error", "hint"]


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit(1), EOFError(), BrokenPipeError(32, "x")])
def test_no_code_can_end_a_command_as_if_it_had_succeeded(
    error: BaseException, capfd: pytest.CaptureFixture[str]
) -> None:
    code, lines = end_of(error, capfd)
    assert code == 70
    assert type(error).__name__ in lines[-2] or "ended the program" in lines[-2]


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [command_file("prunnet-export"), "--list-targets"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only some systems have a device that is always full")
def test_a_full_output_is_one_error() -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [command_file("prunnet-export"), "--doctor"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ran.returncode == 2
    assert [line.partition(":")[0] for line in ran.stderr.splitlines()] == ["error", "hint"]
    assert "No space left" in ran.stderr


@pytest.mark.parametrize(
    ("redirection", "code", "streams"),
    [
        (">&-", 2, {"err": ["error: stdout is closed", "hint: redirect it"]}),
        ("2>&-", 0, {"out": ["prunnet-export, version"]}),
        (">&- 2>&- <&-", 2, {}),
        ("2>/dev/full", 0, {"out": ["prunnet-export, version"]}),
    ],
)
def test_streams_that_are_closed_or_full(redirection: str, code: int, streams: dict[str, list[str]]) -> None:
    command = f'exec "$0" --version {redirection}'
    ran = subprocess.run(["/bin/sh", "-c", command, command_file("prunnet-export")], capture_output=True, check=False)
    assert ran.returncode == code
    for found, beginnings in ((ran.stdout, streams.get("out", [])), (ran.stderr, streams.get("err", []))):
        lines = found.decode().splitlines()
        assert len(lines) == len(beginnings)
        assert all(line.startswith(beginning) for line, beginning in zip(lines, beginnings, strict=True))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only some systems have a device that is always full")
@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_an_error_that_cannot_be_printed_keeps_its_exit_code(redirection: str) -> None:
    command = f'exec "$0" --target nosuch --output-format json --debug {redirection}'
    ran = subprocess.run(["/bin/sh", "-c", command, command_file("prunnet-export")], capture_output=True, check=False)
    assert ran.returncode == 2
    assert [error["exit_code"] for error in json.loads(ran.stdout)["errors"]] == [2]


def test_a_closed_pipe_of_stderr_does_not_end_the_command(tmp_path: Path) -> None:
    source = (
        "import os, sys; import click; from prunnet_export._console import run, warn\n"
        "@click.command()\ndef warning():\n    warn('nobody reads this'); click.echo('result')\n"
        "reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 2)\n"
        "sys.argv = ['warning']; run(warning, name='warning', extra='host')"
    )
    ran = subprocess.run([sys.executable, "-c", source], stdout=subprocess.PIPE, check=False, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, b"result\n")


def test_what_the_terminal_cannot_hold_is_an_escape(tmp_path: Path) -> None:
    source = (
        "import sys; import click; from prunnet_export._console import run, warn\n"
        "@click.command()\ndef letters():\n    warn('\u0142'); click.echo('\u00e9 \u0142')\n"
        "sys.argv = ['letters']; run(letters, name='letters', extra='host')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True, check=False, cwd=tmp_path, env={**os.environ, "PYTHONIOENCODING": "cp1252"},
    )  # fmt: skip
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"\xe9 \\u0142\n", b"warning: \\u0142\n")


def test_an_interrupt_that_a_destructor_loses_comes_again(tmp_path: Path) -> None:
    # The command waits for a signal, so it ends only if the lost one comes again.
    ran = run_with_signals("class Late:\n    __del__ = lambda self: interrupt()\nLate(); signal.pause()", tmp_path)
    assert (ran.returncode, ran.stdout) == (130, "")
    lines = ran.stderr.strip().splitlines()  # click ends the line on which the terminal shows ^C
    assert [line.partition(":")[0] for line in lines] == ["error", "hint"]
    assert lines[0] == "error: interrupted"


def test_other_errors_of_destructors_are_shown(tmp_path: Path) -> None:
    ran = run_with_signals("class Bad:\n    __del__ = lambda self: 1 / 0\nBad(); click.echo('result')", tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "result\n")
    assert "ZeroDivisionError" in ran.stderr


@pytest.mark.parametrize("error", ["RecursionError", "OSError", "functools.partial(Unreachable, hint='')"])
def test_an_error_that_other_code_makes_of_an_interrupt(error: str, tmp_path: Path) -> None:
    ran = run_with_signals(f"try: interrupt()\nexcept KeyboardInterrupt: raise {error}('made of it')", tmp_path)
    assert (ran.returncode, ran.stderr.splitlines()[0]) == (130, "error: interrupted")


def test_an_interrupt_that_says_more_keeps_its_line(tmp_path: Path) -> None:
    error = "Interrupted('interrupted; a half is done', hint='go on')"
    ran = run_with_signals(f"try: interrupt()\nexcept KeyboardInterrupt: raise {error}", tmp_path)
    assert (ran.returncode, ran.stderr) == (130, "error: interrupted; a half is done\nhint: go on\n")


def run_with_signals(body: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with this body in a process of its own. There ``interrupt()`` is a Ctrl-C."""
    source = (
        "import functools, signal, sys; import click; from prunnet_export._console import run\n"
        "from prunnet_export._errors import Interrupted, Unreachable\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"  # a shell may have started the tests in the background
        "def interrupt(): signal.raise_signal(signal.SIGINT)\n"
        f"@click.command()\ndef command():\n{textwrap.indent(body, '    ')}\n"
        "sys.argv = ['command']; run(command, name='command', extra='host')"
    )
    return subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False, cwd=folder, timeout=SECONDS
    )


def test_a_byte_that_is_not_utf8_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    _, lines = end_of(Unreachable("no file caf\udce9", hint=""), capfd)
    assert lines == [r"error: no file caf\xe9"]


def test_control_characters_do_not_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    _, lines = end_of(Unreachable("a board said \x1b]0;title\x07\x1b[2J\x9b1mthis", hint="\x1b[31mred"), capfd)
    assert lines == ["error: a board said ]0;title[2J1mthis", "hint: [31mred"]


def test_a_module_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_engine.py").write_text("raise ImportError('libengine.so: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Unreachable, match=r"broken_engine cannot be loaded: libengine\.so") as caught:
        require("broken_engine", extra="engine")
    assert caught.value.hint
    with pytest.raises(MissingExtra, match="absent_engine"):
        require("absent_engine", extra="engine")
