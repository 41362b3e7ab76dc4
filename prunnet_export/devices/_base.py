"""The interface of a device: it answers requests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NoReturn, TypeVar

from prunnet_export._errors import (
    InvalidInput,
    MissingExtra,
    PrunnetError,
    StorageError,
    UnknownName,
    Unreachable,
    UnsupportedPattern,
    UnsupportedPrecision,
)
from prunnet_export.devices._protocol import (
    ErrorReply,
    Fingerprint,
    FingerprintReply,
    FingerprintRequest,
    Reply,
    Request,
)

R = TypeVar("R", bound=Reply)

WORKER_ERRORS: tuple[type[PrunnetError], ...] = (
    *(InvalidInput, UnknownName, UnsupportedPattern, UnsupportedPrecision),
    *(MissingExtra, StorageError, Unreachable),
)
"""The errors of a worker. No worker may say that a gate failed, or that the user interrupted it."""

TIMEOUT_S = 3600.0
"""Seconds for a worker to load a model, during which an engine may be built, and to do short work."""


class Device(ABC):
    """A machine that runs models."""

    _fingerprint: Fingerprint | None = None

    @abstractmethod
    def run(self, request: Request, *, timeout: float = TIMEOUT_S) -> Reply:
        """The reply to a request, from a new process on the device.

        Args:
            request: The request. Its paths are absolute paths on this machine, also for a remote device.
            timeout: Seconds until the worker is killed.

        Raises:
            Unreachable: the device does not answer, or its process died.
            PrunnetError: an error that the worker raised.
        """

    def ask(self, request: Request, reply: type[R], *, timeout: float = TIMEOUT_S) -> R:
        """The reply to a request; raises Unreachable if its type is not ``reply``."""
        answer = self.run(request, timeout=timeout)
        if not isinstance(answer, reply):
            raise Unreachable(
                f"the device answered {type(answer).__name__} to {type(request).__name__}",
                hint="both sides need the same version of this package",
            )
        return answer

    def fingerprint(self) -> Fingerprint:
        """The device's fingerprint. The device is asked only once."""
        if self._fingerprint is None:
            self._fingerprint = self.ask(FingerprintRequest(), FingerprintReply, timeout=60).fingerprint
        return self._fingerprint

    @property
    def emulated(self) -> bool:
        """Whether its processor is emulated, so that none of its times and peaks of memory is a measurement."""
        return self.fingerprint().emulator is not None


def raise_again(reply: ErrorReply) -> NoReturn:
    """Raise the error of a worker again. A class that a worker cannot cause becomes PrunnetError."""
    kind = {kind.__name__: kind for kind in WORKER_ERRORS}.get(reply.kind, PrunnetError)
    error = kind.__new__(kind)  # the constructors of subclasses would compose the message again
    PrunnetError.__init__(error, reply.message, hint=reply.hint)
    raise error
