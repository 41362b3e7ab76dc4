"""Core ML packages: folders that are written reproducibly, and read without Core ML."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._documents import parse_json
from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes, replace_file
from prunnet_export._imports import require
from prunnet_export._limits import MODEL_BYTES, SETTINGS_BYTES
from prunnet_export._text import one_line
from prunnet_export.runtimes._checks import LOAD_HINT, MATRIX_RANK
from prunnet_export.runtimes._silence import silenced

EXTRA = "coreml"
PACKAGE = "model.mlpackage"

_MANIFEST = "Manifest.json"
_PROGRAM = "Data/com.apple.CoreML/model.mlmodel"
_WEIGHTS = "Data/com.apple.CoreML/weights"
_BLOB = f"{_WEIGHTS}/weight.bin"
_NAMES = (_MANIFEST, _PROGRAM, _BLOB)  # the manifest comes first, because it stands for the package
_DATE = "com.github.apple.coremltools.conversion_date"


def write_package(model: Any, made: Path, folder: Path) -> tuple[str, ...]:
    """Save a model of coremltools as ``model.mlpackage``, without its date and its random identifiers.

    ``made`` is an empty folder for a draft. Returns the names of the package's files in ``folder``, the manifest first.
    """
    draft, package = made / PACKAGE, folder / PACKAGE
    model.save(str(draft))
    manifest = parse_json(read_bytes(draft / _MANIFEST, at_most=SETTINGS_BYTES))
    items = manifest["itemInfoEntries"]
    names = {old: str(uuid.uuid5(uuid.NAMESPACE_URL, item["path"])) for old, item in items.items()}
    manifest["itemInfoEntries"] = {names[old]: item for old, item in items.items()}
    manifest["rootModelIdentifier"] = names[manifest["rootModelIdentifier"]]
    program = _parse(draft / _PROGRAM)
    program.description.metadata.userDefined.pop(_DATE, None)
    contents = (
        json.dumps(manifest, indent=2, sort_keys=True).encode(),
        program.SerializeToString(deterministic=True),
        read_bytes(draft / _BLOB, at_most=MODEL_BYTES),
    )
    for name, content in zip(_NAMES, contents, strict=True):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        replace_file(package / name, content)
    return tuple(f"{PACKAGE}/{name}" for name in _NAMES)


def read_program(manifest: Path) -> Any:
    """The operations of the ML program in the package of a ``Manifest.json``; raises InvalidInput if it has none."""
    package = manifest.parent
    with silenced():
        load = require("coremltools.converters.mil.frontend.milproto.load", extra=EXTRA).load
        try:
            model = _parse(package / _PROGRAM)
            program = load(
                model, specification_version=model.specificationVersion, file_weights_dir=str(package / _WEIGHTS)
            )
            return program.functions["main"]
        except Exception as error:  # noqa: BLE001  the exceptions of coremltools and protobuf share no narrower base
            raise InvalidInput(
                f"{package.name}: no Core ML package with an ML program ({one_line(error)})", hint=LOAD_HINT
            ) from None


def program_weights(program: Any) -> dict[str, npt.NDArray[np.generic]]:
    """The floating-point constants with two or more dimensions by name. Sparse ones are made dense."""
    found: dict[str, npt.NDArray[np.generic]] = {}
    for operation in program.operations:
        if operation.op_type == "const":
            values = operation.outputs[0].val
        elif operation.op_type == "constexpr_sparse_to_dense":
            values = operation.materialized_val_inference()
        else:
            continue
        if isinstance(values, np.ndarray) and values.ndim >= MATRIX_RANK and np.issubdtype(values.dtype, np.floating):
            found[str(operation.outputs[0].name)] = values
    return found


def count_operations(program: Any) -> int:
    """How many operations of a program are not constants."""
    return sum(not operation.op_type.startswith("const") for operation in program.operations)


def _parse(file: Path) -> Any:
    model = require("coremltools.proto.Model_pb2", extra=EXTRA).Model()
    model.ParseFromString(read_bytes(file, at_most=MODEL_BYTES))
    return model
