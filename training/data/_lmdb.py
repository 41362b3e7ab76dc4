"""Labelled images in an LMDB store, with one key for each image."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from PIL import Image

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import ImageSplit, Labels
from prunnet_export.preprocessing import decode
from prunnet_export.training.data._files import first_file
from prunnet_export.training.data._lmdb_file import DamagedStoreError, LmdbFile


class LmdbSplit(ImageSplit):
    """Labelled images whose encoded bytes (JPEG, PNG, ...) are the values of a store.

    The key of an image is its path in the list, with or without a slash before it, or its file name without the suffix,
    as UTF-8. The store is opened for each image, because an open store cannot be sent to another process. Opening takes
    a fraction of a millisecond, decoding some milliseconds.

    Args:
        store: The folder with ``data.mdb``.
        paths: n paths of images, as in the list.
        labels: int64 [n].
    """

    def __init__(self, store: Path, paths: Sequence[str], labels: Labels) -> None:
        self._store, self._paths, self.labels = store, paths, labels
        self.names = [f"{store}:{path}" for path in paths]

    @property
    def relative_names(self) -> Sequence[str]:
        """The paths in the list."""
        return self._paths

    def image(self, index: int) -> Image.Image:
        """Image ``index``, decoded, RGB.

        Raises:
            InvalidInput: the store has no such key or cannot be read, or the value is no image.
        """
        return decode(self.encoded(index), name=self.names[index])

    def encoded(self, index: int) -> bytes:
        """The encoded bytes of image ``index``.

        Raises:
            InvalidInput: the store has no such key, or cannot be read.
        """
        path = self._paths[index]
        keys = (path, f"/{path}", Path(path).stem)
        try:
            with closing(LmdbFile(self._store / "data.mdb")) as opened:
                found = (opened.get(key.encode()) for key in keys)
                value = next((one for one in found if one is not None), None)
        except (OSError, DamagedStoreError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            raise InvalidInput(f"{self._store}: cannot be read ({reason})", hint="make the store again") from None
        if value is None:
            raise InvalidInput(f"{self.names[index]}: no such key", hint=f"keys are paths, or {keys[-1]!r}")
        return value


def find_store(path: Path) -> Path | None:
    """The training store in the folder ``path``, if there is one."""
    content = first_file(path / name / "data.mdb" for name in ("train.lmdb", "train_lmdb"))
    return content and content.parent
