"""Takes from Python on Linux what Python on Windows does not have. It runs before everything else, in every process.

A file that this process has open can be neither renamed nor removed, as on Windows.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from types import ModuleType
from typing import Any

GONE = ("fcntl", "grp", "pwd", "resource", "termios")
NAMES = (
    *("fork", "getuid", "geteuid", "getgid", "setsid", "killpg", "mkfifo", "statvfs", "sysconf", "set_blocking"),
    *("pread", "preadv", "pwrite", "pwritev", "sched_getaffinity", "getloadavg", "fchmod", "O_TMPFILE", "O_PATH"),
    *("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK"),
)
SIGNALS = ("SIGHUP", "SIGQUIT", "SIGUSR1", "SIGALRM", "SIG_BLOCK", "SIG_SETMASK", "pthread_sigmask", "setitimer")

_flock, _exclusive = fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB
_open, _link, _popen = os.open, os.link, subprocess.Popen.__init__


class NoneOfTheProcess(ctypes.CDLL):
    """Windows has no library of the whole process."""

    def __init__(self, name: str | None, *arguments: Any, **options: Any) -> None:
        if name is None:
            raise TypeError("no library is named")
        super().__init__(name, *arguments, **options)


def locking(handle: int, _mode: int, _count: int) -> None:
    """Windows refuses a lock that another process has in this way."""
    try:
        _flock(handle, _exclusive)
    except BlockingIOError:
        raise PermissionError(13, "Permission denied") from None


def open_file(path: Any, flags: int, mode: int = 0o777, *, dir_fd: None = None) -> int:  # noqa: ARG001  # always None
    """Windows opens no folders."""
    if not isinstance(path, int) and os.path.isdir(path):  # noqa: PTH112  # as cheap as possible
        raise PermissionError(13, "Permission denied", path)
    return _open(path, flags, mode)


def link(source: Any, target: Any, *, follow_symlinks: bool = True, **_: Any) -> None:
    """Windows follows every link."""
    if not follow_symlinks:
        raise NotImplementedError("follow_symlinks unavailable on this platform")
    _link(source, target)


def popen(process: Any, *arguments: Any, pass_fds: Any = (), **options: Any) -> None:
    """Windows passes no descriptors."""
    if pass_fds:
        raise ValueError("pass_fds not supported on Windows.")
    _popen(process, *arguments, **options)


def kept_while_open(function: Any) -> Any:
    """The function, which fails for a file that this process has open."""

    def checked(path: Any, *arguments: Any, **options: Any) -> Any:
        real = os.path.realpath(path)
        for number in os.listdir("/proc/self/fd"):  # noqa: PTH208  # as cheap as possible
            try:
                held = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115  # as cheap as possible
            except OSError:
                continue
            if held == real:
                raise PermissionError(13, "it is open", path)
        return function(path, *arguments, **options)

    return checked


for name in GONE:
    sys.modules[name] = None  # type: ignore[assignment]  # an import of it fails
locks: Any = ModuleType("msvcrt")  # subprocess looks for it, and is imported already
locks.locking, locks.LK_NBLCK = locking, 2
sys.modules["msvcrt"] = locks
for name in NAMES:
    if hasattr(os, name):
        delattr(os, name)
for name in SIGNALS:
    delattr(signal, name)
for name in ("poll", "epoll"):
    delattr(select, name)
os.supports_dir_fd = set()
shutil._use_fd_functions = False  # type: ignore[attr-defined]  # typeshed leaves private names out
tempfile._O_TMPFILE_WORKS = False  # type: ignore[attr-defined]  # private too
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL
tempfile._bin_openflags = tempfile._text_openflags = _FLAGS  # type: ignore[attr-defined]  # private too
os.open, os.link = open_file, link  # type: ignore[assignment]  # they refuse what Windows does not have
for name in ("unlink", "remove", "rename", "replace", "rmdir"):
    setattr(os, name, kept_while_open(getattr(os, name)))
subprocess.Popen.__init__ = popen  # type: ignore[assignment, method-assign]  # it refuses pass_fds
ctypes.CDLL = NoneOfTheProcess  # type: ignore[misc]  # a class takes the place of a class
