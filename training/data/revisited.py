"""Revisited Oxford and Paris (ROxford5k, RParis6k): buildings, with three levels of difficulty."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from prunnet_export._documents import parse_json
from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes
from prunnet_export._limits import LIST_BYTES
from prunnet_export.datasets import DatasetFormat, ImageSplit, RetrievalData
from prunnet_export.preprocessing import decode
from prunnet_export.protocol import Protocol
from prunnet_export.relevance import Indices, Listed, Lists
from prunnet_export.training.data._files import FileSplit, relative_names
from prunnet_export.training.data._lists import find_image
from prunnet_export.training.data._pickles import array, read_pickle

# The kinds of images that are relevant, and those that are ignored. All other images are wrong. Papers compare by the
# medium level.
GRADES = {
    "medium": (("easy", "hard"), ("junk",)),
    "easy": (("easy",), ("junk", "hard")),
    "hard": (("hard",), ("junk", "easy")),
}
_KINDS = ("easy", "hard", "junk")
_CORNERS = 4
Item = TypeVar("Item", str, dict[str, Any])


class CroppedSplit(ImageSplit):
    """Query images, each cropped to its box.

    Args:
        paths: n image files.
        boxes: float64 [n, 4]: left, top, right, bottom in pixels. The part outside of the image is left out.
        root: The data set's folder, from which ``relative_names`` start.
    """

    def __init__(self, paths: Sequence[Path], boxes: np.ndarray[Any, np.dtype[np.float64]], *, root: Path) -> None:
        self._root = root
        self.names = [str(path) for path in paths]
        self.labels = np.arange(len(paths))
        self._boxes = boxes

    @property
    def relative_names(self) -> list[str]:
        """The path of each file from the data set's folder on."""
        return relative_names(self._root, self.names)

    def image(self, index: int) -> Image.Image:
        """Image ``index``, decoded, RGB, cropped to its box.

        Raises:
            InvalidInput: the file cannot be read, is no image, or has no part in the box; the message names it.
        """
        name = self.names[index]
        image = decode(Path(name), name=name)
        left, top, right, bottom = (round(edge) for edge in self._boxes[index].tolist())
        box = max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height)
        if box[0] >= box[2] or box[1] >= box[3]:
            raise InvalidInput(
                f"{name}: its box {left, top, right, bottom} lies outside of {image.width} x {image.height} pixels",
                hint="download the image and the ground truth again",
            )
        return image.crop(box)


class Revisited(DatasetFormat):
    """``gnd_roxford5k.pkl`` or ``gnd_rparis6k.pkl``, or the same as JSON, and the images in ``jpg/``.

    If one folder has both ground truths, the images can be in ``roxford5k/jpg/`` and ``rparis6k/jpg/``. A ground truth
    has the lists ``imlist`` (names without suffix), ``qimlist`` and ``gnd``. An item of ``gnd`` is for one query: its
    box ``bbx``, and its rows ``easy``, ``hard`` and ``junk`` of ``imlist`` (Radenovic et al., CVPR 2018). There are no
    training images.
    """

    name = "revisited"

    def matches(self, path: Path) -> bool:
        """Whether ``path`` is a ground truth or a folder with one."""
        return bool(_ground_truths(path))

    def load(self, path: Path) -> RetrievalData:
        """See :class:`DatasetFormat`. The path can also be that of the ground truth."""
        files = _ground_truths(path)
        if len({file.stem for file in files}) != 1:
            found = ", ".join(file.name for file in files) or "no gnd_*.pkl or gnd_*.json"
            hint = "give the file itself" if files else "give a folder with one ground truth and its jpg/"
            raise InvalidInput(f"{path}: {found}", hint=hint)
        file = files[0]
        names, query_names, queries = _read(file)
        query_paths, paths = (_locate(file, listed) for listed in (query_names, names))
        boxes = [_box(query, f"{file}: query {number}") for number, query in enumerate(queries)]
        lists = [_lists(query, f"{file}: query {number}", len(names)) for number, query in enumerate(queries)]
        return RetrievalData(
            name=f"revisited {_set_name(file)} {path}",
            train=FileSplit([], [], root=file.parent),
            query=CroppedSplit(query_paths, np.array(boxes, np.float64).reshape(-1, _CORNERS), root=file.parent),
            gallery=FileSplit(paths, np.arange(len(names)), root=file.parent),
            protocol=Protocol(precision_at=(1, 5, 10), trapezoid=True),
            judged={
                grade: Listed(_joined(lists, positives), _joined(lists, junk), len(names))
                for grade, (positives, junk) in GRADES.items()
            },
        )


def _ground_truths(path: Path) -> list[Path]:
    """The ground truths at ``path``, those in JSON first."""
    patterns = ("gnd_*.json", "gnd_*.pkl")
    if path.is_file():
        return [path] if any(path.match(pattern) for pattern in patterns) else []
    return [file for pattern in patterns for file in sorted(path.glob(pattern)) if file.is_file()]


def _locate(file: Path, names: Sequence[str]) -> list[Path]:
    """The images in ``jpg/`` or ``SET/jpg/``. The names in the official files have no suffix."""
    suffixed = (name if name.endswith(".jpg") else f"{name}.jpg" for name in names)
    folders = [file.parent / "jpg", file.parent / _set_name(file) / "jpg"]
    return [find_image(str(file), name, folders) for name in suffixed]


def _set_name(file: Path) -> str:
    return file.stem.removeprefix("gnd_")


def _read(file: Path) -> tuple[list[str], list[str], list[dict[str, Any]]]:
    """The names of the gallery images, the names of the queries, and the entry of each query."""
    document: Any
    if file.suffix == ".json":
        try:
            document = parse_json(read_bytes(file, at_most=LIST_BYTES))
        except ValueError as error:
            raise InvalidInput(f"{file}: not JSON ({error})", hint="download it again") from None
    else:
        document = read_pickle(file)
    if not isinstance(document, dict):
        raise InvalidInput(f"{file}: no imlist, qimlist and gnd in it", hint="download it again")
    names, query_names = (_listed(document, key, str, file) for key in ("imlist", "qimlist"))
    queries = _listed(document, "gnd", dict, file)
    if len(query_names) != len(queries):
        raise InvalidInput(
            f"{file}: {len(query_names)} queries, and ground truth of {len(queries)}", hint="download it again"
        )
    return names, query_names, queries


def _listed(document: dict[str, Any], key: str, kind: type[Item], file: Path) -> list[Item]:
    found = document.get(key)
    if not isinstance(found, list) or not all(isinstance(one, kind) for one in found):
        raise InvalidInput(f"{file}: {key} is no list of {kind.__name__}", hint="download it again")
    return found


def _box(query: dict[str, Any], where: str) -> list[float]:
    corners = array(query.get("bbx"), f"{where}: bbx").astype(np.float64).reshape(-1)
    if len(corners) != _CORNERS or not np.isfinite(corners).all():
        raise InvalidInput(f"{where}: bbx is no left, top, right, bottom", hint="download it again")
    return [float(corner) for corner in corners]


def _lists(query: dict[str, Any], where: str, count: int) -> dict[str, Indices]:
    """The rows of each kind."""
    found = {}
    for kind in _KINDS:
        rows = array(query.get(kind), f"{where}: {kind}")
        wrong = rows.ndim != 1 or (rows.size and (rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= count))
        if wrong:
            raise InvalidInput(f"{where}: {kind} holds no rows below {count}", hint="download it again")
        found[kind] = rows.astype(np.int64)
    every = np.concatenate([np.unique(rows) for rows in found.values()])
    if len(np.unique(every)) != len(every):
        raise InvalidInput(f"{where}: an image is of two kinds", hint="each is easy, hard, junk, or in no list")
    return found


def _joined(lists: list[dict[str, Indices]], kinds: Sequence[str]) -> Lists:
    return Lists.of(np.concatenate([one[kind] for kind in kinds]) for one in lists)


FORMAT = Revisited()
