"""The interface of data sets: three splits of labelled images, found through entry points.

A format, or a built-in data set, is an object under the entry-point group ``prunnet_export.datasets``. Those of this
project are in :mod:`prunnet_export.training.data`. Another package may register its own.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export._imports import plugin, plugin_code, plugins
from prunnet_export._text import shown
from prunnet_export.preprocessing import Fit, Size
from prunnet_export.protocol import Protocol
from prunnet_export.relevance import ByLabel, Relevance

Labels = npt.NDArray[np.int64]

_KIND = "data layout"


class ImageSplit(ABC):
    """Labelled images that are decoded one at a time.

    Attributes:
        labels: int64 [n], the class of each image; classes are numbered from 0 without gaps in a train split.
        names: n strings that name each image in messages (a path, or an index).
        cameras: int64 [n], the camera of each image, if images of one camera do not count as a match; else None.
    """

    labels: Labels
    names: Sequence[str]
    cameras: Labels | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def relative_names(self) -> Sequence[str]:
        """A name of each image that does not depend on where the data set lies, n strings.

        For files they are the paths from the data set's folder on, with slashes. Other files, such as a teacher's
        vectors, refer to images by these names. The sequence may be made at each call.
        """
        return self.names

    @abstractmethod
    def image(self, index: int) -> Image.Image:
        """Image ``index``, decoded, RGB, upright, with transparency laid on white.

        Raises:
            InvalidInput: the file cannot be read or is not an image; the message names it.
        """

    def encoded(self, index: int) -> bytes:
        """Image ``index`` as the bytes of an image file (PNG unless the split has the original file)."""
        from io import BytesIO

        buffer = BytesIO()
        self.image(index).save(buffer, "PNG")
        return buffer.getvalue()

    def stamp(self, index: int) -> str:
        """A text that changes if image ``index`` changes: a hash of its bytes, unless the split knows a cheaper one."""
        return hashlib.sha256(self.encoded(index)).hexdigest()


@dataclass(frozen=True)
class RetrievalData:
    """A retrieval data set.

    Attributes:
        name: Name of the format and of its source, for people. Of a path it has only the last part.
        train: Images for training and for BatchNorm statistics. Empty in a data set that is only for tests; statistics
            are then taken on the network's own training images.
        query: Images to search with.
        gallery: Images to search in.
        exclude_self: Whether query and gallery are the same images in the same order. A query's own image is then
            removed from its ranking.
        flip: Whether a mirrored image keeps its class (false for characters).
        protocol: The figures to compute.
        judged: The relevance of each judgement, by name, the main one first; None if labels (and cameras) decide. If
            it is given, labels of query and gallery are row numbers.
        has_labels: Whether the labels of the training images say which images show the same. If not, all of them have
            label 0, and they can only be trained on with a teacher.
        classes: The names of the classes of the train split, and those of the query split; None if they are not known,
            or if the layout means both splits to have the same.
    """

    name: str
    train: ImageSplit
    query: ImageSplit
    gallery: ImageSplit
    exclude_self: bool = False
    flip: bool = True
    protocol: Protocol = field(default_factory=Protocol)
    judged: Mapping[str, Relevance] | None = None
    has_labels: bool = True
    classes: tuple[frozenset[str], frozenset[str]] | None = None

    @classmethod
    def searching_itself(
        cls, name: str, train: ImageSplit, test: ImageSplit, *, recall_at: tuple[int, ...] = (1,)
    ) -> RetrievalData:
        """A data set where each test image is a query and searches the other test images."""
        return cls(name, train, test, test, exclude_self=True, protocol=Protocol(recall_at=recall_at))

    @property
    def relevances(self) -> Mapping[str, Relevance]:
        """The relevance of each judgement, by name, the main one first."""
        if self.judged is not None:
            return self.judged
        return {
            "label": ByLabel(
                self.query.labels,
                self.gallery.labels,
                self.query.cameras,
                self.gallery.cameras,
                np.arange(len(self.query)) if self.exclude_self else None,
            )
        }

    @property
    def relevance(self) -> Relevance:
        """The relevance of the main judgement."""
        return next(iter(self.relevances.values()))


class _InputDefaults:
    """The inputs of a network for a data set, where the user does not say it.

    Attributes:
        crop: Size of the input.
        fit: How an image is fitted to it; see :class:`prunnet_export.preprocessing.Preprocessing`.
    """

    crop: Size = 224
    fit: Fit = "crop"


class DatasetFormat(_InputDefaults, ABC):
    """A layout of files and folders on disk; see also :class:`_InputDefaults`.

    Attributes:
        name: The entry point's name.
        marks: Files and folders that every data set of this layout has.
        places: Subfolders of the path that may hold them.
        fallback: Whether the layout is so general that it is tried only after the layouts that are not.
    """

    name: str
    marks: tuple[str, ...] = ()
    places: tuple[str, ...] = ("",)
    fallback: bool = False

    def matches(self, path: Path) -> bool:
        """Whether ``path`` has this layout: all marks exist."""
        return bool(self.marks and self._roots(path))

    def root(self, path: Path) -> Path:
        """The first of the places that has all marks.

        Raises:
            InvalidInput: no place has all marks.
        """
        for root in self._roots(path):
            return root
        raise InvalidInput(f"{path}: no {' beside '.join(self.marks)}", hint="give the folder that holds them")

    def _roots(self, path: Path) -> list[Path]:
        return [path / one for one in self.places if all((path / one / mark).exists() for mark in self.marks)]

    @abstractmethod
    def load(self, path: Path) -> RetrievalData:
        """The data set at ``path``; images are not decoded yet.

        Raises:
            InvalidInput: a line or a file is wrong; the message names the first one.
            StorageError: a file cannot be read.
        """


class BuiltInDataset(_InputDefaults, ABC):
    """A data set that needs no files; ``prunnet-train NAME`` is enough. See also :class:`_InputDefaults`."""

    name: str  # the entry point's name

    @abstractmethod
    def load(self, seed: int = 0) -> RetrievalData:
        """The data set; the seed is for images that are rendered.

        Raises:
            InvalidInput: the seed is out of range.
        """


def open_dataset(source: str, *, layout: str | None = None, seed: int = 0) -> RetrievalData:
    """The data set that ``source`` names: a built-in one, or a path whose layout is recognised.

    Args:
        source: Name of a built-in data set, e.g. ``"glyphs"``, or a path.
        layout: Name of the format; None recognises it.
        seed: Seed of built-in data sets that are rendered.

    Raises:
        UnknownName: no format is called ``layout``.
        InvalidInput: the path does not exist, or no format recognises it.
        StorageError: there is no permission to read it.
    """
    with _storage_errors(source):
        chosen = _choose(source, layout)
        with plugin_code("datasets", _KIND, chosen):
            data = chosen.load(seed) if isinstance(chosen, BuiltInDataset) else chosen.load(Path(source))
        return replace(data, name=shown(_without_folders(data.name, source)))  # it goes into manifests


def default_input(source: str, *, layout: str | None = None) -> tuple[Size, Fit]:
    """The size of the input for a data set, and how an image is fitted to it, where the user does not say it.

    Args:
        source: See :func:`open_dataset`.
        layout: See :func:`open_dataset`.

    Raises:
        UnknownName: no format is called ``layout``.
        InvalidInput: the path does not exist, or no format recognises it.
        StorageError: there is no permission to read it.
    """
    with _storage_errors(source):
        chosen = _choose(source, layout)
    return chosen.crop, chosen.fit


def _without_folders(name: str, source: str) -> str:
    """The name of a data set, with only the last part of its path: an artifact does not tell where its images lie."""
    path = Path(source)
    base = path.resolve().name
    for whole in sorted({str(path.resolve()), str(path.absolute())} - {path.anchor}, key=len, reverse=True):
        name = name.replace(whole, base)
    # A relative path such as `data` may be a part of another word.
    return re.sub(rf"(?<!\S){re.escape(str(path))}(?!\S)", lambda _: base or str(path), name)


@contextmanager
def _storage_errors(source: str) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise StorageError(f"{source}: cannot be read ({error.strerror})", hint="check its permissions") from None


def _choose(source: str, layout: str | None) -> DatasetFormat | BuiltInDataset:
    kinds = (DatasetFormat, BuiltInDataset)
    if layout is not None:
        forced: DatasetFormat | BuiltInDataset = plugin("datasets", _KIND, layout, expected=kinds)
        return forced
    found: list[DatasetFormat | BuiltInDataset] = plugins("datasets", _KIND, expected=kinds)
    built_in = {one.name: one for one in found if isinstance(one, BuiltInDataset)}
    if source in built_in:
        return built_in[source]
    if not Path(source).exists():
        raise InvalidInput(
            f"data set '{source}' does not exist", hint=f"give a folder, or one of: {', '.join(built_in)}"
        )
    formats = sorted((one for one in found if isinstance(one, DatasetFormat)), key=lambda one: one.fallback)
    for one in formats:
        with plugin_code("datasets", _KIND, one):
            if one.matches(Path(source)):
                return one
    known = ", ".join(one.name for one in formats)
    raise InvalidInput(
        f"{source} has none of the known layouts", hint=f"known layouts: {known}; force one with --layout"
    )
