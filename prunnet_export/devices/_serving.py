"""The work of a worker for each request."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes, storage_errors
from prunnet_export._limits import IMAGE_BYTES
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
from prunnet_export.devices._query_times import MS, QueryTimer
from prunnet_export.runtimes import Batch, Model, Runtime, Session, find_runtime

T = TypeVar("T")

_WARM_QUERIES = 3  # the network is warm before; a query from a photograph takes much longer


def serve(request: Request) -> Reply:
    """The reply to a request; raises PrunnetError if the request cannot be fulfilled."""
    if isinstance(request, FingerprintRequest):
        return FingerprintReply(fingerprint=fingerprint())
    runtime = find_runtime(request.runtime)
    model = Model(_openable(Path(request.model)), request.runtime, request.precision)
    if isinstance(request, PlacementRequest):
        return PlacementReply(nodes=runtime.placement(model))
    if isinstance(request, LayerTimesRequest):
        return LayerTimesReply(milliseconds=runtime.layer_times(model, threads=request.threads, **_batch(request)))
    if isinstance(request, EmbedRequest):
        return _embed(request, runtime, model)
    version = runtime.version()  # this loads the engine, so that its memory is not counted below
    if isinstance(request, LatencyRequest):
        return _latency(request, runtime.open(model, threads=request.threads), version)
    gc.collect()
    peak = PeakMemory()
    session = runtime.open(model, threads=request.threads)
    for batch in _random_inputs(session, 1, request.batch_size) * request.inferences:
        session.run(batch)
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


def _batch(request: LayerTimesRequest) -> dict[str, int]:
    """The argument for batches of more than one image. Runtimes of other packages need not know it."""
    return {} if request.batch_size == 1 else {"batch_size": request.batch_size}


def _latency(request: LatencyRequest, session: Session, version: str) -> LatencyReply:
    """Time inferences, or whole queries if the request has a photograph."""
    pool = _random_inputs(session, request.pool, request.batch_size)
    for _, batch in zip(range(request.warmup), cycle(pool), strict=False):
        session.run(batch)
    if request.photo is None:
        return LatencyReply(samples=_sampled(request, _inference_times(session, pool)), runtime_version=version)
    if request.preprocessing is None or request.preprocessing.size != (session.shape.height, session.shape.width):
        raise InvalidInput("the photograph has no preprocessing that makes this model's input", hint="a bug: report it")
    photo = read_bytes(Path(request.photo), at_most=IMAGE_BYTES)
    queries = QueryTimer(session, request.preprocessing, photo, request.batch_size).times()
    for _ in range(min(request.warmup, _WARM_QUERIES)):
        next(queries)
    times = _sampled(request, queries)
    return LatencyReply(
        samples=[one.whole for one in times],
        decode=[one.decode for one in times],
        resize=[one.resize for one in times],
        network=[one.network for one in times],
        runtime_version=version,
    )


def _sampled(request: LatencyRequest, times: Iterator[T]) -> list[T]:
    """As many times as the request asks for. Garbage is not collected meanwhile, because that would be timed."""
    end = time.monotonic() + request.seconds
    gc.collect()
    gc.disable()
    try:
        found = [next(times) for _ in range(request.at_least)]
        while len(found) < request.samples and time.monotonic() <= end:
            found.append(next(times))
        return found
    finally:
        gc.enable()


def _inference_times(session: Session, pool: list[Batch]) -> Iterator[float]:
    """Milliseconds of one inference after the other, on the batches in turns, without an end."""
    for batch in cycle(pool):
        begin = time.perf_counter_ns()
        session.run(batch)
        yield max(1, time.perf_counter_ns() - begin) * MS


def _embed(request: EmbedRequest, runtime: Runtime, model: Model) -> EmbedReply:
    inputs = _map_array(request.inputs)
    session = runtime.open(model, threads=request.threads)
    size = session.shape.batch or request.batch_size
    embeddings = np.empty((len(inputs), session.shape.dim), np.float32)
    for start in range(0, len(inputs), size):
        embeddings[start : start + size] = session.run_some(np.array(inputs[start : start + size]))
    with storage_errors(Path(request.outputs)):
        np.save(request.outputs, embeddings, allow_pickle=False)
    return EmbedReply(count=len(embeddings), dim=session.shape.dim)


def _random_inputs(session: Session, count: int, batch_size: int) -> list[Batch]:
    shape = session.shape
    if shape.batch not in {None, batch_size}:
        raise InvalidInput(
            f"the model takes exactly {shape.batch} images at a time, and batches of {batch_size} are asked for",
            hint=f"export it with --batch-size {batch_size}",
        )
    draw = np.random.default_rng(0)
    size = (batch_size, 3, shape.height, shape.width)
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
