"""A board that is reached by ssh."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from prunnet_export._errors import MissingExtra, PrunnetError, StorageError, Unreachable
from prunnet_export._files import read_bytes, storage_errors
from prunnet_export.devices._address import parse_address
from prunnet_export.devices._base import TIMEOUT_S, Device, raise_again
from prunnet_export.devices._connection import Connection, ConnectionLostError
from prunnet_export.devices._frames import SCRATCH
from prunnet_export.devices._local import parse_reply, timeout_error
from prunnet_export.devices._protocol import EmbedRequest, ErrorReply, Reply, Request

_SMALL = 2**16  # bytes of a file that may describe the model beside it
_PACKAGE = ".mlpackage"  # a folder that is one model
_PATHS = ("model", "inputs", "outputs")  # fields of requests that name files
_DIGITS = 16  # hexadecimal, of the name of a model there; engines cut messages with long paths short
_TRIES = 3  # of a transfer whose connection breaks


class SshDevice(Device):
    """A board that is reached by ssh, through the same worker as this machine.

    The board needs sshd, a POSIX system, and this package in the same version with the extra of the runtime; ssh
    takes everything else from ``~/.ssh/config``. One connection serves all requests, and is made again where it
    broke. A model is copied once a connection, its inputs for each request. All of it lies in a private folder in
    ``~/.cache/prunnet-export`` there, which the board itself removes when the connection ends, however it ends.

    Args:
        url: ``ssh://[user@]host[:port][?python=PATH]``; the interpreter is ``python3`` where none is named.

    Raises:
        InvalidInput: the URL is no address.
    """

    def __init__(self, url: str) -> None:
        self.address = parse_address(url)
        self._connection: Connection | None = None

    def __repr__(self) -> str:
        return f"SshDevice({str(self.address)!r})"

    def close(self) -> None:
        """Hang up; nothing stays on the board. Another request connects again."""
        if self._connection is not None:
            self._connection.close()

    def run(self, request: Request, *, timeout: float = TIMEOUT_S) -> Reply:
        """The reply to a request; paths in it are absolute, and of files on this machine.

        Args:
            request: Its model and inputs are copied to the board, its outputs from there.
            timeout: Seconds for the worker, not for copying.

        Raises:
            InvalidInput: a file cannot be read.
            StorageError: the outputs cannot be written here.
            Unreachable: the board does not answer or has no room, or its runtime is not installed.
            PrunnetError: what the worker raised.
        """
        connection, there = self._connect_and_copy(request)
        remote = msgspec.structs.replace(request, **{field: f"{connection.folder}/{there[field]}" for field in there})
        document, output = msgspec.json.encode(remote), there.get("outputs")
        answer, reply, errors, content = connection.ask(document, timeout=timeout, output=output)
        try:
            if answer.error:
                raise StorageError(f"no worker could be run: {answer.error}", hint="free some space")
            if answer.code is None:
                raise timeout_error(timeout)
            result = parse_reply(answer.code, reply, errors)
        except PrunnetError as error:
            here = {getattr(remote, field): getattr(request, field) for field in there}
            raise_again(self._with_local_paths(error, here))
        if isinstance(request, EmbedRequest):
            file = Path(request.outputs)
            with storage_errors(file):
                file.write_bytes(content)
        return result

    def _connect_and_copy(self, request: Request) -> tuple[Connection, dict[str, str]]:
        """A connection, and what the files that the request names are called in its folder."""
        for again in reversed(range(_TRIES)):
            if self._connection is None or not self._connection.close.alive:
                self._connection = Connection(self.address)
            try:
                return self._connection, self._copy(self._connection, request)
            except ConnectionLostError:
                if not again:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")

    def _copy(self, connection: Connection, request: Request) -> dict[str, str]:
        there = {}
        for field in _PATHS:
            if hasattr(request, field):
                file = Path(getattr(request, field))
                there[field] = f"{SCRATCH}/{field}/{file.name}"
                if field == "model":
                    there[field] = self._copy_model(connection, file)
                elif field == "inputs":
                    self._put(connection, there[field], read_bytes(file))
        return there

    def _copy_model(self, connection: Connection, model: Path) -> str:
        """Where a model is there, under a name made of its contents."""
        top = _model_root(model)
        contents = {file.relative_to(top.parent).as_posix(): read_bytes(file) for file in _files_of(top)}
        digest = hashlib.sha256()
        for name, content in contents.items():
            digest.update(f"{len(name)} {name} {len(content)} ".encode())
            digest.update(content)
        place = f"models/{digest.hexdigest()[:_DIGITS]}"
        if place not in connection.stored:
            for name, content in contents.items():
                self._put(connection, f"{place}/{name}", content)
            connection.stored.add(place)
        return f"{place}/{model.relative_to(top.parent).as_posix()}"

    def _put(self, connection: Connection, name: str, content: bytes) -> None:
        stored = connection.put(name, content)
        if stored.error:
            raise Unreachable(
                f"no room for {len(content) / 1e6:.3g} MB on {self.address}: {stored.error}",
                hint="free some space there and run the same command again",
            )

    def _with_local_paths(self, error: PrunnetError, here: Mapping[str, str]) -> ErrorReply:
        """An error of the board, under the names that files have here; nothing missing there is a usage error."""
        message, hint, kind = error.message, error.hint, type(error).__name__
        for theirs, ours in here.items():
            message = message.replace(theirs, ours)
        if isinstance(error, MissingExtra | StorageError):
            kind, hint = Unreachable.__name__, f"there: {hint or 'check the path and the disk'}"
        return ErrorReply(kind=kind, message=f"{message} (on {self.address})", hint=hint)


def _model_root(model: Path) -> Path:
    """What stands for a model: the file that is opened, or the package that it lies in."""
    return next((parent for parent in model.parents if parent.suffix == _PACKAGE), model)


def _files_of(model: Path) -> list[Path]:
    """What travels with a model: all that shares its stem, ``model.xml`` and ``model.bin``, and small files beside it.

    Those may describe it, as ``engine.json`` does. Not every file of the folder: it may be somebody's home.
    """
    if not model.exists():
        return [model]  # whoever reads it says so
    found: list[Path] = []
    for entry in sorted(model.parent.iterdir()):
        of_the_model = entry == model or entry.name.startswith(f"{model.stem}.")
        if of_the_model and entry.is_dir():
            found += sorted(file for file in entry.rglob("*") if file.is_file())
        elif entry.is_file() and (of_the_model or (entry.name[0] != "." and entry.stat().st_size <= _SMALL)):
            found.append(entry)
    return found
