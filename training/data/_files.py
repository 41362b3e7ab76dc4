"""Images in one file each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from prunnet_export._errors import InvalidInput
from prunnet_export._files import open_regular, read_limited
from prunnet_export._limits import IMAGE_BYTES
from prunnet_export.datasets import ImageSplit, Labels
from prunnet_export.preprocessing import decode


def first_file(candidates: Iterable[Path]) -> Path | None:
    """The first candidate that is an existing file."""
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def relative_names(root: Path, names: Sequence[str]) -> list[str]:
    """The paths of files from the folder ``root`` on."""
    start = os.path.join(root, "")  # noqa: PTH118 - the slash at its end
    # `relpath` is slow for a million files, and only a root such as `.` needs it.
    return [name[len(start) :] if name.startswith(start) else os.path.relpath(name, root) for name in names]


class FileSplit(ImageSplit):
    """Labelled image files. A file is read at each access.

    Args:
        paths: n image files.
        labels: The class of each, n integers.
        cameras: The camera of each, n integers; None if cameras do not matter.
        root: The data set's folder, from which ``relative_names`` start.
    """

    def __init__(
        self,
        paths: Sequence[Path] | Sequence[str],
        labels: Sequence[int] | Labels,
        cameras: Sequence[int] | None = None,
        *,
        root: Path,
    ) -> None:
        if len(paths) != len(labels):
            raise InvalidInput(
                f"a split has {len(paths)} files and {len(labels)} labels", hint="give one label for each file"
            )
        self._root = root
        # Strings, because tens of thousands of Path objects are slow to send to worker processes.
        self.names = [str(path) for path in paths]
        self.labels = np.asarray(labels, np.int64).reshape(len(paths))
        self.cameras = None if cameras is None else np.asarray(cameras, np.int64).reshape(len(paths))

    @property
    def relative_names(self) -> list[str]:
        """The path of each file from the data set's folder on."""
        return relative_names(self._root, self.names)

    def image(self, index: int) -> Image.Image:
        """Image ``index``, decoded, RGB.

        Raises:
            InvalidInput: the file is missing, truncated or no image; the message names it.
        """
        return decode(Path(self.names[index]), name=self.names[index])

    def encoded(self, index: int) -> bytes:
        """The content of file ``index``.

        Raises:
            InvalidInput: the file cannot be read.
        """
        file = Path(self.names[index])
        try:
            with open_regular(file) as opened:
                return read_limited(opened, file, at_most=IMAGE_BYTES)
        except OSError as error:
            raise InvalidInput(
                f"{self.names[index]}: cannot be read ({error.strerror})", hint="check the path and its permissions"
            ) from None

    def stamp(self, index: int) -> str:
        """The size of file ``index`` and when it was changed, in nanoseconds; ``missing`` if it cannot be found."""
        try:
            found = Path(self.names[index]).stat()
        except OSError:
            return "missing"
        return f"{found.st_size} {found.st_mtime_ns}"
