"""Functions that send requests to devices.

A worker that hangs is killed after one hour, and one more minute for each inference that it has to make. Inferences
that are made only while there is time left add no more than that time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput, Unreachable
from prunnet_export._files import storage_errors
from prunnet_export._temporary import TemporaryFolder
from prunnet_export.devices._base import TIMEOUT_S, Device
from prunnet_export.devices._embeddings import checked_output
from prunnet_export.devices._photo import photograph
from prunnet_export.devices._protocol import (
    EmbedReply,
    EmbedRequest,
    LatencyReply,
    LatencyRequest,
    LayerTimesReply,
    LayerTimesRequest,
    MemoryReply,
    MemoryRequest,
    PlacementReply,
    PlacementRequest,
)
from prunnet_export.measuring import LatencyReport, Part, Source, check_confidence, samples_needed, summarise
from prunnet_export.preprocessing import Preprocessing, Size
from prunnet_export.query import Query
from prunnet_export.runtimes import Model

_INFERENCE_S = 60.0
_LONGEST_S = 7 * 24 * 3600.0  # the system's poll takes no more than 24 days


@dataclass(frozen=True)
class Timed:
    """What is timed of a model.

    Attributes:
        query: What one query is.
        preprocessing: How a photograph becomes an input; only needed if the scope of the query is ``end-to-end``.
    """

    query: Query = field(default_factory=Query)
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True)
class ModelTimes:
    """What was measured of one model.

    Attributes:
        samples_ms: Milliseconds of each query, one list for each run in a process of its own.
        threads: Intra-operator threads; None if the engine chose.
        runtime: The engine.
        runtime_version: Its version.
        device: The device's fingerprint.
        source: ``emulated`` if the device's processor is emulated.
        query: What one query is.
        parts_ms: Milliseconds of the parts of each query by their names, in lists as ``samples_ms``; empty if the scope
            is ``compute``.
    """

    samples_ms: list[list[float]]
    threads: int | None
    runtime: str
    runtime_version: str
    device: str
    source: Source = "measured"
    query: Query = field(default_factory=Query)
    parts_ms: Mapping[Part, list[list[float]]] = field(default_factory=dict)

    def report(self, percentile: float = 90.0, *, confidence: float = 0.95) -> LatencyReport:
        """The report on all samples; raises InvalidInput if they are too few for the bound of the percentile."""
        return summarise(
            self.samples_ms,
            percentile_asked=percentile,
            confidence=confidence,
            threads=self.threads,
            runtime=self.runtime,
            runtime_version=self.runtime_version,
            device=self.device,
            source=self.source,
            query=self.query,
            parts=self.parts_ms,
        )


def measure_latency(
    device: Device,
    models: Sequence[Model],
    *,
    threads: int | None = None,
    runs: int = 3,
    samples: int = 200,
    seconds: float = 20.0,
    percentile: float = 90.0,
    confidence: float = 0.95,
    warmup: int = 20,
    timed: Timed | None = None,
) -> list[LatencyReport]:
    """Latencies of queries with models, by default of one image through the network alone; one report per model.

    The arguments and errors are those of :func:`measure_samples`.
    """
    measured = measure_samples(
        device,
        models,
        threads=threads,
        runs=runs,
        samples=samples,
        seconds=seconds,
        percentile=percentile,
        confidence=confidence,
        warmup=warmup,
        timed=[timed or Timed()] * len(models),
    )
    return [times.report(percentile, confidence=confidence) for times in measured]


def measure_samples(
    device: Device,
    models: Sequence[Model],
    *,
    threads: int | None = None,
    runs: int = 3,
    samples: int = 200,
    seconds: float = 20.0,
    percentile: float = 90.0,
    confidence: float = 0.95,
    warmup: int = 20,
    timed: Sequence[Timed] = (),
) -> list[ModelTimes]:
    """Times of queries with models; one value per model, in order.

    Each run of a model is a new process without other models. The models take turns, so that ratios between them
    compare the same minutes.

    Args:
        device: The device to run on.
        models: The models. Their engines may differ.
        threads: Intra-operator threads; None leaves the number to the engine.
        runs: Processes per model.
        samples: Timed inferences per model and run.
        seconds: Time limit for the samples of one run. The samples that the bound needs are taken even after it.
        percentile: The percentile to bound, in per cent.
        confidence: Confidence of the bound.
        warmup: Untimed inferences per model and run.
        timed: What is timed of each model; by default one image through the network alone.

    Raises:
        InvalidInput: a number is out of range, or the engine cannot load a model.
        UnknownName: there is no such runtime or precision.
        MissingExtra: the engine is not installed.
        Unreachable: the device does not answer.
    """
    check_confidence(confidence)
    at_least = -(-samples_needed(percentile, confidence=confidence) // max(1, runs))
    if min(runs, samples, len(models)) < 1 or warmup < 0 or not seconds > 0:
        raise InvalidInput(
            f"{len(models)} models, {runs} runs, {samples} samples, {warmup} warm-ups, {seconds} s",
            hint="each has to be positive (warm-ups may be 0)",
        )
    timed = timed or [Timed()] * len(models)
    with _photographs({one.query.photo_px for one in timed if one.query.photo_px is not None}) as photos:
        requests = [
            LatencyRequest(
                **_fields(model, threads),
                batch_size=one.query.batch_size,
                photo=None if one.query.photo_px is None else str(photos[one.query.photo_px]),
                preprocessing=None if one.query.photo_px is None else one.preprocessing,
                warmup=warmup,
                samples=samples,
                at_least=at_least,
                seconds=seconds,
            )
            for model, one in zip(models, timed, strict=True)
        ]
        timeout = _timeout(warmup + at_least) + seconds
        replies = [[device.ask(request, LatencyReply, timeout=timeout) for request in requests] for _ in range(runs)]
    return [
        ModelTimes(
            samples_ms=[reply.samples for reply in model_replies],
            threads=threads,
            runtime=model.runtime,
            runtime_version=model_replies[0].runtime_version,
            device=device.fingerprint().id,
            source="emulated" if device.emulated else "measured",
            query=one.query,
            parts_ms=_parts(model_replies, one.query),
        )
        for model, one, model_replies in zip(models, timed, zip(*replies, strict=True), strict=True)
    ]


@contextmanager
def _photographs(wanted: set[Size]) -> Iterator[Mapping[Size, Path]]:
    """Files with photographs of some sizes. They exist until the end of the block."""
    if not wanted:
        yield {}
        return
    with TemporaryFolder("photo") as name:
        places = {size: Path(name) / f"{index}.jpg" for index, size in enumerate(wanted)}
        for size, place in places.items():
            with storage_errors(place):
                place.write_bytes(photograph(size))
        yield places


def _parts(replies: Sequence[LatencyReply], query: Query) -> dict[Part, list[list[float]]]:
    """The parts of the samples; raises Unreachable if a device did not send each part of each sample."""
    parts: dict[Part, list[list[float]]] = {
        "decode": [reply.decode for reply in replies],
        "resize": [reply.resize for reply in replies],
        "network": [reply.network for reply in replies],
    }
    wanted = [len(reply.samples) if query.scope == "end-to-end" else 0 for reply in replies]
    if any([len(run) for run in runs] != wanted for runs in parts.values()):
        raise Unreachable(
            f"the device did not time the parts of {query}", hint="both sides need the same version of this package"
        )
    return parts if query.scope == "end-to-end" else {}


def peak_memory_mb(device: Device, model: Model, *, threads: int | None = None, batch_size: int = 1) -> MemoryReply:
    """Peak memory in MiB of loading a model and running batches, without the memory of the engine itself."""
    return device.ask(MemoryRequest(**_fields(model, threads), batch_size=batch_size), MemoryReply)


def embed(
    device: Device, model: Model, inputs: npt.NDArray[np.float32], *, threads: int | None = None, batch_size: int = 32
) -> npt.NDArray[np.float32]:
    """Embeddings float32 [n, dim], computed by the model's engine on the device.

    Args:
        device: The device to run on.
        model: The model to run.
        inputs: float32 [n, 3, height, width] in 0..1.
        threads: Intra-operator threads; None leaves the number to the engine.
        batch_size: Images per inference.

    Raises:
        StorageError: there is no room for the inputs and outputs.
        Unreachable: the device wrote something else than these embeddings.
        PrunnetError: the same errors as :func:`measure_latency`.
    """
    if batch_size < 1:
        raise InvalidInput(f"batch size {batch_size}", hint="give 1 or more")
    with TemporaryFolder("embed") as name:
        source, result = Path(name) / "inputs.npy", Path(name) / "outputs.npy"
        with storage_errors(source):
            np.save(source, inputs, allow_pickle=False)
        request = EmbedRequest(
            **_fields(model, threads), inputs=str(source), outputs=str(result), batch_size=batch_size
        )
        reply = device.ask(request, EmbedReply, timeout=_timeout(len(inputs)))
        return checked_output(result, len(inputs), reply.dim)


def placement(device: Device, model: Model) -> dict[str, int]:
    """How many nodes of a model its engine places on each processor."""
    return device.ask(PlacementRequest(**_fields(model)), PlacementReply).nodes


def layer_times(device: Device, model: Model, *, threads: int | None = None, batch_size: int = 1) -> dict[str, float]:
    """Milliseconds of each layer of a model by name; raises InvalidInput if the engine cannot time layers."""
    request = LayerTimesRequest(**_fields(model, threads), batch_size=batch_size)
    return device.ask(request, LayerTimesReply).milliseconds


def _fields(model: Model, threads: int | None = None) -> dict[str, Any]:
    """The fields of every request about a model."""
    return {
        "model": str(model.file.absolute()),
        "files": [str(file.absolute()) for file in model.files],
        "runtime": model.runtime,
        "precision": model.precision,
        "threads": threads,
    }


def _timeout(inferences: int) -> float:
    """Seconds until a worker is killed that has to make this number of inferences, at most a week."""
    return min(TIMEOUT_S + inferences * _INFERENCE_S, _LONGEST_S)
