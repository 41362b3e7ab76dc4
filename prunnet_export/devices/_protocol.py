"""The requests of a host to a worker on a device, and the worker's replies. Each is one JSON document."""

from __future__ import annotations

from typing import Annotated

import msgspec

from prunnet_export._errors import Unreachable
from prunnet_export._stored_paths import path_from_stored, stored_path
from prunnet_export.devices._embeddings import LARGEST_DIM
from prunnet_export.preprocessing import Preprocessing

Positive = Annotated[int, msgspec.Meta(ge=1)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
_Line = Annotated[str, msgspec.Meta(max_length=200)]
_MANY = 2**19  # a reply has at most so many samples, layers or processors
_LARGEST = 1e9  # milliseconds, or MiB
_Milliseconds = Annotated[float, msgspec.Meta(gt=0, le=_LARGEST)]
_Samples = Annotated[list[_Milliseconds], msgspec.Meta(max_length=_MANY)]
_LayerTime = Annotated[float, msgspec.Meta(ge=0, le=_LARGEST)]


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """Base of all messages. The JSON field ``type`` names the kind of message."""


class ModelRequest(_Message, frozen=True, kw_only=True):
    """A request about one model.

    Attributes:
        model: Path of the model's file on the device.
        files: Paths of all its files on the host, for a device that has to copy them; empty if they are not known.
        runtime: Entry-point name of the engine.
        precision: Name of the precision to execute in.
        threads: Intra-operator threads; None leaves the number to the engine.
    """

    model: str
    files: list[str] = []
    runtime: str
    precision: str = "fp32"
    threads: Positive | None = None


class LatencyRequest(ModelRequest, frozen=True, kw_only=True, tag="latency"):
    """Time one model, or whole queries with it, in a process of its own.

    In one process, models would disturb each other: an engine's threads keep a core busy after a call, and on two cores
    that takes half of the next model's speed.

    Attributes:
        batch_size: Images per inference.
        photo: Path of a JPEG file on the device. If it is given, each sample begins with its bytes: every image of the
            batch is decoded and preprocessed. If it is None, samples are of inferences alone.
        preprocessing: How the photograph becomes an input; given if ``photo`` is.
        warmup: Untimed inferences before the first sample.
        samples: Timed inferences.
        at_least: Timed inferences that are made even after ``seconds``.
        seconds: Time after which only the samples of ``at_least`` are started.
        pool: Number of random inputs, which are used in turns.
    """

    batch_size: Positive = 1
    photo: str | None = None
    preprocessing: Preprocessing | None = None
    warmup: Annotated[int, msgspec.Meta(ge=0)] = 20
    samples: Positive = 200
    at_least: Positive = 1
    seconds: Annotated[float, msgspec.Meta(gt=0)] = 20.0
    pool: Annotated[int, msgspec.Meta(ge=8)] = 8


class MemoryRequest(ModelRequest, frozen=True, kw_only=True, tag="memory"):
    """Peak memory of loading and running one model with batches of a size."""

    batch_size: Positive = 1
    inferences: Positive = 10


class EmbedRequest(ModelRequest, frozen=True, kw_only=True, tag="embed"):
    """Embed the images of one .npy file and write the embeddings to another. Both are paths on the device."""

    inputs: str
    outputs: str
    batch_size: Positive = 32


class PlacementRequest(ModelRequest, frozen=True, kw_only=True, tag="placement"):
    """Count the nodes of a model on each processor."""


class LayerTimesRequest(ModelRequest, frozen=True, kw_only=True, tag="layer-times"):
    """Time each layer of a model in inferences of a batch."""

    batch_size: Positive = 1


class FingerprintRequest(_Message, frozen=True, kw_only=True, tag="fingerprint"):
    """Ask a device for its fingerprint."""


class LatencyReply(_Message, frozen=True, kw_only=True, tag="latency-reply"):
    """Samples in milliseconds, and the engine's version.

    Attributes:
        samples: The whole of each sample.
        decode: The part of each sample from the bytes of the photographs to their pixels; empty without a photograph.
        resize: The part from there to the network's input; empty without a photograph.
        network: The inference; empty without a photograph.
        runtime_version: The engine's version.
    """

    samples: Annotated[list[_Milliseconds], msgspec.Meta(min_length=1, max_length=_MANY)]
    decode: _Samples = []
    resize: _Samples = []
    network: _Samples = []
    runtime_version: _Line


class MemoryReply(_Message, frozen=True, kw_only=True, tag="memory-reply"):
    """Memory in MiB.

    Attributes:
        peak_mb: Peak resident set above that of the process with the engine imported and no model loaded.
        source: The kernel's field that the figure comes from.
    """

    peak_mb: Annotated[float, msgspec.Meta(ge=0, le=_LARGEST)]
    source: _Line


class EmbedReply(_Message, frozen=True, kw_only=True, tag="embed-reply"):
    """The number of embeddings that were written, and their length."""

    count: _Count
    dim: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_DIM)]


class PlacementReply(_Message, frozen=True, kw_only=True, tag="placement-reply"):
    """Number of nodes on each processor."""

    nodes: Annotated[dict[_Line, _Count], msgspec.Meta(max_length=_MANY)]


class LayerTimesReply(_Message, frozen=True, kw_only=True, tag="layer-times-reply"):
    """Milliseconds by the layer's name."""

    milliseconds: Annotated[dict[str, _LayerTime], msgspec.Meta(max_length=_MANY)]


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a device is.

    Attributes:
        id: The first 12 hexadecimal digits of the SHA-256 of all other fields.
        cpu: Model name of the processor.
        cores: Cores that a process may use.
        arch: Instruction set, e.g. ``x86_64``.
        system: Operating system and kernel.
        python: Version of the interpreter.
        quota: CPU quota of the process, in cores; left out if there is none.
        emulator: What emulates the processor; left out if nothing does. Then no time of the device is a measurement.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{12}(?!\n)$")]
    cpu: _Line
    cores: Positive
    arch: _Line
    system: _Line
    python: _Line
    quota: Annotated[float, msgspec.Meta(gt=0)] | None = None
    emulator: _Line | None = None

    def __str__(self) -> str:
        quota = "" if self.quota is None else f" (quota of {self.quota:g})"
        emulated = "" if self.emulator is None else f", emulated ({self.emulator})"
        return f"{self.cpu}, {self.cores} cores{quota}, {self.arch}{emulated}, {self.system} ({self.id})"

    def require_real(self) -> None:
        """Raise Unreachable if the processor is emulated, so that no time of the machine is a measurement."""
        if self.emulator is not None:
            raise Unreachable(f"nothing can be measured on {self}", hint="run this on the device itself")


class FingerprintReply(_Message, frozen=True, kw_only=True, tag="fingerprint-reply"):
    """The device's fingerprint."""

    fingerprint: Fingerprint


class ErrorReply(_Message, frozen=True, kw_only=True, tag="error"):
    """An error of this package, to be raised again on the host. ``kind`` is the name of its class."""

    kind: _Line
    message: str
    hint: str = ""


def encode_request(request: Request) -> bytes:
    """A request as JSON. Its paths need not be valid Unicode."""
    texts = {name: stored_path(text) for name, text in msgspec.structs.asdict(request).items() if isinstance(text, str)}
    return msgspec.json.encode(msgspec.structs.replace(request, **texts))


def decode_request(document: bytes) -> Request:
    """The request in a JSON document; raises MsgspecError if it holds none."""
    request: Request = msgspec.json.decode(document, type=Request)
    asked = msgspec.structs.asdict(request).items()
    return msgspec.structs.replace(request, **{k: path_from_stored(text) for k, text in asked if isinstance(text, str)})


Request = LatencyRequest | MemoryRequest | EmbedRequest | PlacementRequest | LayerTimesRequest | FingerprintRequest
Reply = LatencyReply | MemoryReply | EmbedReply | PlacementReply | LayerTimesReply | FingerprintReply | ErrorReply
