"""A file system that refuses what DrvFs, CIFS, NFS and FAT refuse. It runs before everything else, in every process."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
from typing import Any

_fsync, _rename, _replace = os.fsync, os.rename, os.replace


def refused(number: int) -> Any:
    """A function that fails."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def fsync(fd: Any) -> None:
    """CIFS syncs files and no folders."""
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    _fsync(fd)


def moved(function: Any) -> Any:
    """A folder takes the place of nothing, not even of an empty folder."""

    def move(source: Any, target: Any, **options: Any) -> None:
        if os.path.isdir(target):  # noqa: PTH112  # as cheap as possible
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), target)
        function(source, target, **options)

    return move


class WithoutExchange(ctypes.CDLL):
    """A kernel whose file system does not exchange two folders."""

    def __getattr__(self, name: str) -> Any:
        if name == "renameat2":
            raise AttributeError(name)
        return super().__getattr__(name)


os.fsync, os.rename, os.replace = fsync, moved(_rename), moved(_replace)
for place in ("chmod", "fchmod", "lchmod", "utime", "link", "symlink", "mkfifo"):
    if hasattr(os, place):
        setattr(os, place, refused(errno.EPERM))
fcntl.flock = refused(errno.ENOLCK)
fcntl.lockf = refused(errno.ENOLCK)
ctypes.CDLL = WithoutExchange  # type: ignore[misc]  # a class takes the place of a class
