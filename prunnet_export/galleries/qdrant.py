"""Galleries in Qdrant: a server, or the folder of the client's local mode."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from prunnet_export._errors import InvalidInput, Unreachable
from prunnet_export._imports import installed_version, require
from prunnet_export.galleries._database import Entries, GalleryDatabase
from prunnet_export.galleries._secrets import without_token
from prunnet_export.gallery_address import TOKEN_VARIABLE, GalleryAddress
from prunnet_export.vectors import Metric, Vectors

_METRICS: dict[str, Metric] = {"Cosine": "cosine", "Dot": "dot", "Euclid": "l2"}
_PAGE = 10_000  # entries in one answer
_QUERIES = 100  # queries in one request
_SECONDS = 60  # the longest wait for an answer


class Qdrant(GalleryDatabase):
    """A collection of Qdrant.

    Its names are the values ``name`` of the payloads, or else the ids of the points. Labels are the values ``label`` if
    the first point has one. The options ``name`` and ``label`` of the address name other values, ``vector`` a named
    vector; ``tls=true`` encrypts.

    Args:
        address: ``qdrant://HOST:PORT/COLLECTION``, or ``qdrant://FOLDER/COLLECTION`` for the client's local mode. That
            mode is a search in Python, and not the engine of the server.

    Raises:
        InvalidInput: the collection is missing or empty, or has no vectors of this name.
        MissingExtra: qdrant-client is not installed.
        Unreachable: the server does not answer.
    """

    def __init__(self, address: GalleryAddress) -> None:
        address.allow("name", "vector", "label", "tls")
        self._address = address
        client = require("qdrant_client", extra="qdrant")
        self._models = client.models
        folder = Path(address.place)
        local = folder.is_dir()
        if not local and ("/" in address.place or folder.exists()):
            raise InvalidInput(f"{address.place} is no folder", hint="give HOST:PORT, or a folder of the local mode")
        with self._calls():
            if local:
                self._client: Any = client.QdrantClient(path=address.place)
            else:
                scheme = "https" if address.options.get("tls") == "true" else "http"
                self._client = client.QdrantClient(
                    url=f"{scheme}://{address.place}",
                    api_key=address.token,
                    timeout=_SECONDS,
                    check_compatibility=False,
                )
            weakref.finalize(self, self._client.close)
            if not self._client.collection_exists(address.collection):
                known = ", ".join(sorted(one.name for one in self._client.get_collections().collections)[:12])
                raise InvalidInput(f"{address}: there is no such collection", hint=f"known: {known or 'none'}")
            self._read_settings(self._client.get_collection(address.collection))
            version = installed_version("qdrant-client") if local else self._client.info().version
        self.engine = f"local mode of qdrant-client {version}, exact" if local else f"Qdrant {version}, HNSW"

    def entries(self) -> Iterator[Entries]:
        """See :class:`GalleryDatabase`."""
        offset: Any = None
        wanted = [key for key in (self._name, self._label) if key]
        while True:
            with self._calls():
                points, offset = self._client.scroll(
                    self._address.collection, limit=_PAGE, offset=offset, with_payload=wanted or False
                )
            if points:
                yield [self._name_of(point) for point in points], self._labels_of(points)
            if offset is None:
                return

    def search(self, queries: Vectors, k: int) -> list[list[str]]:
        """See :class:`GalleryDatabase`."""
        names: list[list[str]] = []
        payload = [self._name] if self._name else False
        for start in range(0, len(queries), _QUERIES):
            requests = [
                self._models.QueryRequest(query=query.tolist(), using=self._vector, limit=k, with_payload=payload)
                for query in queries[start : start + _QUERIES]
            ]
            with self._calls():
                answers = self._client.query_batch_points(self._address.collection, requests=requests)
            names += [[self._name_of(point) for point in answer.points] for answer in answers]
        return names

    def fetch(self, names: Sequence[str]) -> Vectors:
        """See :class:`GalleryDatabase`."""
        collection, payload = self._address.collection, [self._name] if self._name else False
        vector = [self._vector] if self._vector else True
        with self._calls():
            if self._name:
                condition = self._models.FieldCondition(key=self._name, match=self._models.MatchAny(any=list(names)))
                chosen = self._models.Filter(must=[condition])
                points, _ = self._client.scroll(
                    collection, scroll_filter=chosen, limit=len(names), with_payload=payload, with_vectors=vector
                )
            else:
                ids = [int(name) if name.isdecimal() else name for name in names]
                points = self._client.retrieve(collection, ids, with_payload=False, with_vectors=vector)
        vectors = {self._name_of(one): one.vector[self._vector] if self._vector else one.vector for one in points}
        missing = [name for name in names if name not in vectors]
        if missing:
            raise InvalidInput(f"{self._address}: {missing[0]!r} is not there any more", hint="run the command again")
        return np.array([vectors[name] for name in names], np.float32)

    def _read_settings(self, info: Any) -> None:
        found, options = info.config.params.vectors, self._address.options
        self._vector: str | None = None
        if isinstance(found, dict):
            self._vector = options.get("vector") or (next(iter(found)) if len(found) == 1 else "")
            if self._vector not in found:
                known = ", ".join(map(str, found))
                raise InvalidInput(f"{self._address} has the vectors {known}", hint="choose one: ?vector=NAME")
            found = found[self._vector]
        elif "vector" in options:
            raise InvalidInput(f"{self._address} has no named vectors", hint="leave ?vector= out")
        distance = str(found.distance.value)
        if distance not in _METRICS:
            raise InvalidInput(f"{self._address}: its metric is {distance}", hint=f"known: {', '.join(_METRICS)}")
        self.dim, self.metric = int(found.size), _METRICS[distance]
        points, _ = self._client.scroll(self._address.collection, limit=1, with_payload=True)
        if not points:
            raise InvalidInput(f"{self._address} is empty", hint="give the collection that holds the gallery")
        payload = points[0].payload or {}
        self._name = options.get("name") or ("name" if "name" in payload else "")
        self._label = options.get("label") or ("label" if "label" in payload else "")

    def _name_of(self, point: Any) -> str:
        return str((point.payload or {}).get(self._name) or "") if self._name else str(point.id)

    def _labels_of(self, points: Sequence[Any]) -> list[Any] | None:
        if not self._label:
            return None
        labels = [(point.payload or {}).get(self._label) for point in points]
        if None in labels:
            raise InvalidInput(f"{self._address}: a vector has no {self._label!r}", hint="give each one a label")
        return labels

    @contextmanager
    def _calls(self) -> Iterator[None]:
        """Turn what qdrant-client raises into errors of this package, without the token."""
        failures = require("qdrant_client.http.exceptions", extra="qdrant")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the local mode, which says that it is one
                yield
        except (failures.ResponseHandlingException, OSError) as error:
            raise Unreachable(
                f"{self._address} does not answer: {without_token(error, self._address)}",
                hint="check the address, and that the server runs",
            ) from None
        except (failures.ApiException, RuntimeError, ValueError) as error:
            raise InvalidInput(
                f"{self._address}: Qdrant says: {without_token(error, self._address)}",
                hint=f"check the collection, and the token in {TOKEN_VARIABLE}; one process alone can open a folder",
            ) from None
