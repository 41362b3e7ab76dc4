"""Some images of a split, as a split."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from prunnet_export.datasets import ImageSplit, Labels


class Subset(ImageSplit):
    """The images at ``rows`` of a split, in this order. Their labels are those of the split.

    Args:
        split: The split.
        rows: int64 [n].
    """

    def __init__(self, split: ImageSplit, rows: Labels) -> None:
        self._split, self._rows = split, rows
        self.labels = split.labels[rows]
        self.names = [split.names[row] for row in rows.tolist()]
        self.cameras = None if split.cameras is None else split.cameras[rows]

    @property
    def relative_names(self) -> Sequence[str]:
        """See :class:`ImageSplit`."""
        names = self._split.relative_names
        return [names[row] for row in self._rows.tolist()]

    def image(self, index: int) -> Image.Image:
        """See :class:`ImageSplit`."""
        return self._split.image(int(self._rows[index]))

    def encoded(self, index: int) -> bytes:
        """See :class:`ImageSplit`."""
        return self._split.encoded(int(self._rows[index]))

    def stamp(self, index: int) -> str:
        """See :class:`ImageSplit`."""
        return self._split.stamp(int(self._rows[index]))
