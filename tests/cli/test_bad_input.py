from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save
from torch import Tensor

from prunnet_export._lock import FolderLock
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.cli._command import command as export
from prunnet_export.network_config import CONFIG_FILE, WEIGHTS_FILE
from tests._cli import SECONDS, Ran, assert_error, call, command_file, shell, tree

Environment = dict[str, str]
Run = Callable[..., Ran]
TARGET, BUDGET = "--target=x86-onnxruntime", "--budget-ms=1000"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A read-only folder."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture
def sound(tiny_network: Path, tiny_data: Path) -> list[str]:
    """Valid arguments of an export."""
    return [TARGET, BUDGET, "--network", str(tiny_network), "--data", str(tiny_data)]


@pytest.fixture
def run(sound: list[str], environment: Environment, place: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """An export with valid arguments, and then others that replace them."""

    def run_it(*args: str | Path, alone: bool = False) -> Ran:
        given = [] if alone else sound
        return call(capfd, export, environment, *given, "--out", place / "out", *args)

    return run_it


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((TARGET, BUDGET, "--nonsense"), "--nonsense"),
        ((BUDGET,), "no target is given"),
        ((TARGET,), "no budget is given"),
        (("--target=x86-onnxrutime", BUDGET), "did you mean 'x86-onnxruntime'?"),
        (("--target=toaster", BUDGET), "known: android, "),
        ((TARGET, "--budget-ms=0"), "--budget-ms 0 is out of range"),
        ((TARGET, "--budget-ms=-5"), "--budget-ms -5 is out of range"),
        ((TARGET, "--budget-ms=nan"), "--budget-ms nan is out of range"),
        ((TARGET, "--budget-ms=inf"), "--budget-ms inf is out of range"),
        ((TARGET, "--budget-ms=soon"), "--budget-ms"),
        ((TARGET, "--budget-mb=0"), "--budget-mb 0 is out of range"),
        ((TARGET, "--budget-ram-mb=-inf"), "--budget-ram-mb -inf is out of range"),
        *(((TARGET, BUDGET, f"--at={at}"), repr(at)) for at in ("p0", "p100", "90", "p", "pnan", "p-1", "", "p90 ")),
        ((TARGET, BUDGET, "--device=mars"), "unknown device 'mars'"),
        ((TARGET, BUDGET, "--precision=fp3"), "unknown precision 'fp3'"),
        ((TARGET, BUDGET, "--pattern=chanel"), "did you mean 'channel'?"),
        ((TARGET, BUDGET, "--select=luck"), "--select"),
        ((TARGET, BUDGET, "--threads=0"), "--threads"),
        ((TARGET, BUDGET, "--channel-multiple=0"), "--channel-multiple"),
        ((TARGET, BUDGET, "--max-queries=1"), "--max-queries"),
        ((TARGET, BUDGET, "--min-recall=3"), "--min-recall"),
        ((TARGET, BUDGET, "--min-recall=nan"), "recall asks for nan"),
        ((TARGET, BUDGET, "--output-format=yaml"), "--output-format"),
        ((TARGET, BUDGET, "stray"), "stray"),
        (("--list-targets", "--output-format=yaml"), "--output-format"),
    ],
    ids=str,
)
def test_usage(args: tuple[str, ...], told: str, run: Run, place: Path) -> None:
    ran = run(*args, alone=True)
    assert_error(ran, 2)
    assert told in ran.err
    assert not tree(place)


BLOCKED = """
import importlib, sys

blocked, module, sys.argv = sys.argv[1], sys.argv[2], ["prunnet", *sys.argv[3:]]

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Blocker())
importlib.import_module(module).main()
"""


@pytest.mark.parametrize(
    ("module", "target", "extra"),
    [
        ("onnxruntime", "x86-onnxruntime", "onnxruntime"),
        ("openvino", "x86-openvino", "openvino"),
        ("torch", "x86-onnxruntime", "host"),
    ],
)
def test_a_missing_extra(module: str, target: str, extra: str, environment: Environment, place: Path) -> None:
    words = [f"--target={target}", BUDGET, f"--out={place / 'out'}"]
    ran = shell(environment, sys.executable, "-c", BLOCKED, module, "prunnet_export.cli", *words)
    assert_error(ran, 2)
    assert f"{module} is not installed" in ran.err
    assert f"pip install 'prunnet-export[{extra}]'" in ran.err
    assert not tree(place)


@pytest.mark.parametrize(
    ("command", "words", "extra"),
    [
        ("training.cli", ["glyphs"], "train"),
        ("benchmarks.cli", ["calibrate", "--target=x86-onnxruntime"], "host"),
        ("benchmarks.cli", ["compat"], "host"),
        ("benchmarks.cli", ["gallery", "--out=g.npz"], "host"),
    ],
)
def test_other_commands_without_torch(
    command: str, words: list[str], extra: str, environment: Environment, place: Path
) -> None:
    ran = shell(environment, sys.executable, "-c", BLOCKED, "torch", f"prunnet_export.{command}", *words, cwd=place)
    assert_error(ran, 2)
    assert "torch is not installed" in ran.err
    assert f"pip install 'prunnet-export[{extra}]'" in ran.err
    assert not tree(place)


@pytest.mark.parametrize("option", ["--doctor", "--list-targets", "--version"])
def test_a_device_without_torch_can_be_asked(option: str, environment: Environment) -> None:
    ran = shell(environment, sys.executable, "-c", BLOCKED, "torch", "prunnet_export.cli", option)
    assert (ran.code, ran.err) == (0, "")


def _rewrite(file: Path, change: Callable[[bytes], bytes]) -> None:
    file.write_bytes(change(file.read_bytes()))


def _weights(network: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Change tensors and update the hash, so that the check of the tensors is reached."""
    import hashlib

    tensors = load_file(network / WEIGHTS_FILE)
    change(tensors)
    raw = save(tensors)
    (network / WEIGHTS_FILE).write_bytes(raw)
    config = json.loads((network / CONFIG_FILE).read_text())
    config["weights_sha256"] = hashlib.sha256(raw).hexdigest()
    (network / CONFIG_FILE).write_text(json.dumps(config))


def _nan(tensors: dict[str, Tensor]) -> None:
    next(tensor for tensor in tensors.values() if tensor.is_floating_point()).view(-1)[0] = float("nan")


def _config(network: Path, **changed: object) -> None:
    config = json.loads((network / CONFIG_FILE).read_text())
    (network / CONFIG_FILE).write_text(json.dumps({**config, **changed}))


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


NETWORKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (shutil.rmtree, "config.json is missing"),
    "empty": (_emptied, "config.json is missing"),
    "no weights": (lambda network: (network / WEIGHTS_FILE).unlink(), WEIGHTS_FILE),
    "truncated weights": (lambda network: _rewrite(network / WEIGHTS_FILE, lambda raw: raw[:-100]), "sha256"),
    "flipped weights": (lambda network: _rewrite(network / WEIGHTS_FILE, lambda raw: raw[:-1] + b"\x01"), "sha256"),
    "truncated config": (lambda network: _rewrite(network / CONFIG_FILE, lambda raw: raw[:50]), CONFIG_FILE),
    "foreign config": (lambda network: (network / CONFIG_FILE).write_text('{"model": "bert"}'), CONFIG_FILE),
    "binary config": (lambda network: (network / CONFIG_FILE).write_bytes(b"\xff\xfe\x00"), CONFIG_FILE),
    "newer config": (lambda network: _config(network, version=2), "version"),
    "unknown backbone": (lambda network: _config(network, backbone="resnet_of_doom"), "resnet_of_doom"),
    "another backbone": (lambda network: _config(network, backbone="resnet34"), "another backbone"),
    "NaN weights": (lambda network: _weights(network, _nan), "NaN"),
    "a missing tensor": (lambda network: _weights(network, lambda tensors: tensors.popitem()), "is missing"),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_networks(kind: str, run: Run, tiny_network: Path, tmp_path: Path, place: Path) -> None:
    network = tmp_path / "network"
    shutil.copytree(tiny_network, network)
    spoil, told = NETWORKS[kind]
    spoil(network)
    ran = run("--network", network)
    assert_error(ran, 2)
    assert told in ran.err
    assert not tree(place)


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


GALLERIES = {
    "garbage": (b"garbage", "is no file of vectors"),
    "another network": (
        npz(embeddings=np.ones((4, 16), np.float32), network=np.array("b" * 64)),
        "was made by network",
    ),
    "another dimension": (npz(embeddings=np.ones((4, 8), np.float32)), "length 8"),
    "NaN": (npz(embeddings=np.full((4, 16), np.nan, np.float32)), "vector 0"),
    "no embeddings": (npz(rows=np.ones((4, 16), np.float32)), "embeddings"),
}


@pytest.mark.parametrize("kind", [*GALLERIES, "missing"])
def test_galleries(kind: str, run: Run, tmp_path: Path, place: Path) -> None:
    content, told = GALLERIES.get(kind, (None, "cannot read"))
    file = tmp_path / "gallery.npz"
    if content is not None:
        file.write_bytes(content)
    ran = run("--gallery", file)
    assert_error(ran, 2)
    assert told in ran.err
    assert not tree(place)


def _images(data: Path, split: str) -> list[Path]:
    return sorted((data / split).rglob("*.png"))


def _corrupt(data: Path, split: str) -> None:
    file = _images(data, split)[0]
    file.write_bytes(file.read_bytes()[:40])


def _only_one_query(data: Path) -> None:
    for folder in sorted((data / "query").iterdir())[1:]:
        shutil.rmtree(folder)


def _no_common_class(data: Path) -> None:
    for index, folder in enumerate(sorted((data / "gallery").iterdir())):
        folder.rename(folder.with_name(f"other-{index}"))


DATA: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (shutil.rmtree, "does not exist"),
    "empty": (_emptied, "none of the known layouts"),
    "empty query": (lambda data: _emptied(data / "query"), "no class"),
    "an empty class": (lambda data: (data / "train" / "void").mkdir(), "void"),
    "a single query": (_only_one_query, "1 query image"),
    "no common class": (_no_common_class, "gallery"),
    "a corrupt query": (lambda data: _corrupt(data, "query"), "not a readable image"),
    "a corrupt gallery image": (lambda data: _corrupt(data, "gallery"), "not a readable image"),
    "a corrupt train image": (lambda data: _corrupt(data, "train"), "not a readable image"),
    "a text file as image": (lambda data: _images(data, "gallery")[0].write_text("hello"), "not a readable image"),
}


@pytest.mark.parametrize("kind", DATA)
def test_data_sets(kind: str, run: Run, tiny_data: Path, tmp_path: Path, place: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    spoil, told = DATA[kind]
    spoil(data)
    # Only a cut subnetwork needs train images, so the budget excludes the dense network.
    ran = run("--data", data, "--budget-mb=0.1", "--precision=fp32")
    assert_error(ran, 2)
    assert told in ran.err
    assert not tree(place)


@pytest.mark.parametrize("option", ["--network", "--out"])
def test_links_in_a_circle(option: str, run: Run, place: Path) -> None:
    loop = place / "loop"
    loop.symlink_to("loop")
    ran = run(option, loop)
    assert_error(ran, 2)
    assert f"cannot use {loop}: Too many levels of symbolic links" in ran.err
    assert tree(place) == ["loop"]


def test_an_unknown_layout(run: Run, place: Path) -> None:
    ran = run("--layout=foldr")
    assert_error(ran, 2)
    assert "did you mean 'folder'?" in ran.err
    assert not tree(place)


@pytest.mark.parametrize(
    "settings", ["not toml [", "[tool.prunnet-export]\nnetwrk = 'x'\n", "[tool.prunnet-export]\nnetwork = 3\n"]
)
def test_settings(settings: str, place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "pyproject.toml").write_text(settings)
    monkeypatch.chdir(place)
    ran = run(TARGET, BUDGET, alone=True)
    assert_error(ran, 2)
    assert "pyproject.toml" in ran.err
    assert tree(place) == ["pyproject.toml"]


@pytest.mark.parametrize("where", ["file", "file/out", "file/a/b"])
def test_an_out_below_a_file(where: str, run: Run, place: Path) -> None:
    (place / "file").write_bytes(b"mine")
    ran = run("--out", place / where)
    assert_error(ran, 2)
    assert tree(place) == ["file"]


def test_an_out_that_belongs_to_somebody_else(run: Run, place: Path) -> None:
    (place / "out").mkdir()
    (place / "out" / "thesis.tex").write_text("years of work")
    ran = run()
    assert_error(ran, 2)
    assert tree(place) == ["out", "out/thesis.tex"]


@pytest.mark.parametrize("where", ["/proc/nothing/out", "/sys/out", "/dev/null/out"])
def test_an_out_where_nobody_can_write(where: str, run: Run) -> None:
    ran = run("--out", where)
    assert_error(ran, 2)
    assert where.split("/")[1] in ran.err


def test_two_exports_into_one_folder(run: Run, place: Path) -> None:
    lock = FolderLock(place / "out")
    lock.acquire()
    try:
        ran = run()
    finally:
        lock.close()
    assert_error(ran, 2)
    assert "another process writes to" in ran.err
    assert not tree(place)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_the_middle(
    number: int, sound: list[str], place: Path, tmp_path: Path, environment: Environment
) -> None:
    words = [*sound, "--out", str(place / "out")]
    cache = {**environment, "PRUNNET_EXPORT_CACHE": str(tmp_path / "cache")}  # cold: the build takes a while
    with subprocess.Popen(
        [command_file("prunnet-export"), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=cache
    ) as running:
        end = time.monotonic() + SECONDS
        while not any(".partial-" in name for name in tree(place)) and time.monotonic() < end:
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(number)
        out, err = running.communicate(timeout=SECONDS)
    assert_error(Ran(running.returncode, out, err.removeprefix("\n")), 130)  # click prints a line feed after ^C
    assert not tree(place)
    assert not [name for name in tree(tmp_path / "cache") if "partial" in name]


MANIFESTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing folder": (shutil.rmtree, "no such folder"),
    "missing": (lambda folder: (folder / "manifest.json").unlink(), "manifest.json"),
    "truncated": (lambda folder: _rewrite(folder / "manifest.json", lambda raw: raw[:200]), "manifest"),
    "foreign": (lambda folder: (folder / "manifest.json").write_text('{"name": "web app"}'), "manifest"),
    "newer": (
        lambda folder: _rewrite(folder / "manifest.json", lambda raw: raw.replace(b'"version": 3', b'"version": 9', 1)),
        "version",
    ),
    "outside": (
        lambda folder: _rewrite(folder / "manifest.json", lambda raw: raw.replace(b'"model.onnx"', b'"../model.onnx"')),
        "manifest",
    ),
    "no model": (lambda folder: (folder / "model.onnx").unlink(), "model.onnx"),
    "no reference": (lambda _folder: None, "verification.npz is missing"),
    "unknown runtime": (
        lambda folder: _rewrite(
            folder / "manifest.json", lambda raw: raw.replace(b'"name": "onnxruntime"', b'"name": "onnxruntme"')
        ),
        "did you mean 'onnxruntime'?",
    ),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_artifacts(
    kind: str, make_artifact: Callable[..., Path], environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = make_artifact()
    spoil, told = MANIFESTS[kind]
    spoil(folder)
    ran = call(capfd, bench, environment, "check", folder)
    assert_error(ran, 2)
    assert told in ran.err


def test_a_command_that_nobody_knows(environment: Environment, capfd: pytest.CaptureFixture[str]) -> None:
    assert_error(call(capfd, bench, environment, "checkk"), 2)
    assert_error(call(capfd, bench, environment), 2)


def test_a_closed_pipe_is_no_error(environment: Environment) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [command_file("prunnet-export"), "--doctor"],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        env=environment,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_image_that_is_huge_is_an_error_and_no_bomb(run: Run, tiny_data: Path, tmp_path: Path, place: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    Image.new("1", (20_000, 20_000)).save(_images(data, "gallery")[0])
    ran = run("--data", data)
    assert_error(ran, 2)
    assert "not a readable image" in ran.err
    assert not tree(place)
