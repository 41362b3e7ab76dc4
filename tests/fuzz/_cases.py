"""The files that are read: how a valid one is made, and what reads it."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faiss
import lmdb
import msgspec
import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch
from onnx import TensorProto, helper
from PIL import Image

from prunnet_export import benchmarks
from prunnet_export._config import read_project_config
from prunnet_export._decoding import begins_like_an_image, decode
from prunnet_export.artifact import read_manifest
from prunnet_export.artifact._manifest_file import encode_manifest
from prunnet_export.benchmarks._diff_cases import compare_case
from prunnet_export.benchmarks._diff_sides import read_runs as read_runs_to_compare
from prunnet_export.benchmarks._results import Run
from prunnet_export.benchmarks.plan._runs import read_runs
from prunnet_export.network import PrunableNetwork, load_checkpoint
from prunnet_export.network._weights_file import read_weights
from prunnet_export.network_config import DEMO, read_config
from prunnet_export.prediction._table import read_calibration
from prunnet_export.runtimes import read_onnx
from prunnet_export.teachers._onnx_file import file_hashes
from prunnet_export.teachers._settings import read_teacher_settings
from prunnet_export.training import _journal
from prunnet_export.training._state import load_state
from prunnet_export.training._trainee import Trainee
from prunnet_export.training.data import cifar100, idx, revisited, webdataset
from prunnet_export.training.data._lists import read_rows
from prunnet_export.training.data._lmdb import LmdbSplit
from prunnet_export.vectors import open_vectors, read_arrays
from prunnet_export.vectors._names import read_names
from tests._inputs import tiny_recipe
from tests.benchmarks._runs import result
from tests.conftest import full_manifest
from tests.prediction._rows import row, table, workload

_ROWS = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
_NAMES = [f"{row}.jpg" for row in range(20)]
_TENSORS = {"a.weight": torch.arange(12.0).view(3, 4), "b": torch.ones(5, dtype=torch.float16)}


@dataclass(frozen=True)
class Case:
    """A kind of file.

    Attributes:
        name: Its name.
        make: Makes a valid file in an empty folder.
        read: Reads it, and enough of its contents.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], object]


CASES: dict[str, Case] = {}


def _add(name: str, make: Callable[[Path], object], read: Callable[[Path], object], file: str = "file") -> None:
    """Add a case whose file has a fixed name; ``make`` gets its path, or returns its contents."""

    def made(folder: Path) -> Path:
        place = folder / file
        place.parent.mkdir(parents=True, exist_ok=True)
        content = make(place)
        if isinstance(content, bytes):
            place.write_bytes(content)
        return place

    CASES[name] = Case(name, made, read)


def _vectors(file: Path) -> None:
    stored = open_vectors(file)
    rows = stored.rows(0, 5)
    stored.check_rows(rows, 0)
    stored.take(np.array([0, stored.count - 1]))
    if stored.count < 10_000:
        list(stored.chunks(7))


def _index(kind: str) -> Callable[[Path], None]:
    def make(file: Path) -> None:
        made = faiss.index_factory(8, kind)
        made.train(np.tile(_ROWS, (20, 1)) + np.random.default_rng(1).normal(size=(400, 8)).astype(np.float32))
        made.add_with_ids(_ROWS, np.arange(20)) if kind.startswith("IDMap") else made.add(_ROWS)
        faiss.write_index(made, str(file))

    return make


def _image(kind: str) -> Callable[[Path], bytes]:
    def make(_file: Path) -> bytes:
        made = io.BytesIO()
        pixels = (np.arange(20 * 30 * 3) % 251).astype(np.uint8).reshape(20, 30, 3)
        Image.fromarray(pixels).save(made, kind)
        return made.getvalue()

    return make


def _idx(file: Path) -> bytes:
    del file
    return bytes([0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 4]) + bytes(80)


def _model(file: Path) -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 3, 1, 1], np.arange(12.0).tolist())
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    sides = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, c, 8, 8]) for name, c in (("x", 3), ("y", 4))
    }
    onnx.save(helper.make_model(helper.make_graph([node], "g", [sides["x"]], [sides["y"]], [weight])), file)


def _shard(file: Path) -> None:
    with tarfile.open(file, "w") as made:
        for number in range(4):
            for suffix, content in ((".jpg", _image("JPEG")(file)), (".cls", b"1")):
                info = tarfile.TarInfo(f"{number}{suffix}")
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))


def _read_shard(file: Path) -> None:
    train = webdataset.FORMAT.load(file).train
    for index in range(min(len(train), 10)):
        train.encoded(index)


def _store(file: Path) -> None:
    with lmdb.open(str(file.parent), map_size=2**22) as store, store.begin(write=True) as transaction:
        for name in _NAMES:
            transaction.put(name.encode(), _image("JPEG")(file) * 5)


def _read_store(file: Path) -> None:
    split = LmdbSplit(file.parent, _NAMES, np.arange(20))
    for index in range(20):
        split.encoded(index)


class _Layer(torch.nn.Linear):
    """A network of one layer, with ranks as a prunable network has them."""

    set_unit_ranks = PrunableNetwork.set_unit_ranks


def _trainee() -> Trainee:
    torch.manual_seed(0)
    network, objective = _Layer(3, 2), torch.nn.Linear(2, 2)
    parameters = [*network.parameters(), *objective.parameters()]
    return Trainee(network, objective, torch.optim.AdamW(parameters, 0.1))  # type: ignore[arg-type]  # as far as it is used


def _state(_file: Path) -> bytes:
    one = _trainee()
    one.objective(one.network(torch.ones(1, 3))).sum().backward()
    one.optimizer.step()
    one.network.set_unit_ranks({"backbone.layer": torch.arange(3, dtype=torch.int32)})
    tensors = {f"network.{name}": t for name, t in one.network.state_dict().items()}
    tensors |= {f"objective.{name}": t for name, t in one.objective.state_dict().items()}
    for number, parameter in enumerate(one.parameters()):
        tensors |= {f"optimizer.{number}.{name}": t for name, t in one.optimizer.state[parameter].items()}
    content: bytes = safetensors.torch.save(tensors, metadata={"steps": "1/2"})
    return content


def _resume(file: Path) -> None:
    one = _trainee()
    load_state(file.parent, one, steps=2)
    one.objective(one.network(torch.ones(1, 3))).sum().backward()
    one.optimizer.step()


def _checkpoint(file: Path) -> None:
    for name in ("config.json", "network.safetensors"):
        shutil.copy(DEMO / name, file.parent / name)


def _truth() -> dict[str, object]:
    entry = {
        "bbx": [1.0, 2.0, 30.0, 40.0],
        "easy": np.array([0]),
        "hard": np.array([1]),
        "junk": np.array([], np.int64),
    }
    return {"imlist": ["a", "b"], "qimlist": ["q"], "gnd": [entry]}


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _batch(_file: Path) -> bytes:
    return pickle.dumps({"data": np.zeros((3, 3072), np.uint8), "fine_labels": [1, 2, 3]}, 2)


def _saved(save: Callable[..., object], *arguments: object, **options: object) -> Callable[[Path], bytes]:
    def make(_file: Path) -> bytes:
        made = io.BytesIO()
        save(made, *arguments, **options)
        return made.getvalue()

    return make


_PARTS = {"embeddings": _ROWS, "names": np.array(_NAMES), "labels": np.arange(20), "metric": np.array("dot")}

_add("npy", _saved(np.save, _ROWS), _vectors)
_add("npy in the order of Fortran", _saved(np.save, np.asfortranarray(_ROWS)), _vectors)
_add("npz", _saved(np.savez, **_PARTS), _vectors)
_add("npz, compressed", _saved(np.savez_compressed, **_PARTS), _vectors)
_add("npz of a reference", _saved(np.savez, **_PARTS), lambda file: read_arrays(file, what="one", hint="copy it"))
_add("parquet", lambda file: pq.write_table(pa.table({"name": _NAMES, "embedding": list(_ROWS)}), file), _vectors)
for _kind in ("Flat", "IVF4,Flat", "PQ4x4", "HNSW8", "SQ8", "IDMap,Flat"):
    _add(f"faiss {_kind}", _index(_kind), _vectors)
_add("names", lambda _: "\n".join(_NAMES).encode(), read_names, "names.txt")
_add("names in json", lambda _: json.dumps(_NAMES).encode(), read_names, "names.json")
_add(
    "pyproject",
    lambda _: b'[tool.prunnet-export]\nnetwork = "a"\n[a.b]\nc = [1, [2.5]]\n',
    lambda file: read_project_config(file.parent),
    "pyproject.toml",
)
_add(
    "teacher's settings",
    lambda _: b"crop = 224\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n",
    read_teacher_settings,
)
_add("config", lambda _: (DEMO / "config.json").read_bytes(), lambda file: read_config(file.parent), "config.json")
_add("network", _checkpoint, lambda file: load_checkpoint(file.parent), "config.json")
_add("safetensors", lambda _: safetensors.torch.save(_TENSORS), read_weights)
_add("torch", _saved(lambda made, value: torch.save(value, made), _TENSORS), read_weights)
_add(
    "torch, old",
    _saved(lambda made, value: torch.save(value, made, _use_new_zipfile_serialization=False), _TENSORS),
    read_weights,
)
_add("state", _state, _resume, "training-state.safetensors")
_add("recipe", lambda _: msgspec.json.encode(tiny_recipe()), _journal._read_recipe)
_add("metrics", lambda _: b'{"step": 1, "loss": 0.5}\n' * 9, lambda file: _journal._drop_metrics(file, first=5))
_add(
    "runs of plan",
    lambda _: (Path(benchmarks.__path__[0]) / "plan" / "runs.jsonl").read_bytes().split(b"\n")[0],
    read_runs,
)
for _kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO", "JPEG2000"):
    _add(f"image {_kind}", _image(_kind), lambda file: (begins_like_an_image(file), decode(file, name="x")))
_add("cifar-100, binary", lambda _: bytes(3074 * 3), cifar100._read_binary)
_add("cifar-100, python", _batch, cifar100._read_python)
_add("idx", _idx, lambda file: idx._read(file, 3))
_add("idx, gzipped", lambda file: gzip.compress(_idx(file)), lambda file: idx._read(file, 3), "file.gz")
_add("list", lambda _: b"a/b.jpg 3\nc.jpg 4\n" * 9, lambda file: list(read_rows(file, ["path", "number"])))
_add("truth", lambda _: pickle.dumps(_truth(), 2), revisited._read, "gnd_x.pkl")
_add("truth in json", lambda _: json.dumps(_truth(), default=_plain).encode(), revisited._read, "gnd_x.json")
_add("shard", _shard, _read_shard, "x.tar")
_add("lmdb", _store, _read_store, "data.mdb")
_add("onnx", _model, lambda file: (file_hashes(file), read_onnx(file)), "model.onnx")
_add(
    "manifest",
    lambda _: encode_manifest(full_manifest()),
    lambda file: read_manifest(file.parent),
    "manifest.json",
)
_add(
    "run of prunnet-bench",
    lambda _: msgspec.json.encode(Run(created="2026-11-29T18:00:00Z", results=[result()])),
    lambda file: [
        compare_case(old, result(), threshold=0.05, in_turns=False)
        for old in read_runs_to_compare(file, file)[0].results.values()
    ],
)
_add("calibration", lambda _: msgspec.json.encode(table([row(workload(10**6), 1.0)])), read_calibration)
