"""An artifact does not say where, by whom and on which machine it was made, and keeps images at home if asked to."""

from __future__ import annotations

import getpass
import io
import json
import os
import platform
import socket
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prunnet_export import load
from prunnet_export.artifact import read_manifest
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.cli._command import command as export
from prunnet_export.training.cli import command as train
from tests._cli import CROP, Ran, assert_error, call, tree
from tests._inputs import write_folder
from tests.cli._traces import traces

USER, HOST, FOLDER = "quxulele", "brumselheim", "flimmerbild"
TEXTS = [USER, HOST, FOLDER]
Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder of a user, with a data set."""
    home = tmp_path_factory.mktemp("disk") / USER / FOLDER
    write_folder(home / "birds", side=CROP + 8)
    return home


@pytest.fixture
def run(
    home: Path, environment: dict[str, str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Runs a command in this process, as that user on a host of that name."""
    monkeypatch.setattr(getpass, "getuser", lambda: USER)
    monkeypatch.setattr(os, "getlogin", lambda: USER)
    monkeypatch.setattr(platform, "node", lambda: HOST)
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    temporary, cache = home / "tmp", home / "cache"
    temporary.mkdir(exist_ok=True)
    names = dict.fromkeys(("USER", "LOGNAME", "USERNAME"), USER) | dict.fromkeys(("HOSTNAME", "HOST"), HOST)
    own = {"HOME": str(home), "TMPDIR": str(temporary), "PRUNNET_EXPORT_CACHE": str(cache), **names}
    return lambda command, *words: call(capfd, command, {**environment, **own}, *words)


@pytest.fixture
def network(home: Path, run: Run) -> Path:
    """A run of ``prunnet-train`` in that home."""
    place = home / "runs" / "tiny"
    if not place.exists():
        sizes = [
            f"--crop-px={CROP}",
            f"--resize-px={CROP}",
            "--embedding-dim=16",
            "--batch-size=8",
            "--epochs=1",
            "--capacities=0.5",
        ]
        ran = run(train, home / "birds", "--backbone-option=channels=8,16,16,16", *sizes, f"--out={place}")
        assert ran.code == 0, ran.err
    return place


def exported(run: Run, network: Path, *words: str, code: int = 0) -> Path:
    """The folder of an export, which takes the data set from the network."""
    place = network.parent.parent / "dist" / "tiny"
    given = ["--min-recall=0", "--min-overlap=0", "--threads=1", f"--network={network}", f"--out={place}"]
    ran = run(export, *given, *words)
    assert ran.code == code, ran.err
    return place if code == 0 else place.with_name("tiny.rejected")


def test_the_search_finds_what_is_packed(tmp_path: Path) -> None:
    inner = io.BytesIO()
    np.savez_compressed(inner, a=np.array(f"user {USER}"))
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.npz", inner.getvalue())
    (tmp_path / "y.bin").write_bytes(b"??" + zlib.compress(HOST.encode()))
    (tmp_path / "z.txt").write_bytes(FOLDER.upper().encode("utf-16-le"))
    assert traces(tmp_path, TEXTS) == [f"x.npz: {USER}", f"y.bin: {HOST}", f"z.txt: {FOLDER}"]


def test_the_run_of_a_training_stays_at_home_and_knows_its_data(network: Path) -> None:
    assert traces(network, [FOLDER])  # else the tests below would prove nothing


MEASURED = ["--target=x86-onnxruntime", "--budget-ms=1000", "--precision=fp32"]
PREDICTED = ["--target=raspberry-pi-5", "--budget-ms=1000", "--pattern=channel", "--precision=fp32"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (MEASURED, 0),
        (["--target=x86-onnxruntime", "--budget-ms=0.0001", "--precision=fp32"], 1),
        (PREDICTED, 0),
    ],
    ids=["measured", "rejected", "predicted"],
)
def test_no_byte_tells_who_made_it(words: list[str], code: int, run: Run, network: Path) -> None:
    place = exported(run, network, *words, code=code)
    assert traces(place, TEXTS) == []
    manifest = read_manifest(place)
    assert manifest.verification.data == "folder birds"
    assert manifest.network.name == "tiny"
    assert bool(manifest.alternatives) == (words is PREDICTED)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["--target=x86-mnn"],
        ["--target=x86-openvino", "--precision=fp32"],
        ["--target=x86-openvino", "--precision=int8"],
        ["--target=jetson", "--precision=fp16"],
        ["--target=rtx", "--precision=fp16"],
        ["--target=iphone"],
        ["--target=android"],
        # A network of one epoch loses much in INT8, which does not matter here.
        ["--target=ethos-u55", "--min-parity=0.9"],
    ],
    ids=" ".join,
)
def test_no_byte_of_any_format_tells_who_made_it(words: list[str], run: Run, network: Path) -> None:
    assert traces(exported(run, network, *words, "--budget-ms=1000"), TEXTS) == []


def test_pixels_instead_of_files(run: Run, network: Path, home: Path) -> None:
    place = exported(run, network, *MEASURED, "--query-images=pixels")
    files = [file.read_bytes() for file in (home / "birds" / "query").rglob("*.png")]
    assert traces(place, TEXTS) == []
    packed = (place / "verification.npz").read_bytes()
    assert files
    assert not [one for one in files if one in packed]
    assert read_manifest(place).verification.gate("bytes to vector") is not None  # the export had the files
    ran = run(bench, place, "--output-format=json")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    names = {check["name"].partition(": ")[2] for check in report["checks"]}
    assert {"parity", "spread", "cross-test recall", "golden pair"} <= names
    assert "bytes to vector" not in names
    [skipped] = report["skipped"]
    assert skipped["name"] == "tiny: bytes to vector"
    assert "pixels" in skipped["message"]
    image = Image.new("RGB", (CROP, CROP), (200, 30, 40))
    assert load(place).embed([image]).shape == (1, 16)


def test_no_query_images_at_all(run: Run, network: Path) -> None:
    place = exported(run, network, *MEASURED, "--query-images=none")
    assert traces(place, TEXTS) == []
    assert "verification.npz" not in tree(place)
    assert read_manifest(place).verification.query_images == "none"
    ran = run(bench, place, "--output-format=json")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    names = {check["name"].partition(": ")[2] for check in report["checks"]}
    assert {"latency budget", "zeros kept", "weights shipped", "placement", "golden pair"} == names
    skipped = {one["name"].partition(": ")[2] for one in report["skipped"]}
    assert {"finite", "parity", "bytes to vector", "spread", "cross-test recall"} <= skipped
    assert report["artifacts"][0]["verification"]["cross_r1"] is None


def test_a_device_could_not_verify_its_choice_with_nothing(run: Run, network: Path) -> None:
    ran = run(export, *PREDICTED, f"--network={network}", "--query-images=none")
    assert_error(ran, 2)
    assert "give --query-images pixels" in ran.err
