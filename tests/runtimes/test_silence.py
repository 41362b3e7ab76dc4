from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import warnings

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
