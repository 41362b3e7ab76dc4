from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from prunnet_export.runtimes._silence import silenced

LIBC = ctypes.CDLL(None)


def test_nothing_is_seen_of_what_is_said_inside(capfd: pytest.CaptureFixture[str]) -> None:
    sys.stdout.write("before\n")
    with silenced():
        sys.stdout.write("from Python\n")
        sys.stderr.write("from Python\n")
        LIBC.puts(b"from C")
        os.write(1, b"to the descriptor\n")
        os.write(2, b"to the descriptor\n")
        logging.getLogger("test").critical("logged")
        warnings.warn("warned", UserWarning, stacklevel=1)
    sys.stdout.write("after\n")
    assert capfd.readouterr() == ("before\nafter\n", "")


def test_it_ends_with_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="mine"), silenced():
        raise ValueError("mine")
    os.write(1, b"out\n")
    os.write(2, b"err\n")
    assert capfd.readouterr() == ("out\n", "err\n")
    assert logging.root.manager.disable == logging.NOTSET


def test_it_nests(capfd: pytest.CaptureFixture[str]) -> None:
    with silenced():
        with silenced():
            os.write(1, b"inner\n")
        os.write(1, b"outer\n")
    os.write(1, b"after\n")
    assert capfd.readouterr() == ("after\n", "")


def test_a_logger_set_up_inside_can_go_on(capfd: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("set up in silence")
    logger.propagate = False
    with silenced():
        handler = logging.StreamHandler(sys.stderr)
        logger.addHandler(handler)
    logger.warning("later")
    logger.removeHandler(handler)
    assert capfd.readouterr() == ("", "")


def test_closed_streams_are_no_obstacle() -> None:
    code = (
        "from prunnet_export.runtimes._silence import silenced\nwith silenced(): print('lost')\nimport os; os._exit(7)"
    )
    done = subprocess.run(["/bin/sh", "-c", f'exec "{sys.executable}" -c "{code}" >&- 2>&-'], check=False)
    assert done.returncode == 7


def test_what_c_prints_is_collected_and_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with silenced() as printed:
        LIBC.puts(b"from C")
        assert printed() == "from C\n"
    assert capfd.readouterr() == ("", "")


def test_what_was_printed_before_and_after_is_shown_in_its_order(capfd: pytest.CaptureFixture[str]) -> None:
    LIBC.puts(b"before")
    with silenced():
        LIBC.puts(b"inside")
    LIBC.puts(b"after")
    LIBC.fflush(None)
    assert capfd.readouterr().out == "before\nafter\n"


def test_an_error_inside_leaves_standard_output_where_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="inside"), silenced():
        raise ValueError("inside")
    os.write(1, b"still here")
    assert capfd.readouterr().out == "still here"


def test_threads_that_overlap_give_it_back(capfd: pytest.CaptureFixture[str]) -> None:
    def speak() -> None:
        for _ in range(20):
            with silenced():
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
        with silenced():
            pass
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_a_program_without_standard_output_goes_on() -> None:
    source = (
        "import os, sys; os.close(1); sys.stdout = None\n"
        "from prunnet_export.runtimes._silence import silenced\n"
        "with silenced() as printed: nothing = printed() == ''\n"
        "print(nothing, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "True\n")
