"""The exported files of the peers: what each finds in the gallery of its dense network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
from torch import Tensor

from prunnet_export._documents import read_json
from prunnet_export._errors import InvalidInput, UnsupportedPrecision
from prunnet_export._files import replace_file, storage_errors
from prunnet_export._numbers import percent
from prunnet_export.benchmarks._methods_runs import read_run, write_run
from prunnet_export.benchmarks.peers._networks import Networks
from prunnet_export.benchmarks.peers._settings import Terms
from prunnet_export.devices import layer_times
from prunnet_export.evaluating import ChosenImages, Embeddings, ModelOnDevice, retrieval_metrics
from prunnet_export.prediction import read_workload
from prunnet_export.runtimes import CompileInputs, Model, find_runtime, read_float_layers
from prunnet_export.target import Target

_LOG = logging.getLogger(__name__)
_NAMES = "files.json"  # the names of a compiled model's files, the file to open first


class Exported(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One exported file.

    Attributes:
        capacity: The asked capacity; 1 is the dense network.
        precision: Name of the precision.
        macs: Multiply-adds of one image.
        weights: Number of weights.
        r1: Cross-test R@1 of the file: its queries in the gallery of the dense network; None if it was refused.
        size_mb: Size of the compiled model, 10^6 bytes; None if it was refused.
        float_layers: Number of layers that stay in float, if the precision is INT8.
        refused: Why the runtime did not compile it; None if it did.
    """

    capacity: float
    precision: str
    macs: int
    weights: int
    r1: float | None = None
    size_mb: float | None = None
    float_layers: int = 0
    refused: str | None = None


class ExportedRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The exported files of one method and seed for one target."""

    target: str
    runtime: str
    runtime_version: str
    method: str
    seed: int
    files: list[Exported]


@dataclass(frozen=True)
class Exporter:
    """Exports the networks of the runs and searches with the files.

    Attributes:
        terms: The terms of the comparison.
        networks: The networks of the runs.
        images: Query and gallery images.
        calibration: Returns the images for calibration, batches of float32 [n, 3, h, w] in 0..1.
    """

    terms: Terms
    networks: Networks
    images: ChosenImages
    calibration: Callable[[], Iterable[Tensor]]

    def run(self, target: Target, method: str, seed: int) -> ExportedRun:
        """The files of a run. The record of them is read, or they are made, and the record is stored.

        Raises:
            InvalidInput: the networks of the run are not there, or a file is damaged.
            MissingExtra: the runtime is not installed.
            StorageError: the folder cannot be written.
            Unreachable: the device does not answer.
        """
        record = self.terms.folder / f"exported-{target.name}-{method}-{seed}.json"
        if not record.exists():
            runtime = find_runtime(target.runtime)
            version = runtime.version()  # raises MissingExtra
            files = self._files(target, method, seed)
            made = ExportedRun(
                target=target.name,
                runtime=runtime.name,
                runtime_version=version,
                method=method,
                seed=seed,
                files=files,
            )
            write_run(record, made)
        return read_run(record, ExportedRun)

    def model(self, target: Target, method: str, seed: int, file: Exported) -> Model:
        """A compiled model.

        Raises:
            InvalidInput: it is not there any more.
        """
        folder = self._folder(target, method, seed) / f"{file.capacity:g}-{file.precision}"
        names = read_json(folder / _NAMES, list[str], hint="remove the records exported-*.json to export again")
        return _model(folder, names, target.runtime, file.precision)

    def _folder(self, target: Target, method: str, seed: int) -> Path:
        return self.terms.folder / "models" / target.name / f"{method}-{seed}"

    def _files(self, target: Target, method: str, seed: int) -> list[Exported]:
        networks = self.networks.files(method, seed)
        if not networks:
            file = self.terms.folder / f"{method}-{seed}.json"
            raise InvalidInput(f"{file} was made without its networks", hint="remove the file, or give another --out")
        folder, gallery = self._folder(target, method, seed), self.networks.gallery(method, seed)
        files = []
        for precision in dict.fromkeys((target.precisions[0], target.precisions[-1])):  # the most exact, the fastest
            for capacity, onnx_file in networks.items():
                _LOG.info("%s: %s %d, %s in %s", target.name, method, seed, percent(capacity), precision)
                workload = read_workload(onnx_file)
                entry = partial(
                    Exported, capacity=capacity, precision=precision, macs=workload.macs, weights=workload.weights
                )
                try:
                    model = self._compile(target, onnx_file, folder / f"{capacity:g}-{precision}", precision)
                    r1 = self._recall(model, gallery)
                except UnsupportedPrecision as error:
                    _LOG.info("no %s: %s", precision, error.message)
                    break
                except InvalidInput as error:
                    files.append(entry(refused=error.message))
                    continue
                size_mb = sum(file.stat().st_size for file in model.files) / 1e6
                kept = len(read_float_layers(model.file.parent).kept)
                files.append(entry(r1=r1, size_mb=size_mb, float_layers=kept))
        return files

    def _compile(self, target: Target, onnx_file: Path, folder: Path, precision: str) -> Model:
        terms, runtime = self.terms, find_runtime(target.runtime)
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        inputs = CompileInputs(
            images=lambda: (batch.numpy() for batch in self.calibration()),
            layer_times=lambda file: layer_times(
                terms.device, Model(file, runtime.name, precision), threads=terms.threads
            ),
            options=target.options,
        )
        names = runtime.compile(onnx_file, folder, precision=precision, inputs=inputs)
        replace_file(folder / _NAMES, msgspec.json.encode(names))
        return _model(folder, names, runtime.name, precision)

    def _recall(self, model: Model, gallery: Embeddings) -> float:
        queries = self.images.embed_queries(ModelOnDevice(model, self.terms.device, self.terms.threads).embed)
        found = retrieval_metrics(queries, gallery, self.images.relevance, self.images.data.protocol)
        return found.recall_at[1]


def _model(folder: Path, names: Iterable[str], runtime: str, precision: str) -> Model:
    files = tuple(folder / name for name in names)
    return Model(files[0], runtime, precision, files)
