"""Builds candidates: each is cut, gets its BatchNorm statistics, is exported and compiled at most once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path

import msgspec
from torch import Tensor

from prunnet_export._documents import read_json
from prunnet_export._files import sha256
from prunnet_export._imports import installed_versions, plugin_version
from prunnet_export.building._build import Build, Candidate
from prunnet_export.building._cache import BuildCache
from prunnet_export.building._onnx import export_onnx
from prunnet_export.network import Embedder, Normalised, PrunableNetwork, fused
from prunnet_export.patterns import materialise
from prunnet_export.prediction import Workload, read_workload
from prunnet_export.runtimes import CompileInputs, Model, Runtime, read_float_layers

_ONNX, _WORKLOAD = "subnetwork.onnx", "workload.json"
_LAYOUT = 3  # version of the files in a cache entry
_EXPORT_TOOLS = ("prunnet-export", "torch", "onnx", "onnxscript")


class Builder:
    """Builds candidates of one network for one runtime.

    A subnetwork is exported to ONNX once, and compiled once for each precision and runtime.

    Args:
        network: The dense network.
        runtime: The runtime to compile for.
        cache: The cache of exported and compiled files.
        device: Fingerprint of the device. It is part of the cache's key, because some engines run only on one device.
        settle: Replaces the BatchNorm statistics of a cut network by its own, in place.
        calibration: Returns the images for calibration, batches of float32 [n, 3, h, w] in 0..1.
        options: Options of the target for the runtime.
        layer_times: Times each layer of a compiled model on the device; None if the device is not at hand.
    """

    def __init__(
        self,
        network: PrunableNetwork,
        runtime: Runtime,
        cache: BuildCache,
        *,
        device: str,
        settle: Callable[[Embedder], object],
        calibration: Callable[[], Iterable[Tensor]],
        options: Mapping[str, str] | None = None,
        layer_times: Callable[[Model], Mapping[str, float]] | None = None,
    ) -> None:
        self._network = network
        self._runtime = runtime
        self._cache = cache
        self._device = device
        self._settle = settle
        self._calibration = calibration
        self._options = dict(options or {})
        self._layer_times = layer_times
        self._settled: dict[str, Embedder] = {}

    def module(self, candidate: Candidate, *, re_estimated: bool) -> Embedder:
        """The candidate as a torch module.

        Branches that only training needs are fused, unless they have zeros of a pattern: the sum of two branches has
        fewer zeros than each of them.

        Args:
            candidate: The candidate to cut.
            re_estimated: Whether it gets BatchNorm statistics of its own. Without them its latency is right, but its
                embeddings are wrong. The dense network always keeps its statistics, because it embedded the gallery.
        """
        module = materialise(self._network, candidate.subnetwork)
        if not re_estimated or candidate.capacity == 1:
            return self._fused(module, candidate)
        key = _digest(module)  # it does not depend on the precision
        if key not in self._settled:
            self._settle(module)
            self._settled[key] = self._fused(module, candidate)
        return self._settled[key]

    def _fused(self, module: Embedder, candidate: Candidate) -> Embedder:
        if any(not bool(mask.all()) for mask in candidate.subnetwork.cut_masks().values()):
            return module
        return fused(module, size=self._network.size)

    def build(self, candidate: Candidate, *, re_estimated: bool) -> Build:
        """The candidate, compiled.

        Args:
            candidate: The candidate to build.
            re_estimated: As for :meth:`module`.

        Raises:
            StorageError: the disk is full.
            PrunnetError: the network cannot be exported or compiled.
        """
        module, precision = self.module(candidate, re_estimated=re_estimated), candidate.precision
        runtime = self._runtime
        exported = self._export(module)
        onnx_file, times = exported / _ONNX, self._layer_times
        inputs = CompileInputs(
            images=lambda: (batch.numpy() for batch in self._calibration()),
            module=lambda: Normalised(module).eval(),
            layer_times=None if times is None else lambda file: times(Model(file, runtime.name, precision)),
            options=self._options,
            accurate=re_estimated,
        )
        needs_images = runtime.precision(precision).needs_images
        parts = {
            "onnx": sha256(onnx_file),
            "precision": precision,
            "runtime": [runtime.name, runtime.version(), plugin_version("runtimes", runtime.name)],
            "options": self._options,
            "device": self._device,
            "calibration": self._images_digest if needs_images else None,
            "accurate": re_estimated if needs_images else None,
            "tools": installed_versions(*_EXPORT_TOOLS, *runtime.distributions),
            "layout": _LAYOUT,
        }
        folder, names = self._cache.get(
            parts, lambda folder: runtime.compile(onnx_file, folder, precision=precision, inputs=inputs)
        )
        workload = read_json(exported / _WORKLOAD, Workload, hint="delete the cache folder")
        # Taken now: another process may trim the cache before this one ends.
        size_mb = sum((folder / name).stat().st_size for name in names) / 1e6
        return Build(candidate, runtime.name, folder, names, size_mb, workload, read_float_layers(folder))

    def _export(self, module: Embedder) -> Path:
        """A folder with the module as ONNX and the workload of the module."""

        def make(folder: Path) -> tuple[str, ...]:
            export_onnx(module, folder / _ONNX, size=self._network.size)
            (folder / _WORKLOAD).write_bytes(msgspec.json.encode(read_workload(folder / _ONNX)))
            return _ONNX, _WORKLOAD

        # The key is the content, because a name does not tell which weights and BatchNorm statistics the module has.
        parts = {
            "module": _digest(module),
            "size": self._network.size,
            "tools": installed_versions(*_EXPORT_TOOLS),
            "layout": _LAYOUT,
        }
        return self._cache.get(parts, make)[0]

    @cached_property
    def _images_digest(self) -> str:
        return _sha256(batch.numpy().tobytes() for batch in self._calibration())


def _digest(module: Embedder) -> str:
    """SHA-256 of a module's layers, and of their tensors by name."""
    tensors = dict([*module.named_parameters(), *module.named_buffers()])
    return _sha256([str([module, *tensors]).encode(), *(tensor.numpy().tobytes() for tensor in tensors.values())])


def _sha256(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
