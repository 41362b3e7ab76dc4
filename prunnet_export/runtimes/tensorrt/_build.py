"""Builds an engine from typed ONNX, with the builder of TensorRT or TensorRT-RTX."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export._files import read_bytes, replace_file
from prunnet_export._limits import MODEL_BYTES, SETTINGS_BYTES
from prunnet_export.runtimes.tensorrt._log import SparseLayers, find_logger, shorten, sparse_layers

MOST_IMAGES = 32  # largest batch of one inference, if the batch is open
_HINT = "use --precision fp32, or another target"


@dataclass(frozen=True)
class Built:
    """The bytes of an engine, and how many of its layers are 2:4 sparse."""

    content: bytes
    sparse: SparseLayers


def build_engine(
    engine: Any, onnx_file: Path, *, capabilities: Sequence[Any] = (), timing_cache: Path | None = None
) -> Built:
    """Build an engine that executes in the types of the graph, tuned for one image and for batches of up to 32.

    For 2:4 weights, the builder times dense and sparse kernels and takes the faster ones.

    Args:
        engine: The module ``tensorrt`` or ``tensorrt_rtx``.
        onnx_file: A typed graph.
        capabilities: Members of TensorRT-RTX's ``ComputeCapability``; empty for TensorRT, which builds for this GPU.
        timing_cache: File with kernel timings of earlier builds on this device, read if it exists and updated.

    Raises:
        InvalidInput: the file is not a model, or the engine cannot build it. The message quotes the engine.
    """
    logger = find_logger(engine)
    logger.log_record.clear()
    builder = engine.Builder(logger)
    network = builder.create_network(_flags(engine))
    parser = engine.OnnxParser(network, logger)
    if not parser.parse(read_bytes(onnx_file, at_most=MODEL_BYTES)) or not network.num_inputs:
        raise InvalidInput(f"{onnx_file.name}: {engine.__name__} cannot take {_parser_error(parser)}", hint=_HINT)
    config = builder.create_builder_config()
    config.set_flag(engine.BuilderFlag.SPARSE_WEIGHTS)
    config.clear_flag(engine.BuilderFlag.TF32)  # with it, fp32 would be computed with 10 bits of mantissa
    if capabilities:
        config.num_compute_capabilities = len(capabilities)
        for index, capability in enumerate(capabilities):
            config.set_compute_capability(capability, index)
    _add_profile(builder, network, config)
    timings = None if timing_cache is None else _load_timings(config, timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        reason = logger.log_record.first_error()
        raise InvalidInput(f"{onnx_file.name}: {engine.__name__} cannot build it ({reason})", hint=_HINT)
    if timings is not None and timing_cache is not None:
        with suppress(StorageError):
            replace_file(timing_cache, bytes(timings.serialize()))
    return Built(bytes(plan), sparse_layers(logger.log_record.lines))


def _flags(engine: Any) -> int:
    """The flag for strongly typed networks; 0 if there is none, as in TensorRT 11, where all networks are so."""
    flag = getattr(engine.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _add_profile(builder: Any, network: Any, config: Any) -> None:
    source = network.get_input(0)
    batch, *image = source.shape
    least, most = (1, MOST_IMAGES) if batch < 0 else (batch, batch)
    profile = builder.create_optimization_profile()
    profile.set_shape(source.name, (least, *image), (least, *image), (most, *image))
    config.add_optimization_profile(profile)


def _load_timings(config: Any, file: Path) -> Any:
    """The cache of timings that the build extends; it starts empty if the file is of another GPU or version."""
    try:
        cached = read_bytes(file, at_most=SETTINGS_BYTES)
    except InvalidInput:
        cached = b""
    for content in (cached, b""):
        timings = config.create_timing_cache(content)
        if timings is not None and config.set_timing_cache(timings, ignore_mismatch=False):
            return timings
    return None


def _parser_error(parser: Any) -> str:
    if not parser.num_errors:
        return "it: it has no inputs"
    error = parser.get_error(0)
    # The first of several lines only names the node.
    lines = error.desc().splitlines()
    reason = shorten(lines[1]) if len(lines) > 1 else f"{error.func()}: {shorten(error.desc())}"
    node = f"{error.node_operator()} node {error.node_name()!r}" if error.node_operator() else "it"
    return f"{node} ({reason})"
