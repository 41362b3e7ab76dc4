"""The whole command on tiny networks, with the real runtime. INT8 takes a minute, so most tests are without it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.benchmarks.methods.prunable import Prunable
from prunnet_export.benchmarks.peers import _command, _exported, _latency
from prunnet_export.benchmarks.peers._settings import PEERS as ALL
from prunnet_export.target import Target, find_target
from tests._cli import Ran, assert_error, call, tree

Environment = dict[str, str]
Peers = Callable[..., Ran]
SMALL = (
    "--backbone-option=channels=8,16,24,32", "--embedding-dim=8", "--crop-px=32", "--resize-px=32", "--batch-size=6",
    "--steps=2", "--learning-rate=0.05", "--channel-multiple=4", "--train-capacities=0.3",
    "--capacities=1,0.3", "--target=x86-onnxruntime", "--samples=20",
)  # fmt: skip
PEERS = ("channel", "magnitude", "aml")  # in the quick tests


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished comparison."""
    return tmp_path_factory.mktemp("peers") / "done"


@pytest.fixture
def peers(
    tiny_data: Path,
    environment: Environment,
    capfd: pytest.CaptureFixture[str],
    finished: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Peers]:
    """Runs the command on the tiny data set; the first run fills the folder that the others go on with."""
    quick = request.node.get_closest_marker("slow") is None

    def find(name: str) -> Target:
        return replace(find_target(name), precisions=("fp32",)) if quick else find_target(name)

    def run(*words: str, out: Path = finished) -> Ran:
        return call(capfd, bench, environment, "peers", "--data", tiny_data, "--out", out, *SMALL, *words)

    with patch.object(_command, "find_target", find), patch.object(_command, "PEERS", PEERS if quick else ALL):
        if quick and not finished.exists():
            ran = run("--output-format=json")
            assert ran.code == 0, ran.err
        yield run


def test_every_peer_is_exported_searched_with_and_measured(peers: Peers) -> None:
    ran = peers("--output-format=json")
    assert (ran.code, ran.err) == (0, "")
    document = json.loads(ran.out)
    [target] = document["targets"]
    assert (target["target"], target["source"], target["runtime"]) == ("x86-onnxruntime", "measured", "onnxruntime")
    assert [peer for peer, offers in target["peers"].items() if offers] == list(PEERS)
    assert {one["method"] for one in target["files"]} == set(PEERS)
    assert all(one["p50_ms"] > 0 and one["n"] >= 60 for one in target["files"])
    assert [(one["capacity"], one["precision"]) for one in target["peers"]["aml"]] == [(0.3, "fp32")]
    for budget in target["budgets"]:
        assert all(offer is None or offer["p50_ms"] <= 1.05 * budget["ms"] for offer in budget["offers"].values())
    # Tiny networks take about the same time, so which one takes longer is chance.
    assert {one["set_by"] for one in target["budgets"]} == {"100% fp32", "30% fp32"}
    assert target["budgets"] == sorted(target["budgets"], key=lambda budget: budget["ms"], reverse=True)
    # The exported fp32 file finds what the torch network found.
    for run in document["runs"]:
        [figures] = run["aligned"].values()
        by_torch = {one["capacity"]: one["cross_r1"] for one in figures}
        for offer in target["peers"][run["method"]]:
            assert offer["r1"] == [by_torch[offer["capacity"]]]


@pytest.mark.slow
def test_int8_and_two_targets(peers: Peers, tmp_path: Path) -> None:
    words = ("--target=x86-openvino", "--capacities=1,0.6,0.45,0.3", "--train-capacities=0.6,0.3", "--seeds=2")
    ran = peers("--output-format=json", *words, out=tmp_path / "int8")
    assert ran.code == 0, ran.err
    targets = json.loads(ran.out)["targets"]
    assert [one["target"] for one in targets] == ["x86-onnxruntime", "x86-openvino"]
    for target in targets:
        students = [(one["capacity"], one["precision"]) for one in target["peers"]["aml"]]
        assert students == [(0.6, "fp32"), (0.6, "int8"), (0.3, "fp32"), (0.3, "int8")]
        assert [(one["capacity"], one["precision"]) for one in target["peers"]["int8 alone"]] == [(1.0, "int8")]
        assert all(len(offer["r1"]) == 2 for offers in target["peers"].values() for offer in offers)
        assert [one["ms"] for one in target["budgets"]] == sorted(
            (one["ms"] for one in target["budgets"]), reverse=True
        )


def test_a_finished_comparison_makes_nothing_again(peers: Peers, finished: Path) -> None:
    before = {name: (finished / name).stat().st_mtime_ns for name in tree(finished)}
    with (
        patch.object(Prunable, "train", side_effect=AssertionError),
        patch.object(_exported.Exporter, "_compile", side_effect=AssertionError),
        patch.object(_latency, "measure_latency", side_effect=AssertionError),
    ):
        assert peers("--output-format=markdown").code == 0
    assert {name: (finished / name).stat().st_mtime_ns for name in tree(finished)} == before


def test_the_tables_need_neither_networks_nor_models(peers: Peers, finished: Path, tmp_path: Path) -> None:
    records = tmp_path / "records"
    records.mkdir()
    for file in finished.glob("*.json"):
        shutil.copy(file, records)
    ran = peers(out=records)
    assert ran.code == 0, ran.err
    assert ran.out == peers().out.replace(str(finished), str(records))


def test_a_folder_of_methods_has_no_networks(peers: Peers, finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "methods"
    folder.mkdir()
    for file in finished.glob("*-0.json"):
        if not file.name.startswith("exported"):
            shutil.copy(file, folder)
    shutil.copy(finished / "settings.json", folder)
    ran = peers(out=folder)
    assert_error(ran, 2)
    assert "channel-0.json was made without its networks" in ran.err


def test_an_interruption_keeps_what_is_finished(peers: Peers, finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "begun"
    shutil.copytree(finished, folder)
    [record] = folder.glob("exported-*-aml-0.json")
    before = json.loads(record.read_text())
    record.unlink()
    (folder / "latency-x86-onnxruntime.json").unlink()
    with patch.object(_latency, "measure_latency", side_effect=KeyboardInterrupt):
        ran = peers("--output-format=json", out=folder)
    assert_error(ran, 130, in_json=True)
    assert json.loads(record.read_text()) == before
    assert peers("--output-format=json", out=folder).code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--target=nothing",), "unknown target"),
        (("--student-capacities=0.5",), "no capacity has a network of every peer"),
        (("--capacities=2",), "capacity 2"),
    ],
)
def test_unusable_options(peers: Peers, tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    ran = peers(*words, out=tmp_path / "new")
    assert_error(ran, 2)
    assert told in ran.err
    assert not (tmp_path / "new").exists()
