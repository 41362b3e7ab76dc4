"""Galleries in Milvus: a cluster, or the file of Milvus Lite. ``pymilvus`` speaks to both."""

from __future__ import annotations

import json
import logging
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from prunnet_export._errors import InvalidInput, Unreachable
from prunnet_export._imports import require
from prunnet_export.galleries._database import Entries, GalleryDatabase
from prunnet_export.galleries._secrets import without_token
from prunnet_export.gallery_address import TOKEN_VARIABLE, GalleryAddress
from prunnet_export.vectors import Metric, Vectors

_METRICS: dict[str, Metric] = {"COSINE": "cosine", "IP": "dot", "L2": "l2"}
_PAGE = 10_000  # entries in one answer; Milvus sends at most 16,384
_SECONDS = 60.0  # the longest wait for an answer
_NO_CONNECTION = 2  # the code of pymilvus if a server cannot be reached


class Milvus(GalleryDatabase):
    """A collection of Milvus.

    Its names are those of the field ``name``, or else the primary keys. Vectors are those of the field ``embedding``,
    or else of the only field of float vectors. Labels are those of the field ``label`` if there is one. The options
    ``name``, ``vector`` and ``label`` of the address name other fields, ``tls=true`` encrypts.

    Args:
        address: ``milvus://HOST:PORT/COLLECTION``, or ``milvus://PATH.db/COLLECTION`` for a file of Milvus Lite.

    Raises:
        InvalidInput: a field or the collection is missing, or vectors are not float32.
        MissingExtra: pymilvus, or for a file milvus-lite, is not installed.
        Unreachable: the server does not answer.
    """

    def __init__(self, address: GalleryAddress) -> None:
        address.allow("name", "vector", "label", "tls")
        self._address = address
        local = self._local = address.place.endswith(".db")
        if local and not Path(address.place).exists():
            raise InvalidInput(f"{address.place} does not exist", hint="give the file of Milvus Lite, or HOST:PORT")
        pymilvus = require("pymilvus", extra="milvus")
        for name in ("pymilvus", "milvus_lite", "grpc"):  # what they report is raised too
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if local:
            require("milvus_lite", extra="milvus")
        scheme = "https" if address.options.get("tls") == "true" else "http"
        with self._calls():
            uri = address.place if local else f"{scheme}://{address.place}"
            self._client: Any = pymilvus.MilvusClient(uri=uri, token=address.token or "", timeout=_SECONDS)
            weakref.finalize(self, self._client.close)
            if not self._client.has_collection(address.collection):
                known = ", ".join(sorted(self._client.list_collections())[:12])
                raise InvalidInput(f"{address}: there is no such collection", hint=f"known: {known or 'none'}")
            if local:
                self._client.load_collection(address.collection)
            self._read_schema(self._client.describe_collection(address.collection))
            self._read_index(str(self._client.get_server_version()).removeprefix("milvus_lite-"))

    def entries(self) -> Iterator[Entries]:
        """See :class:`GalleryDatabase`."""
        wanted = [self._name, *([self._label] if self._label else [])]
        for page in self._pages(wanted):
            labels: list[Any] | None = [row.get(self._label) for row in page] if self._label else None
            if labels is not None and None in labels:
                raise InvalidInput(f"{self._address}: a vector has no {self._label!r}", hint="give each one a label")
            yield [_text(row.get(self._name)) for row in page], labels

    def _pages(self, wanted: list[str]) -> Iterator[list[dict[str, Any]]]:
        """Some fields of all rows, in parts. A file gives all at once, because each part would read it as a whole."""
        collection = self._address.collection
        if self._local:
            with self._calls():
                count = int(self._client.get_collection_stats(collection)["row_count"])
                rows = self._client.query(collection, filter="", output_fields=wanted, limit=max(1, count))
            yield list(rows)
            return
        with self._calls():
            pages = self._client.query_iterator(collection, batch_size=_PAGE, output_fields=wanted)
        while True:
            with self._calls():
                page = pages.next()
            if not page:
                break
            yield list(page)
        with self._calls():
            pages.close()

    def search(self, queries: Vectors, k: int) -> list[list[str]]:
        """See :class:`GalleryDatabase`."""
        key = self._name == self._key
        with self._calls():
            answers = self._client.search(
                self._address.collection,
                data=list(queries),
                anns_field=self._vector,
                limit=k,
                output_fields=[] if key else [self._name],
                timeout=_SECONDS,
            )
        return [[str(hit[self._key] if key else hit["entity"][self._name]) for hit in hits] for hits in answers]

    def fetch(self, names: Sequence[str]) -> Vectors:
        """See :class:`GalleryDatabase`."""
        keys = list(map(int, names)) if self._numbered else list(names)
        chosen = f"{self._name} in {json.dumps(keys, ensure_ascii=False)}"
        with self._calls():
            found = self._client.query(
                self._address.collection,
                filter=chosen,
                output_fields=[self._name, self._vector],
                limit=len(keys),
                timeout=_SECONDS,
            )
        vectors = {str(row[self._name]): row[self._vector] for row in found}
        missing = [name for name in names if name not in vectors]
        if missing:
            raise InvalidInput(f"{self._address}: {missing[0]!r} is not there any more", hint="run the command again")
        return np.array([vectors[name] for name in names], np.float32)

    def _read_schema(self, described: Any) -> None:
        fields = {field["name"]: field for field in described["fields"]}
        types = require("pymilvus", extra="milvus").DataType
        floats = [name for name, field in fields.items() if field["type"] == types.FLOAT_VECTOR]
        options, free = self._address.options, bool(described.get("enable_dynamic_field"))
        self._key = next(name for name, field in fields.items() if field.get("is_primary"))
        self._vector = options.get("vector") or ("embedding" if "embedding" in floats else floats[0] if floats else "")
        self._name = options.get("name") or ("name" if "name" in fields else self._key)
        self._label = options.get("label") or ("label" if "label" in fields else "")
        unknown = [name for name in (self._name, self._label) if name and name not in fields and not free]
        unclear = len(floats) > 1 and not {"embedding", options.get("vector")} & set(floats)
        if self._vector not in floats or unknown or unclear:
            raise InvalidInput(
                f"{self._address}: it has the fields {', '.join(fields)}",
                hint="name the field of float vectors, and those of names and labels: ?vector=FIELD&name=FIELD",
            )
        self._numbered = self._name in fields and fields[self._name]["type"] == types.INT64
        self.dim = int(fields[self._vector]["params"]["dim"])

    def _read_index(self, version: str) -> None:
        collection = self._address.collection
        found = self._client.list_indexes(collection, field_name=self._vector)
        facts = self._client.describe_index(collection, found[0]) if found else {}
        metric = str(facts.get("metric_type", "COSINE")).upper()
        if metric not in _METRICS:
            raise InvalidInput(f"{self._address}: its metric is {metric}", hint=f"known: {', '.join(_METRICS)}")
        self.metric = _METRICS[metric]
        kind = facts.get("index_type", "no index")
        self.engine = f"{'Milvus Lite' if self._local else 'Milvus'} {version}, {kind}"

    @contextmanager
    def _calls(self) -> Iterator[None]:
        """Turn what pymilvus raises into errors of this package, without the token."""
        pymilvus = require("pymilvus", extra="milvus")
        grpc = require("grpc", extra="milvus")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except (pymilvus.MilvusException, grpc.RpcError, OSError, ValueError) as error:
            text = without_token(error, self._address)
            if isinstance(error, grpc.RpcError | OSError) or getattr(error, "code", 0) == _NO_CONNECTION:
                raise Unreachable(
                    f"{self._address} does not answer: {text}", hint="check the address, and that the server runs"
                ) from None
            raise InvalidInput(
                f"{self._address}: Milvus says: {text}",
                hint=f"check the collection, and the token in {TOKEN_VARIABLE}; one process alone can open a file",
            ) from None


def _text(name: object) -> str:
    """A name as text; nothing for a vector without one, which is refused later."""
    return "" if name is None else str(name)
