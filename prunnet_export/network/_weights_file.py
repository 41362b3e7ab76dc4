"""Reading tensors from a file of weights. Nothing in the file is executed."""

from __future__ import annotations

import argparse
import logging
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from prunnet_export._errors import InvalidInput
from prunnet_export._files import open_regular, read_bytes, reading_errors
from prunnet_export._imports import require
from prunnet_export._limits import WEIGHTS_BYTES
from prunnet_export.network._torch_file import check_torch_file, is_plain_pickle
from prunnet_export.network._weights_names import AVERAGES

_log = logging.getLogger(__name__)

# Entries of a training checkpoint that hold weights. Averages come first, because they find more than the weights that
# they are averages of.
_CONTAINERS = (*AVERAGES, "state_dict", "model_state_dict", "model", "module", "params", "student")
_DEEPEST = 4  # entries in entries
_HINT = "save only the tensors: torch.save(model.state_dict(), FILE), or safetensors.torch.save_file"


def read_weights(file: Path) -> dict[str, Tensor]:
    """The named tensors in a file, in the order in which they were saved.

    The file is safetensors, whatever its name, or was written by ``torch.save``. If it is a training checkpoint, its
    averaged weights are taken, if it has any; a log line says which entry was taken.

    Returns:
        Tensors on the CPU, of any dtype and shape. They may be mapped from the file, so do not change them.

    Raises:
        InvalidInput: the file cannot be read, holds no tensors, or holds more than tensors, e.g. code.
    """
    with reading_errors(file), open_regular(file) as opened:
        head = opened.read(9)
    # A safetensors file begins with the length of its JSON header, in eight bytes.
    content: object
    if head[8:] == b"{":
        content = read_safetensors(read_bytes(file, at_most=WEIGHTS_BYTES), file, hint="copy the file again")
    else:
        content = _read_torch(file)
    tensors, entries = _named_tensors(content)
    if not tensors:
        raise InvalidInput(f"{file} holds no named tensors", hint=_HINT)
    if entries:
        _log.info("%s: the weights are those of its entry %s", file, ".".join(entries))
    return tensors


def read_safetensors(content: bytes, file: Path, *, hint: str) -> dict[str, Tensor]:
    """The tensors in the contents of a safetensors file; raises InvalidInput if it is none."""
    safetensors = require("safetensors.torch", extra="train")
    try:
        tensors: dict[str, Tensor] = safetensors.load(content)
    except Exception as error:  # noqa: BLE001  # the parser raises its own untyped errors on foreign bytes
        raise InvalidInput(f"{file} is not a safetensors file ({error})", hint=hint) from None
    return tensors


def _read_torch(file: Path) -> object:
    try:
        # timm's checkpoints hold the arguments of the command as a Namespace, which executes nothing.
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")  # torch warns about old pickles, and an error follows
            zipped = check_torch_file(file)
            return torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # noqa: BLE001  # the parser raises errors of many types on foreign bytes
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named:
            raise InvalidInput(f"{file} asks to execute {named[1]}, which is refused", hint=_HINT) from None
        if "TorchScript" in str(error):
            raise InvalidInput(f"{file} is a TorchScript archive, which holds code", hint=_HINT) from None
        if is_plain_pickle(file):
            raise InvalidInput(f"{file} is a plain pickle, which is never executed", hint=_HINT) from None
        raise InvalidInput(
            f"{file} is neither a safetensors file nor one that torch.save wrote",
            hint=f"it may be truncated; else {_HINT}",
        ) from None


def _named_tensors(
    content: object, entries: tuple[str, ...] = (), empty: set[int] | None = None
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors of a mapping, and the names of the nested entries that lead to them.

    A mapping can hold itself many times, so each is looked through once: ``empty`` has those that were begun.
    """
    empty = set() if empty is None else empty
    if not isinstance(content, Mapping) or len(entries) > _DEEPEST or id(content) in empty:
        return {}, entries
    empty.add(id(content))
    for name in _CONTAINERS:
        tensors, path = _named_tensors(content.get(name), (*entries, name), empty)
        if tensors:
            return tensors, path
    found = {
        name: value.detach() for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)
    }
    return found, entries
