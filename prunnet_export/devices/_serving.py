"""The work of a worker for each request."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import storage_errors
from prunnet_export.devices._fingerprint import fingerprint
from prunnet_export.devices._memory import PeakMemory
from prunnet_export.devices._protocol import (
    EmbedReply,
    EmbedRequest,
    FingerprintReply,
    FingerprintRequest,
    LatencyReply,
    LatencyRequest,
    LayerTimesReply,
    LayerTimesRequest,
    MemoryReply,
    PlacementReply,
    PlacementRequest,
    Reply,
    Request,
)
from prunnet_export.runtimes import Batch, Model, Runtime, Session, find_runtime

_MS = 1e-6


def serve(request: Request) -> Reply:
    """The reply to a request; raises PrunnetError if the request cannot be fulfilled."""
    if isinstance(request, FingerprintRequest):
        return FingerprintReply(fingerprint=fingerprint())
    runtime = find_runtime(request.runtime)
    model = Model(_openable(Path(request.model)), request.runtime, request.precision)
    if isinstance(request, PlacementRequest):
        return PlacementReply(nodes=runtime.placement(model))
    if isinstance(request, LayerTimesRequest):
        return LayerTimesReply(milliseconds=runtime.layer_times(model, threads=request.threads))
    if isinstance(request, EmbedRequest):
        return _embed(request, runtime, model)
    version = runtime.version()  # this loads the engine, so that its memory is not counted below
    if isinstance(request, LatencyRequest):
        return LatencyReply(
            samples=_samples(request, runtime.open(model, threads=request.threads)), runtime_version=version
        )
    gc.collect()
    peak = PeakMemory()
    session = runtime.open(model, threads=request.threads)
    _time_inferences(session, _random_inputs(session, 1), request.inferences, start=0, deadline=None)
    return MemoryReply(peak_mb=peak.growth_mb(), source=peak.source)


def _openable(file: Path) -> Path:
    """A path of a file that every engine can open. Some take only UTF-8, so this process may go to the file's folder.

    No module is imported from there: the folder to import from was set when the process started.
    """
    try:
        str(file).encode()
    except UnicodeEncodeError:
        os.chdir(file.parent)
        return Path(file.name)
    return file


def _samples(request: LatencyRequest, session: Session) -> list[float]:
    pool = _random_inputs(session, request.pool)
    _time_inferences(session, pool, request.warmup, start=0, deadline=None)
    end = time.monotonic() + request.seconds
    gc.collect()
    gc.disable()
    try:
        samples = _time_inferences(session, pool, request.at_least, start=0, deadline=None)
        rest = request.samples - request.at_least
        return samples + _time_inferences(session, pool, rest, start=len(samples), deadline=end)
    finally:
        gc.enable()


def _time_inferences(
    session: Session, pool: list[Batch], count: int, *, start: int, deadline: float | None
) -> list[float]:
    """Milliseconds of up to ``count`` inferences. None is started after the deadline."""
    times: list[float] = []
    for index in range(start, start + max(0, count)):
        if deadline is not None and time.monotonic() > deadline:
            break
        batch = pool[index % len(pool)]
        begin = time.perf_counter_ns()
        session.run(batch)
        times.append(max(1, time.perf_counter_ns() - begin) * _MS)
    return times


def _embed(request: EmbedRequest, runtime: Runtime, model: Model) -> EmbedReply:
    inputs = _map_array(request.inputs)
    session = runtime.open(model, threads=request.threads)
    size = session.shape.batch or request.batch_size
    embeddings = np.empty((len(inputs), session.shape.dim), np.float32)
    for start in range(0, len(inputs), size):
        embeddings[start : start + size] = session.run(np.array(inputs[start : start + size]))
    with storage_errors(Path(request.outputs)):
        np.save(request.outputs, embeddings, allow_pickle=False)
    return EmbedReply(count=len(embeddings), dim=session.shape.dim)


def _random_inputs(session: Session, count: int) -> list[Batch]:
    shape = session.shape
    if shape.batch not in {None, 1}:
        raise InvalidInput(
            f"the model takes exactly {shape.batch} images at a time",
            hint="measurements are of batch 1: export it with an open batch axis",
        )
    draw = np.random.default_rng(0)
    size = (1, 3, shape.height, shape.width)
    return [draw.random(size, np.float32) for _ in range(count)]


def _map_array(file: str) -> npt.NDArray[np.float32]:
    try:
        array: npt.NDArray[np.float32] = np.load(file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InvalidInput(f"{file}: no such file", hint="check the path") from None
    except (ValueError, EOFError) as error:
        raise InvalidInput(f"{file}: not a .npy file of numbers ({str(error).splitlines()[0]})") from None
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise InvalidInput(f"{file}: not one array of images", hint="give float32 [n, 3, height, width]")
    return array
