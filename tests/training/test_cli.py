"""``prunnet-train`` as users run it: a process, its exit code, and what it says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from prunnet_export._files import sha256
from prunnet_export.network import load_checkpoint
from prunnet_export.training.cli import command, main
from tests._asserts import assert_same_tensors
from tests._cli import Ran, call, signals_kept
from tests._inputs import tiny_resnet, write_folder

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from prunnet_export.training.cli import main; main()"]
TINY = [
    "--backbone-option", "channels=8,16,24,32", "--embedding-dim", "8", "--crop-px", "16", "--batch-size", "6",
    "--capacities", "0.6,0.3", "--channel-multiple", "4", "--learning-rate", "0.05",
]  # fmt: skip
Process = subprocess.CompletedProcess[str]


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "NO_COLOR": "1"}


def prunnet_train(*arguments: str | Path, cwd: Path, **variables: str) -> Process:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd, env={**environment(), **variables}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def assert_error(process: Process, message: str, hint: str = "", code: int = 2) -> None:
    """The documented exit code, one error line, one hint line, nothing on stdout, no traceback."""
    lines = process.stderr.strip().splitlines()
    assert process.returncode == code, process.stderr
    assert [line.split(":")[0] for line in lines] == ["error", "hint"], process.stderr
    assert message in lines[0]
    assert hint in lines[1]
    assert process.stdout == ""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data") / "shop")


def test_trains_and_names_the_next_command(data: Path, tmp_path: Path) -> None:
    process = prunnet_train(data, *TINY, "--epochs", "1", "--half-precision-checkpoint", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    first, second = process.stdout.splitlines()
    assert first == "network: runs/shop"
    assert second.startswith("next:    prunnet-export --network runs/shop ")
    config = load_checkpoint(tmp_path / "runs" / "shop").config
    assert config.data is not None
    assert config.data.source == str(data)
    assert_error(prunnet_train(data, *TINY, "--epochs", "1", cwd=tmp_path), "already holds a run", "--resume")


def test_starts_from_weights_and_is_resumed_without_their_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, name in ((7, "weights.pth"), (8, "other.pth")):
        torch.save({"state_dict": tiny_resnet(seed=seed).embedder.backbone.state_dict()}, name)
    digest = sha256(Path("weights.pth"))

    def trained(*more: str) -> Ran:
        images = ("--mean", "0.5,0.5,0.5", "--std", "0.25,0.5,0.75")
        return call(capfd, command, {}, data, *TINY, "--epochs", "1", *images, "--out", "run", *more)

    assert trained("--weights", "weights.pth").code == 0
    config = load_checkpoint(Path("run")).config
    assert config.training["weights_sha256"] == digest
    assert (config.preprocessing.mean, config.preprocessing.std) == ((0.5, 0.5, 0.5), (0.25, 0.5, 0.75))
    refused = trained("--resume", "--weights", "other.pth")
    assert refused.code == 2
    assert f"was started with weights_sha256 = {digest}, not " in refused.err
    Path("weights.pth").unlink()
    assert trained("--resume").code == 0


def test_a_run_is_resumed_with_the_optimization_that_it_began_with(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def trained(*more: str) -> Ran:
        return call(capfd, command, {}, data, *TINY[:-2], "--epochs", "1", "--out", "run", *more)

    assert trained("--schedule", "step", "--optimizer", "adamw", "--weight-decay", "0.01").code == 0
    assert trained("--resume").code == 0
    refused = trained("--resume", "--weight-decay", "0.02")
    assert refused.code == 2
    assert "was started with weight_decay = 0.01, not 0.02" in refused.err
    training = json.loads(Path("run/recipe.json").read_text())
    assert training["optimizer"] == "adamw"
    assert training["learning_rate"] == 0.004  # that of adamw
    assert training["schedule"] == "step"


def test_an_interrupted_run_goes_on(data: Path, tmp_path: Path) -> None:
    options: list[str | Path] = [data, *TINY, "--epochs", "6", "--out"]
    process = subprocess.Popen(
        [*COMMAND, *map(str, options), "cut"],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    metrics = tmp_path / "cut" / "metrics.jsonl"
    deadline = time.monotonic() + 100
    while not (metrics.exists() and metrics.read_bytes()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert_error(Process([], process.returncode, out, err), "interrupted", "--resume", code=130)
    assert not (tmp_path / "cut" / "config.json").exists()

    assert prunnet_train(*options, "cut", "--resume", cwd=tmp_path).returncode == 0
    assert prunnet_train(*options, "whole", cwd=tmp_path).returncode == 0
    cut, whole = (load_checkpoint(tmp_path / name).network.state_dict() for name in ("cut", "whole"))
    assert_same_tensors(cut, whole)


@pytest.mark.parametrize(
    "usage",
    [
        ([], "Missing argument 'DATA'", "prunnet-train --help"),
        (["{data}", "--epochs", "0"], "--epochs", "--help"),
        (["{data}", "--batch-size", "1000"], "do not fill", "batch"),
        (["{data}", "--capacities", "0.5;0.2"], "no list of numbers", "0.8,0.6"),
        (["{data}", "--capacities", "1.5"], "capacity 1.5 is out of range", "0 < c <= 1"),
        (["{data}", "--pattern", "chanel"], "unknown pattern 'chanel'", "did you mean 'channel'"),
        (["{data}", "--backbone", "resnet19"], "unknown backbone 'resnet19'", "did you mean"),
        (["{data}", "--backbone-option", "channels"], "not NAME=VALUE", "channels=16"),
        (["{data}", "--backbone-option", "pretrained=true"], "'pretrained' is not allowed", "checkpoint"),
        (["{data}", "--resize-px", "8"], "crops 16 pixels out of 8", "crop <= resize"),
        (["{data}", "--layout", "in-shopp"], "unknown data layout", "did you mean"),
        (["{data}", "--accumulate", "4"], "batch of 6 images cannot be divided", "a multiple of 4, at least 8"),
        (["{data}", "--seed", "4294967296"], "--seed", "--help"),
        (["{data}", "--device", "abacus"], "'abacus' cannot be used", "auto"),
        (["{data}", "--out", "{data}/train/class-2/0.png"], "is a file", ""),
        (["{data}/query/class-0"], "has no labels to train with", "folder per class"),
        ([str(Path(__file__).parent / "data")], "known layouts", "--layout"),
        (["no-such-folder"], "does not exist", "glyphs"),
        (["{data}", "--weights", "nowhere.pth"], "cannot read nowhere.pth", "path"),
        (["{data}", "--weights", "{data}/train/class-2/0.png"], "neither a safetensors file", "truncated"),
        (["{data}", "--mean", "0.5"], "--mean '0.5' is not three numbers", "255"),
        (["{data}", "--mean", "123.7,116.3,103.5"], "is not three numbers between 0 and 1", "divide"),
        (["{data}", "--std", "0.5,nan,0.5"], "--std '0.5,nan,0.5' is not three numbers", "255"),
        (["{data}", "--std", "0,1,1"], "divides by std", "positive"),
    ],
)  # fmt: skip
def test_bad_usage(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    usage: tuple[list[str], str, str],
) -> None:
    arguments, message, hint = usage
    filled = [argument.format(data=data) for argument in arguments]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["prunnet-train", *filled[:1], *(TINY if filled else []), *filled[1:]])
    with signals_kept(), pytest.raises(SystemExit) as exited:  # in this process, for speed
        main()
    assert isinstance(exited.value.code, int)
    assert_error(Process([], exited.value.code, *capfd.readouterr()), message, hint)
    assert not list(tmp_path.iterdir())


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "shop")
    broken = data / "train" / "class-3" / "7.png"
    broken.write_bytes(broken.read_bytes()[:60])
    process = prunnet_train(data, *TINY, "--batch-size", "12", "--epochs", "1", cwd=tmp_path)
    assert_error(process, str(broken))


def test_help_is_on_stdout_and_loads_no_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')\n")
    process = prunnet_train("--help", cwd=tmp_path)
    assert process.returncode == 0
    assert "--capacities" in process.stdout
    assert process.stderr == ""


def test_a_group_without_ranks_is_told(tmp_path: Path) -> None:
    process = prunnet_train("glyphs", cwd=tmp_path, WORLD_SIZE="2")
    assert_error(process, "does not say which of the processes this is", "torchrun")
    assert "--capacities" in prunnet_train("--help", cwd=tmp_path, WORLD_SIZE="2").stdout


def test_the_folder_that_one_stands_in(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "shop")
    process = prunnet_train(".", *TINY, "--epochs", "1", cwd=data)
    assert process.stdout.startswith("network: runs/shop\n")
    assert (data / "runs" / "shop" / "network.safetensors").is_file()


def test_paths_that_are_not_utf8(data: Path, tmp_path: Path) -> None:
    images = shutil.copytree(data, tmp_path / "shop\udce9")
    for resume in ([], ["--resume"]):
        process = prunnet_train(images, *TINY, "--epochs", "1", "--out", "run", *resume, cwd=tmp_path)
        assert process.returncode == 0, process.stderr
    config = load_checkpoint(tmp_path / "run").config
    assert config.data is not None
    assert config.data.place == str(images)
    assert_error(
        prunnet_train(tmp_path / "none\udce9", *TINY, "--epochs", "1", cwd=tmp_path), r"none\xe9' does not exist"
    )
