"""An artifact's folder, opened so that it stays the same one when a writer puts another in its place."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar, final

from prunnet_export._errors import InvalidInput
from prunnet_export.artifact._names import REJECTED, temporary_folders

_T = TypeVar("_T")
_ATTEMPTS = 50
_WAIT_S = 5.0
_POLL_S = 0.005

# Windows has none of these, and opens files by their paths. There a writer cannot move a folder with an open file.
_BY_HANDLE = {os.open, os.link} <= os.supports_dir_fd
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FILE = os.O_RDONLY | _NO_LINK | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@final
class OpenFolder:
    """A folder whose files are opened without following links, until it is closed.

    Args:
        path: The folder. If a writer is just replacing it, it is waited for.

    Raises:
        OSError: there is no such folder, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = _open_waiting(path) if _BY_HANDLE else None
        self._state = path.stat() if self._handle is None else os.fstat(self._handle)

    def __enter__(self) -> OpenFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            os.close(self._handle)

    def is_current(self) -> bool:
        """Whether the path still leads to this folder."""
        try:
            return os.path.samestat(self._state, self.path.stat())
        except OSError:
            return False

    def open(self, name: str) -> BinaryIO:
        """Open a regular file; raises OSError if there is none, or if it is a link."""
        with ExitStack() as stack:
            parent, last = self._parent(name, stack)
            handle = os.open(last, _FILE, dir_fd=parent)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(0, "not a regular file")
        return os.fdopen(handle, "rb")

    def link(self, name: str, place: Path, opened: BinaryIO) -> bool:
        """Give an opened file a second name; returns False if that is not possible, e.g. on another file system."""
        try:
            with ExitStack() as stack:
                parent, last = self._parent(name, stack)
                os.link(last, place, src_dir_fd=parent, follow_symlinks=False)
            if os.path.samestat(place.lstat(), os.fstat(opened.fileno())):
                return True
        except (OSError, NotImplementedError):
            return False
        place.unlink()  # the name was given to another file after it was opened
        return False

    def _parent(self, name: str, stack: ExitStack) -> tuple[int | None, str | Path]:
        """The folder that a file lies in, as a descriptor, and the file's name there."""
        if self._handle is None:
            return None, self.path / name
        parent, (*folders, last) = self._handle, name.split("/")
        for folder in folders:
            parent = os.open(folder, _FOLDER | _NO_LINK, dir_fd=parent)
            stack.callback(os.close, parent)
        return parent, last


def take(folder: Path, work: Callable[[OpenFolder], _T]) -> _T:
    """What ``work`` makes of a folder. If it failed and the folder was replaced meanwhile, it is called again."""
    for attempt in range(1, _ATTEMPTS + 1):
        with OpenFolder(folder) as opened:
            try:
                return work(opened)
            except (InvalidInput, OSError):
                if attempt == _ATTEMPTS or opened.is_current():
                    raise
    raise AssertionError("the last attempt returns or raises")


def _open_waiting(path: Path) -> int:
    """Open a folder. If it is missing because a writer is replacing it, wait for the new one, some seconds at most."""
    end = time.monotonic() + _WAIT_S
    while True:
        with suppress(FileNotFoundError):
            return os.open(path, _FOLDER)
        if not _is_moving(path) or time.monotonic() > end:
            return os.open(path, _FOLDER)
        time.sleep(_POLL_S)


def _is_moving(path: Path) -> bool:
    """Whether a writer has just moved an older artifact away, or is writing the first one."""
    place = Path(os.path.realpath(path))
    name = place.name.removesuffix(REJECTED)
    if place.with_name(f".{name}.lock").exists():
        return True
    with suppress(OSError):
        return bool(temporary_folders(place, "old"))
    return False
