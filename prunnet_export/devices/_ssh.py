"""A board that is reached by ssh."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from prunnet_export._errors import MissingExtra, PrunnetError, StorageError, Unreachable
from prunnet_export._files import read_bytes, storage_errors
from prunnet_export._limits import ARRAYS_BYTES
from prunnet_export._numbers import significant
from prunnet_export.devices._address import parse_address
from prunnet_export.devices._base import TIMEOUT_S, WORKER_ERRORS, Device, raise_again
from prunnet_export.devices._connection import Connection, ConnectionLostError
from prunnet_export.devices._embeddings import count_inputs, file_bytes
from prunnet_export.devices._frames import SCRATCH
from prunnet_export.devices._local import parse_reply, timeout_error
from prunnet_export.devices._model_files import read_model
from prunnet_export.devices._protocol import EmbedRequest, ErrorReply, Reply, Request

_PATHS = ("model", "inputs", "outputs", "photo")  # fields of requests that name files
_DIGITS = 16  # of a model's digest in its path on the board; engines truncate messages with long paths
_TRIES = 3  # tries of a transfer whose connection breaks


class SshDevice(Device):
    """A board that is reached by ssh. It runs the same worker as this machine.

    The board needs sshd, a POSIX system, and the same version of this package with the extra of the runtime. Further
    settings of ssh come from ``~/.ssh/config``. All requests use one connection, which is made again if it breaks. A
    model is copied once per connection, inputs are copied for each request. The files lie in a private folder in
    ``~/.cache/prunnet-export`` on the board. The board removes it when the connection ends for any reason.

    Args:
        url: ``ssh://[user@]host[:port][?python=PATH]``; the default interpreter is ``python3``.

    Raises:
        InvalidInput: the URL is not an address.
    """

    def __init__(self, url: str) -> None:
        self.address = parse_address(url)
        self._connection: Connection | None = None

    def __repr__(self) -> str:
        return f"SshDevice({str(self.address)!r})"

    def close(self) -> None:
        """End the connection. Nothing stays on the board. The next request connects again."""
        if self._connection is not None:
            self._connection.close()

    def run(self, request: Request, *, timeout: float = TIMEOUT_S) -> Reply:
        """The reply to a request. Its paths are absolute paths on this machine.

        Args:
            request: The request. Its model and inputs are copied to the board, and its outputs back.
            timeout: Seconds for the worker, without the time for copying.

        Raises:
            InvalidInput: a file cannot be read.
            StorageError: the outputs cannot be written on this machine.
            Unreachable: the board does not answer or has no room, or its runtime is not installed.
            PrunnetError: an error that the worker raised.
        """
        connection, paths = self._connect_and_copy(request)
        changed: dict[str, Any] = {field: f"{connection.folder}/{path}" for field, path in paths.items()}
        remote = msgspec.structs.replace(request, **changed, **({"files": []} if "model" in paths else {}))
        document, output = msgspec.json.encode(remote), paths.get("outputs")
        answer, reply, errors, content = connection.ask(
            document, timeout=timeout, output=output, largest=_largest_output(request)
        )
        try:
            if answer.error:
                raise StorageError(f"no worker could be run: {answer.error}", hint="free some space")
            if answer.code is None:
                raise timeout_error(timeout)
            result = parse_reply(answer.code, reply, errors)
        except PrunnetError as error:
            local_paths = {getattr(remote, field): getattr(request, field) for field in paths}
            raise_again(self._with_local_paths(error, local_paths))
        if isinstance(request, EmbedRequest):
            file = Path(request.outputs)
            with storage_errors(file):
                file.write_bytes(content)
        return result

    def _connect_and_copy(self, request: Request) -> tuple[Connection, dict[str, str]]:
        """Connect, copy the request's files, and return the connection and their paths in its folder by field."""
        for tries_left in reversed(range(_TRIES)):
            if self._connection is None or not self._connection.close.alive:
                self._connection = Connection(self.address)
            try:
                return self._connection, self._copy(self._connection, request)
            except ConnectionLostError:
                if not tries_left:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")

    def _copy(self, connection: Connection, request: Request) -> dict[str, str]:
        paths = {}
        for field in _PATHS:
            if getattr(request, field, None) is not None:
                file = Path(getattr(request, field))
                paths[field] = f"{SCRATCH}/{field}/{file.name}"
                if field == "model":
                    paths[field] = self._copy_model(
                        connection, file, [Path(one) for one in getattr(request, "files", [])]
                    )
                elif field in {"inputs", "photo"}:
                    self._put(connection, paths[field], read_bytes(file, at_most=ARRAYS_BYTES))
        return paths

    def _copy_model(self, connection: Connection, model: Path, files: list[Path]) -> str:
        """Copy a model to a path made of its digest, unless it is there, and return that path."""
        found = read_model(model, files)
        digest = hashlib.sha256()
        for name, content in found.contents.items():
            digest.update(f"{len(name)} {name} {len(content)} ".encode())
            digest.update(content)
        place = f"models/{digest.hexdigest()[:_DIGITS]}"
        if place not in connection.stored:
            for name, content in found.contents.items():
                self._put(connection, f"{place}/{name}", content)
            connection.stored.add(place)
        return f"{place}/{found.entry}"

    def _put(self, connection: Connection, name: str, content: bytes) -> None:
        stored = connection.put(name, content)
        if stored.error:
            raise Unreachable(
                f"no room for {significant(len(content) / 1e6)} MB on {self.address}: {stored.error}",
                hint="free some space there and run the same command again",
            )

    def _with_local_paths(self, error: PrunnetError, local_paths: Mapping[str, str]) -> ErrorReply:
        """An error of the board with the paths of this machine.

        A missing extra or file on the board becomes Unreachable, because it is not an error in the user's command. So
        does every error that a worker cannot cause.
        """
        message, hint, kind = error.message, error.hint, type(error).__name__
        for remote, local in local_paths.items():
            message = message.replace(remote, local)
        if isinstance(error, MissingExtra | StorageError):
            kind, hint = Unreachable.__name__, f"on the board: {hint or 'check the path and the disk'}"
        elif not isinstance(error, WORKER_ERRORS):
            kind, hint = Unreachable.__name__, hint or "run the same command again"
        return ErrorReply(kind=kind, message=f"{message} (on {self.address})", hint=hint)


def _largest_output(request: Request) -> int:
    """The size of the output file that a request can have at most, bytes."""
    return file_bytes(count_inputs(Path(request.inputs))) if isinstance(request, EmbedRequest) else 0
