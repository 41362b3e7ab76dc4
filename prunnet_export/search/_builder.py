"""Building candidates: cut, re-estimate, export, compile; each at most once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shutil import copyfile

import msgspec
import torch
from torch import Tensor, nn

from prunnet_export._imports import installed_version, plugin_version
from prunnet_export.exporting import export_onnx
from prunnet_export.network import Checkpoint, Normalised, adapt
from prunnet_export.patterns import materialise
from prunnet_export.prediction import Workload, read_workload
from prunnet_export.runtimes import CompileInputs, Runtime
from prunnet_export.search._cache import BuildCache
from prunnet_export.search._candidates import Candidate

Statistics = Callable[[], Iterable[Tensor]]
LayerTimes = Callable[[Path, str], Mapping[str, float]]

WORKLOAD = "workload.json"
_LAYOUT = 2  # of an entry in the cache
_TOOLS = ("prunnet-export", "torch", "onnx", "onnxscript")


@dataclass(frozen=True)
class Build:
    """A compiled candidate.

    Attributes:
        candidate: What it is.
        folder: Where its files are.
        names: Names of those that are deployed; the runtime opens the first.
        size_mb: All of these, in 10^6 bytes.
        workload: What it asks of a machine.
    """

    candidate: Candidate
    folder: Path
    names: tuple[str, ...]
    size_mb: float
    workload: Workload

    @property
    def entry(self) -> Path:
        """The file that the runtime opens."""
        return self.folder / self.names[0]

    def copy_to(self, folder: Path) -> None:
        """Copy what is deployed.

        Raises:
            OSError: the disk is full.
        """
        for name in self.names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            copyfile(self.folder / name, folder / name)


class Builder:
    """Makes candidates of one network for one runtime.

    Args:
        checkpoint: The network.
        runtime: What to compile for.
        cache: Where builds are kept.
        device: Fingerprint of the device, since engines do not always move between devices.
        channel_multiple: Kept widths are multiples of this.
        statistics: Gives the images that BatchNorm statistics are re-estimated on.
        calibration: Gives the images that quantisation is calibrated on; those of the statistics where it is None.
        options: What the runtime compiles for, in its own words.
        layer_times: Times each layer of a compiled model on the device; None where it is not at hand.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        runtime: Runtime,
        cache: BuildCache,
        *,
        device: str,
        channel_multiple: int,
        statistics: Statistics,
        calibration: Statistics | None = None,
        options: Mapping[str, str] | None = None,
        layer_times: LayerTimes | None = None,
    ) -> None:
        self._checkpoint = checkpoint
        self._runtime = runtime
        self._cache = cache
        self._statistics = statistics
        self._calibration = calibration or statistics
        self._options = dict(options or {})
        self._layer_times = layer_times
        self._modules: dict[Candidate, nn.Module] = {}
        self._common = {
            "network": checkpoint.config.weights_sha256,
            "preprocessing": repr(checkpoint.config.preprocessing),
            "runtime": [runtime.name, runtime.version(), plugin_version("runtimes", runtime.name)],
            "device": device,
            "channel_multiple": channel_multiple,
            "options": self._options,
            "layout": _LAYOUT,
            "tools": {tool: installed_version(tool) for tool in (*_TOOLS, *runtime.distributions)},
        }

    def module(self, candidate: Candidate, *, re_estimated: bool) -> nn.Module:
        """The candidate as a torch module.

        Args:
            candidate: What to cut.
            re_estimated: With BatchNorm statistics and a projector of its own. Without them its latency is right and
                its embeddings are not. The dense network keeps those of its checkpoint, which made the gallery.
        """
        if not re_estimated or candidate.capacity == 1:
            return materialise(self._checkpoint.network, candidate.subnetwork)
        if candidate not in self._modules:
            module = materialise(self._checkpoint.network, candidate.subnetwork)
            adapt(module, self._checkpoint.network.embedder, self._statistics)
            self._modules[candidate] = module
        return self._modules[candidate]

    def build(self, candidate: Candidate, *, re_estimated: bool) -> Build:
        """The candidate, compiled.

        Raises:
            StorageError: the disk is full.
            PrunnetError: the network cannot be exported or compiled.
        """
        dense, precision = candidate.capacity == 1, self._runtime.precision(candidate.precision)
        # By content: a data set's name or size says nothing about which images it holds today.
        statistics = None if dense or not re_estimated else _digest(self.module(candidate, re_estimated=True))
        parts = {
            **self._common,
            "pattern": None if dense else candidate.pattern,
            "capacity": candidate.subnetwork.kept,
            "precision": candidate.precision,
            "statistics": statistics,
            "calibration": self._images_digest if precision.needs_images else None,
        }

        def make(folder: Path) -> tuple[str, ...]:
            onnx_file = folder / "subnetwork.onnx"
            with torch.no_grad():
                module = self.module(candidate, re_estimated=re_estimated)
            export_onnx(module, onnx_file, crop=self._checkpoint.config.preprocessing.crop)
            (folder / WORKLOAD).write_bytes(msgspec.json.encode(read_workload(onnx_file)))
            times = self._layer_times
            inputs = CompileInputs(
                images=lambda: (batch.numpy() for batch in self._calibration()),
                module=lambda: Normalised(module).eval(),
                layer_times=None if times is None else lambda file: times(file, candidate.precision),
                options=self._options,
            )
            names = self._runtime.compile(onnx_file, folder, precision=candidate.precision, inputs=inputs)
            if onnx_file.name not in names:
                onnx_file.unlink()
            return names

        folder, names = self._cache.get(parts, make)
        size = sum((folder / name).stat().st_size for name in names) / 1e6
        workload = msgspec.json.decode((folder / WORKLOAD).read_bytes(), type=Workload)
        return Build(candidate, folder, names, size, workload)

    @cached_property
    def _images_digest(self) -> str:
        """SHA-256 of the calibration images."""
        digest = hashlib.sha256()
        for batch in self._calibration():
            digest.update(batch.numpy().tobytes())
        return digest.hexdigest()


def _digest(module: nn.Module) -> str:
    """SHA-256 of a module's tensors: its BatchNorm statistics and projector depend on the images."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
