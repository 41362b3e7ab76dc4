"""A package with adapters of vector databases, registered as an installed one is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._package import on_path

MODULE = """
import numpy as np
from prunnet_export.galleries import GalleryDatabase

class Npz(GalleryDatabase):
    # An .npz in the place of a database.
    def __init__(self, address):
        address.allow()
        archive = np.load(address.place)
        self.names, self.vectors = archive["names"].tolist(), archive["embeddings"].astype(np.float32)
        self.labels = archive["labels"].tolist() if "labels" in archive else None
        self.engine, self.dim, self.metric = "our database 1.2", self.vectors.shape[1], str(archive["metric"])
        self.stored = str(archive["embeddings"].dtype)

    def entries(self):
        for start in range(0, len(self.names), 700):
            part = slice(start, start + 700)
            yield self.names[part], None if self.labels is None else self.labels[part]

    def search(self, queries, k):
        order = np.argsort(-(queries @ self.vectors.T), axis=1, kind="stable")[:, :k]
        return [[self.names[row] for row in rows] for rows in order]

    def fetch(self, names):
        rows = {name: row for row, name in enumerate(self.names)}
        return self.vectors[[rows[name] for name in names]]

class NoClass: pass
class Exits(Npz):
    def __init__(self, address): raise SystemExit("the licence has expired")
class Metric(Npz):
    def __init__(self, address):
        super().__init__(address)
        self.metric = "hamming"
class Entries(Npz):
    def entries(self):
        yield self.names[:5], None
        raise KeyError("page 2")
class Twice(Npz):
    def entries(self): return iter([(["a", "b", "a"], None)])
class Empty(Npz):
    def entries(self): return iter([])
class SomeLabels(Npz):
    def entries(self): return iter([(["a"], [1]), (["b"], None)])
class Search(Npz):
    def search(self, queries, k): raise TimeoutError("30 s have passed")
class Nothing(Npz):
    def search(self, queries, k): return [[] for _ in queries]
class Unlisted(Npz):
    def search(self, queries, k): return [["x/y.jpg"] for _ in queries]
class FewAnswers(Npz):
    def search(self, queries, k): return super().search(queries, k)[1:]
class Few(Npz):
    def search(self, queries, k): return super().search(queries, 1)
class Fetch(Npz):
    def fetch(self, names): return super().fetch(names)[:, 1:]
"""  # fmt: skip
CLASSES = (
    "Npz", "NoClass", "Exits", "Metric", "Entries", "Twice", "Empty", "SomeLabels", "Search", "Nothing", "Unlisted",
    "FewAnswers", "Few", "Fetch",
)  # fmt: skip


NAMES = {f"our-{name.lower()}": name for name in (*CLASSES, "Absent")}


@pytest.fixture
def our_galleries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the package, on the path of this process."""
    yield from on_path(tmp_path, monkeypatch, "galleries", MODULE, NAMES)
