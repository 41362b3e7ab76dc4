"""Writing manifest.json, reading it strictly, and its JSON Schema."""

from __future__ import annotations

import inspect
import math
from datetime import datetime, timezone
from typing import Any, TypeVar

import msgspec

from prunnet_export._documents import decode_json
from prunnet_export._errors import InvalidInput, UsageError
from prunnet_export.artifact._manifest import MANIFEST, VERSION, Manifest
from prunnet_export.budget import Budget
from prunnet_export.measuring import LatencyReport

_EXPORT_AGAIN = "export the artifact again"
_T = TypeVar("_T")


def encode_manifest(manifest: Manifest) -> bytes:
    """The contents of manifest.json: indented JSON with a newline at the end.

    Raises:
        InvalidInput: it holds NaN or infinity, or a value that :func:`decode_manifest` refuses.
    """
    path = _not_finite(msgspec.to_builtins(manifest), "$")
    if path is not None:
        raise InvalidInput(f"the manifest is not finite at {path}", hint="a measurement or a metric came out as NaN")
    document = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    decode_manifest(document, name=MANIFEST)
    return document


def decode_manifest(document: bytes, *, name: str) -> Manifest:
    """The manifest in a JSON document.

    Args:
        document: The document in UTF-8.
        name: Name of the document in error messages.

    Raises:
        InvalidInput: it is not a manifest, or its version is not known; the message says where.
    """
    head = _decode(document, _Head, name)
    if head.format != "prunnet-artifact":
        raise InvalidInput(f"{name}: its format is {head.format[:40]!r}", hint="this is no prunnet artifact")
    if head.version != VERSION:
        raise InvalidInput(
            f"{name}: version {head.version} of the format; this package reads {VERSION}",
            hint="pip install --upgrade prunnet-export" if head.version > VERSION else _EXPORT_AGAIN,
        )
    manifest = _decode(document, Manifest, name)
    _check_consistency(manifest, name)
    return manifest


def utc_now() -> str:
    """The time now in the format of a manifest: UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema of manifest.json."""
    schema: dict[str, Any] = _with_clean_descriptions(msgspec.json.schema(Manifest))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "prunnet-artifact manifest",
        **schema,
    }


def schema_document() -> str:
    """The contents of the committed file manifest.schema.json."""
    return msgspec.json.format(msgspec.json.encode(manifest_schema(), order="deterministic"), indent=2).decode() + "\n"


def _with_clean_descriptions(value: Any) -> Any:
    """A schema whose descriptions are not indented. msgspec before 0.23 keeps the indentation of docstrings."""
    if isinstance(value, dict):
        return {
            key: inspect.cleandoc(one)
            if key == "description" and isinstance(one, str)
            else _with_clean_descriptions(one)
            for key, one in value.items()
        }
    return [_with_clean_descriptions(one) for one in value] if isinstance(value, list) else value


def _decode(document: bytes, kind: type[_T], name: str) -> _T:
    try:
        return decode_json(document, kind)
    except (msgspec.DecodeError, UsageError) as error:
        hint = f"it may be truncated or edited; {_EXPORT_AGAIN}"
        raise InvalidInput(f"{name}: not a manifest ({str(error) or type(error).__name__})", hint=hint) from None


class _Head(msgspec.Struct):
    format: str
    version: int


def _check_consistency(manifest: Manifest, name: str) -> None:
    """Check the relations between fields, which types cannot express."""
    if manifest.files and manifest.entry not in manifest.files:
        raise InvalidInput(f"{name}: entry {manifest.entry!r} is not among files", hint=_EXPORT_AGAIN)
    for latency in filter(None, (manifest.latency, manifest.dense_latency)):
        _check_latency(latency, manifest.budget, name)
    named = [name for other in manifest.alternatives for name in (other.entry, other.reference)]
    if (golden := manifest.golden) is not None:
        named += [golden.image, golden.pixels, golden.output]
    missing = [name for name in named if name not in manifest.files]
    if manifest.files and missing:
        raise InvalidInput(f"{name}: {missing[0]!r} is not among files", hint=_EXPORT_AGAIN)
    if MANIFEST in manifest.files:
        raise InvalidInput(f"{name}: it lists its own hash", hint="no file can hold its own hash")
    if (manifest.status == "rejected") != bool(manifest.reasons):
        count = len(manifest.reasons)
        raise InvalidInput(f"{name}: {manifest.status} with {count} reasons", hint="only rejected ones have reasons")
    if manifest.subnetwork.weights_kept > manifest.subnetwork.weights_total:
        raise InvalidInput(f"{name}: more weights kept than there are", hint=_EXPORT_AGAIN)


def _check_latency(latency: LatencyReport, budget: Budget, name: str) -> None:
    if latency.query != budget.query:
        raise InvalidInput(f"{name}: a latency of {latency.query} and a budget of {budget.query}", hint=_EXPORT_AGAIN)
    if (latency.scope == "end-to-end") != bool(latency.parts):
        count = len(latency.parts)
        raise InvalidInput(f"{name}: scope {latency.scope} with the times of {count} parts", hint=_EXPORT_AGAIN)
    if latency.timed != (latency.n > 0 and latency.runs > 0 and latency.confidence is not None):
        raise InvalidInput(f"{name}: a {latency.source} latency of {latency.n} samples", hint=_EXPORT_AGAIN)


def _not_finite(value: object, path: str) -> str | None:
    """The path of the first NaN or infinity, or None."""
    if isinstance(value, float):
        return None if math.isfinite(value) else path
    children: list[tuple[object, str]] = []
    if isinstance(value, dict):
        children = [(child, f"{path}.{key}") for key, child in value.items()]
    elif isinstance(value, list | tuple):
        children = [(child, f"{path}[{index}]") for index, child in enumerate(value)]
    return next((found for child, below in children if (found := _not_finite(child, below)) is not None), None)
