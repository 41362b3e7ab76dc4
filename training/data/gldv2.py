"""Google Landmarks v2: millions of photos of landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import DatasetFormat, ImageSplit, RetrievalData
from prunnet_export.protocol import Protocol
from prunnet_export.relevance import Listed, Lists
from prunnet_export.training.data._files import FileSplit, first_file
from prunnet_export.training.data._landmarks import Entry, read_entries, read_ground_truth
from prunnet_export.training.data._lists import integer, number_classes
from prunnet_export.training.data._lmdb import LmdbSplit, find_store

# The first existing file is used: the user's own list, the 24,393 landmarks of the papers on compatible training (Pan
# et al., AdvBCT, CVPR 2023), the release's clean list, the release's whole list.
TRAIN = ("train_list.txt", "gldv2_train_old_30percent_class.txt", "train_clean.csv", "train.csv")
GALLERY = ("gldv2_gallery_list.txt", "index.csv")
TRUTH = ("gldv2_private_query_gt.txt", "retrieval_solution_v2.1.csv", "retrieval_solution.csv")
_FOLDERS = ("", "train", "index", "test")  # the official archives have the lists in the folders of the images


class Gldv2(DatasetFormat):
    """Lists, and images ``train|index|test/a/b/c/abc....jpg``. A ``train.lmdb`` can replace ``train/``.

    A folder can hold the training part, the test part, or both; a missing part gives empty splits. In the test, the
    private queries search the index, and the figure is mAP@100 (Weyand et al., CVPR 2020).
    """

    name = "gldv2"

    def matches(self, path: Path) -> bool:
        """Whether there is a ground truth; or a training list with ``train/`` or its store, and no ``val/``."""
        if _find(path, TRUTH) is not None:
            return True
        images = (path / "train").is_dir() or find_store(path) is not None
        # Data sets in ImageNet's layout can have lists of the same names, but these have `val/`.
        return images and _find(path, TRAIN) is not None and not (path / "val").is_dir()

    def load(self, path: Path) -> RetrievalData:
        """See :class:`DatasetFormat`.

        Only the first image of each list is checked, because a check of a million files takes too long. Another missing
        image raises an error when it is read.
        """
        train, gallery, truth = (_find(path, names) for names in (TRAIN, GALLERY, TRUTH))
        if train is None and truth is None:
            raise InvalidInput(
                f"{path}: no list to train or to test with", hint=f"known: {', '.join((*TRAIN, *TRUTH))}"
            )
        if truth is not None and gallery is None:
            raise InvalidInput(f"{truth}: no list of the gallery next to it", hint=f"known: {', '.join(GALLERY)}")
        index = [] if truth is None or gallery is None else read_entries(gallery, "index")
        queries, positives = ([], Lists.of([])) if truth is None else read_ground_truth(truth, index)
        return RetrievalData(
            name=f"gldv2 {path}",
            train=FileSplit([], [], root=path) if train is None else _train(path, read_entries(train, "train")),
            query=_numbered_files(path, queries),
            gallery=_numbered_files(path, index),
            protocol=Protocol(depth=100),
            judged={"private": Listed(positives, Lists.of([[]] * len(queries)), len(index))},
        )


def _find(path: Path, names: Sequence[str]) -> Path | None:
    return first_file(path / folder / name for name in names for folder in _FOLDERS)


def _train(path: Path, entries: Sequence[Entry]) -> ImageSplit:
    labels = number_classes([integer(entry.where, entry.label, "landmark") for entry in entries])
    store = find_store(path)
    if store is not None:
        return LmdbSplit(store, [entry.path for entry in entries], labels)
    return FileSplit(_files(path, entries), labels, root=path)


def _numbered_files(path: Path, entries: Sequence[Entry]) -> FileSplit:
    return FileSplit(_files(path, entries), np.arange(len(entries)), root=path)


def _files(path: Path, entries: Sequence[Entry]) -> list[str]:
    if entries and not (path / entries[0].path).is_file():
        raise InvalidInput(f"{entries[0].where}: {entries[0].path} does not exist", hint=f"unpack it into {path}")
    return [f"{path}/{entry.path}" for entry in entries]


FORMAT = Gldv2()
