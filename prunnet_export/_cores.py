"""How many cores this process may use: the affinity, and the CPU quota of its control group.

Containers limit a process by a quota: microseconds of processor time in each period. Engines look only at the affinity,
so they start more threads than the quota lets run.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_ROOT = Path("/")


def affinity_cores() -> int:
    """The cores that this process may be scheduled on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_cores(root: Path = _ROOT) -> int:
    """The cores that are worth a thread each: those of the affinity, but at most the whole cores of the quota."""
    quota = quota_cores(root)
    return affinity_cores() if quota is None else min(affinity_cores(), max(1, math.floor(quota)))


def threads_under_quota(root: Path = _ROOT) -> int | None:
    """The number of threads if a quota is below the affinity; None if nothing has to be limited."""
    usable = usable_cores(root)
    return usable if usable < affinity_cores() else None


def quota_cores(root: Path = _ROOT) -> float | None:
    """The smallest CPU quota of this process's control groups, in cores; None if there is none.

    Args:
        root: The folder that holds ``proc`` and the mounted control groups.
    """
    groups, mounts = _lines(root / "proc/self/cgroup"), _lines(root / "proc/self/mountinfo")
    found = [
        quota
        for mount in map(_parsed, mounts)
        if mount is not None and (path := _path_of_process(groups, unified=mount.unified)) is not None
        for folder in _folders(mount, path)
        if (quota := _quota(root / folder.relative_to("/"), unified=mount.unified)) is not None
    ]
    return min(found, default=None)


@dataclass(frozen=True)
class _Mount:
    """A mounted hierarchy of control groups.

    Attributes:
        unified: Whether it is version 2.
        root: The control group that the mount shows as its top. In a container it may be the container's own.
        place: The folder of the mount.
    """

    unified: bool
    root: PurePosixPath
    place: PurePosixPath


def _parsed(line: str) -> _Mount | None:
    """The hierarchy in a line of mountinfo; None if the line is of something else, or has no CPU controller."""
    before, _, after = line.partition(" - ")
    mount, kind = before.split(), after.split()
    if len(mount) < 5 or len(kind) < 3 or not mount[4].startswith("/"):  # noqa: PLR2004  the fields of the format
        return None
    unified = kind[0] == "cgroup2"
    if not unified and (kind[0] != "cgroup" or "cpu" not in kind[2].split(",")):
        return None
    return _Mount(unified, PurePosixPath(_unescaped(mount[3])), PurePosixPath(_unescaped(mount[4])))


def _unescaped(field: str) -> str:
    """A field of mountinfo, where a space is written as ``\\040``."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def _path_of_process(groups: list[str], *, unified: bool) -> PurePosixPath | None:
    """The control group of this process, as /proc/self/cgroup says it: ``number:controllers:path``."""
    for line in groups:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if (number == "0" and not controllers) if unified else "cpu" in controllers.split(","):
            return PurePosixPath(path)
    return None


def _folders(mount: _Mount, path: PurePosixPath) -> Iterator[PurePosixPath]:
    """The folders from the process's control group up to the top of the mount."""
    # A container may see the path of the host, or one with "..": then the top of the mount is its own group.
    inside = path.is_relative_to(mount.root) and ".." not in path.parts
    folder = mount.place / path.relative_to(mount.root) if inside else mount.place
    while folder != mount.place:
        yield folder
        folder = folder.parent
    yield folder


def _quota(folder: Path, *, unified: bool) -> float | None:
    """The quota of one control group, in cores; None if it has none."""
    if unified:
        numbers = " ".join(_lines(folder / "cpu.max")).split()
    else:
        numbers = _lines(folder / "cpu.cfs_quota_us") + _lines(folder / "cpu.cfs_period_us")
    try:
        quota, period = map(int, numbers)
    except ValueError:  # "max", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None


def _lines(file: Path) -> list[str]:
    """The lines of a file of the kernel; none if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
