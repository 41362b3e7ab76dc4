from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from prunnet_export.runtimes._native_stdout import captured

LIBC = ctypes.CDLL(None)


def test_what_c_prints_is_collected_and_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with captured() as said:
        LIBC.puts(b"from C")
        assert said() == "from C\n"
    assert capfd.readouterr() == ("", "")


def test_what_was_printed_before_and_after_is_shown_in_its_order(capfd: pytest.CaptureFixture[str]) -> None:
    LIBC.puts(b"before")
    with captured():
        LIBC.puts(b"inside")
    LIBC.puts(b"after")
    LIBC.fflush(None)
    assert capfd.readouterr().out == "before\nafter\n"


def test_an_error_inside_leaves_standard_output_where_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="inside"), captured():
        raise ValueError("inside")
    os.write(1, b"still here")
    assert capfd.readouterr().out == "still here"


def test_threads_that_overlap_give_it_back(capfd: pytest.CaptureFixture[str]) -> None:
    def speak() -> None:
        for _ in range(20):
            with captured():
                LIBC.puts(b"inside")

    threads = [threading.Thread(target=speak) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(1, b"still here")
    assert capfd.readouterr().out == "still here"


def test_no_descriptor_is_lost() -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(3):
        with captured():
            pass
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_a_program_without_standard_output_goes_on() -> None:
    source = (
        "import os, sys; os.close(1); sys.stdout = None\n"
        "from prunnet_export.runtimes._native_stdout import captured\n"
        "with captured() as said: print(said() == '', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "True\n")
