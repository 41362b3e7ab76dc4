"""Temporary folders that a killed process does not leave behind for ever."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from prunnet_export._file_locks import lock
from prunnet_export._files import remove_folder
from prunnet_export._interrupts import postponed_interrupts
from prunnet_export._system import WINDOWS

_NAME = re.compile(r"prunnet-[a-z]+-[0-9a-f]{16}\.tmp")


class TemporaryFolder:
    """A folder for the temporary files of this process, removed with this object. As a context it gives the path.

    Its process holds a lock on it. So each new folder first removes those of this user that nobody holds a lock on:
    their processes were killed. If the file system has no locks on folders, or the
    system is Windows, no folder is removed.

    Args:
        kind: What it is for, in small letters; part of its name.

    Attributes:
        path: The folder.
    """

    def __init__(self, kind: str) -> None:
        parent, held = Path(tempfile.gettempdir()), list[int]()
        self.path = parent / f"prunnet-{kind}-{secrets.token_hex(8)}.tmp"
        self.remove = weakref.finalize(self, _remove, self.path, held)
        """Remove the folder."""
        try:
            with postponed_interrupts():
                _remove_abandoned(parent)
                _make(self.path, held)
        except BaseException:
            self.remove()
            raise

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            with postponed_interrupts():
                self.remove()
        except BaseException:  # the interrupt came before it could be postponed
            self.remove()
            raise


def _make(folder: Path, held: list[int]) -> None:
    """Make a folder and lock it. Another process may remove it before it is locked."""
    while not folder.exists():
        folder.mkdir(mode=0o700)
        held.extend(_lock(folder, wait=True))


def _remove(folder: Path, held: list[int]) -> None:
    try:
        remove_folder(folder)
    finally:
        while held:
            os.close(held.pop())


def _remove_abandoned(parent: Path) -> None:
    with suppress(OSError):
        for entry in os.scandir(parent):
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                folder = Path(entry.path)
                if held := _lock(folder, wait=False):
                    _remove(folder, held)


def _lock(folder: Path, *, wait: bool) -> list[int]:
    """A descriptor of a folder of this user, locked; none if that does not work."""
    if WINDOWS:
        return []
    handle = None
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if os.fstat(handle).st_uid == os.geteuid():
            lock(handle, wait=wait)
            return [handle]
    except OSError:
        pass
    if handle is not None:
        os.close(handle)
    return []
