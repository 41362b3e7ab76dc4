"""Files are read through ``_files.py``, which refuses pipes and devices and bounds the size.

The other places are listed here, each with its reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.test_rooms import ROOT, modules

# Attributes that read a file, and those of a module that do.
_METHODS = {"read_bytes", "read_text"}
_FUNCTIONS = {
    *("np.load", "numpy.load", "np.fromfile", "np.memmap", "torch.load", "onnx.load", "Image.open"),
    *("gzip.open", "tarfile.open", "zipfile.ZipFile", "safetensors.load_file", "os.open", "io.open"),
}
_ALLOWED = {
    # The one place.
    "prunnet_export._files": {"os.open"},
    # They get a file that open_regular opened.
    "prunnet_export._decoding": {"Image.open"},
    "prunnet_export.network._torch_file": {"zipfile.ZipFile"},
    "prunnet_export.training.data._shard_samples": {"tarfile.open"},
    "prunnet_export.training.data.idx": {"gzip.open"},
    "prunnet_export.vectors._arrays": {"zipfile.ZipFile"},
    # The header of the file was read before, and its size is as the header says.
    "prunnet_export.vectors._numpy_files": {"zipfile.ZipFile", "np.fromfile", "np.memmap"},
    # check_torch_file looked through it.
    "prunnet_export.network._weights_file": {"torch.load"},
    # It refuses what is no regular file of the expected size.
    "prunnet_export.teachers._row_file": {"os.open"},
    # It refuses what is no regular file of the expected kind before.
    "prunnet_export.devices._embeddings": {"open"},
    "prunnet_export.artifact._folder": {"os.open"},
    # Files of this process and its worker, and of the kernel.
    "prunnet_export._cores": {"read_text"},
    "prunnet_export.devices._board": {"os.open", "read_bytes"},
    "prunnet_export.devices._cpu_info": {"read_text"},
    "prunnet_export.devices._emulator": {"open"},
    "prunnet_export.devices._fingerprint": {"read_text"},
    "prunnet_export.devices._memory": {"read_text"},
    "prunnet_export.devices._serving": {"np.load"},
    # It compares with what others write by hand, on a photograph of its own.
    "prunnet_export.benchmarks.query_path": {"Image.open"},
    # A file that it wrote itself, and one of the kernel.
    "prunnet_export.benchmarks.gallery_search": {"np.load", "read_text"},
    # Folders and lock files, which are not read; the null device.
    "prunnet_export._lock": {"os.open"},
    "prunnet_export._streams": {"os.open", "open"},
    "prunnet_export._temporary": {"os.open"},
    "prunnet_export._guarantees": {"os.open"},
}


def reads(file: Path) -> Iterator[str]:
    """What a module calls that reads a file whose path it has."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in _FUNCTIONS or name.rpartition(".")[2] in _METHODS - {name}:
            yield name if name in _FUNCTIONS else name.rpartition(".")[2]
        elif name == "open" or (name.endswith(".open") and _opens_to_read(node)):
            yield "open"


def _opens_to_read(node: ast.Call) -> bool:
    """Whether a method ``open`` has the arguments of ``Path.open`` for reading."""
    modes = [
        one.value
        for one in [*node.args, *(k.value for k in node.keywords if k.arg == "mode")]
        if isinstance(one, ast.Constant)
    ]
    return (not node.args and not node.keywords) or any(isinstance(mode, str) and "r" in mode for mode in modes)


def test_files_are_read_in_one_place() -> None:
    found = {
        f"{module}: {name}"
        for module, file in modules().items()
        for name in reads(file)
        if name not in _ALLOWED.get(module, set())
    }
    assert not found


def test_no_permission_is_left_over() -> None:
    unused = {
        f"{module}: {name}" for module, names in _ALLOWED.items() for name in names - set(reads(modules()[module]))
    }
    assert not unused


def test_the_judge_sees_every_kind_of_reading(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(
        "Path(x).read_bytes()\nx.read_text('utf-8')\nnp.load(x)\nonnx.load(x)\nImage.open(x)\ntorch.load(x)\nopen(x)\n"
        "x.open()\nx.open('rb')\nx.open(mode='r')\n"
        "read_bytes(x, at_most=1)\nx.open('wb')\nruntime.open(model)\nx.read()\n"
    )
    assert list(reads(file)) == [
        *("read_bytes", "read_text", "np.load", "onnx.load", "Image.open", "torch.load", "open", "open", "open", "open")
    ]
    assert ROOT.is_dir()
