"""Reading a file of weights: what it may hold, which entry is taken, and that nothing in it is executed."""

from __future__ import annotations

import argparse
import logging
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput
from prunnet_export.network._weights_file import _CONTAINERS, _named_tensors, read_weights
from tests._asserts import assert_one_line, assert_same_tensors

NAMED = {"b.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2, dtype=torch.float16)}


class Bomb:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.file,)


def assert_refused(file: Path, match: str) -> InvalidInput:
    with pytest.raises(InvalidInput, match=match) as raised:
        read_weights(file)
    assert_one_line(raised.value)
    assert str(file) in raised.value.message
    return raised.value


@pytest.mark.parametrize("name", ["weights.pth", "pytorch_model.bin", "last.ckpt", "no-suffix"])
@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves_is_read_whatever_its_name(tmp_path: Path, name: str, zipped: bool) -> None:
    torch.save(NAMED, tmp_path / name, _use_new_zipfile_serialization=zipped)
    assert_same_tensors(read_weights(tmp_path / name), NAMED)


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin"])
def test_safetensors_are_read_whatever_their_name(tmp_path: Path, name: str) -> None:
    safetensors.torch.save_file(NAMED, tmp_path / name)
    assert_same_tensors(read_weights(tmp_path / name), NAMED)


def test_the_order_is_that_of_the_file(tmp_path: Path) -> None:
    torch.save(NAMED, tmp_path / "weights.pth")
    assert list(read_weights(tmp_path / "weights.pth")) == list(NAMED)


@pytest.mark.parametrize(
    ("entry", "other"),
    [
        ("state_dict", None),
        ("model", None),
        ("module", None),
        ("model_state_dict", None),
        ("student", None),
        ("state_dict_ema", "state_dict"),
        ("model_ema", "model"),
        ("ema_model", "model"),
        ("ema_model_state_dict", "model_state_dict"),
        ("params_ema", "params"),
        ("params", None),
        ("ema", "model_state_dict"),
        ("teacher", "student"),
    ],
)
def test_the_entry_with_the_weights_is_taken_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, entry: str, other: str | None
) -> None:
    content: dict[str, object] = {"epoch": 3, "optimizer": {"state": {0: {"momentum": torch.zeros(2)}}}}
    if other is not None:
        content[other] = {"b.weight": torch.zeros(2, 3)}
    torch.save({**content, entry: NAMED}, tmp_path / "last.ckpt")
    with caplog.at_level(logging.INFO):
        assert_same_tensors(read_weights(tmp_path / "last.ckpt"), NAMED)
    assert f"its entry {entry}" in caplog.text


def test_an_average_that_was_not_kept_is_passed_over(tmp_path: Path) -> None:
    torch.save({"state_dict": NAMED, "state_dict_ema": None, "ema": {}}, tmp_path / "last.ckpt")
    assert_same_tensors(read_weights(tmp_path / "last.ckpt"), NAMED)


def test_entries_may_be_nested(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save({"model": {"state_dict": NAMED}}, tmp_path / "last.ckpt")
    with caplog.at_level(logging.INFO):
        assert_same_tensors(read_weights(tmp_path / "last.ckpt"), NAMED)
    assert "its entry model.state_dict" in caplog.text


def test_arguments_of_a_command_are_harmless(tmp_path: Path) -> None:
    torch.save({"state_dict": NAMED, "args": argparse.Namespace(lr=0.1)}, tmp_path / "last.ckpt")
    assert_same_tensors(read_weights(tmp_path / "last.ckpt"), NAMED)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_wants_to_execute_is_refused(tmp_path: Path, zipped: bool) -> None:
    content = {"state_dict": NAMED, "bomb": Bomb(tmp_path / "executed")}
    torch.save(content, tmp_path / "weights.pth", _use_new_zipfile_serialization=zipped)
    error = assert_refused(tmp_path / "weights.pth", r"asks to execute \S+, which is refused")
    assert "state_dict()" in error.hint
    assert not (tmp_path / "executed").exists()


def test_a_pickle_that_torch_did_not_write_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    for protocol, message in ((2, "asks to execute"), (4, "is a plain pickle, which is never executed")):
        file.write_bytes(pickle.dumps(Bomb(tmp_path / "executed"), protocol=protocol))
        assert "truncated" not in assert_refused(file, message).hint
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_plain_pickle_is_told_from_a_damaged_file(tmp_path: Path, protocol: int) -> None:
    file = tmp_path / "weights.pth"
    whole = pickle.dumps({"a": list(range(100))}, protocol=protocol)
    file.write_bytes(whole)
    assert "state_dict()" in assert_refused(file, "is a plain pickle, which is never executed").hint
    for damaged in (whole[:-5], whole + b"x"):
        file.write_bytes(damaged)
        assert "truncated" in assert_refused(file, "neither a safetensors file").hint


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model.pt")
    assert_refused(tmp_path / "model.pt", r"asks to execute torch\.nn\.modules\.linear\.Linear")


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning", "ignore:`torch.jit:DeprecationWarning")
def test_an_archive_of_torchscript_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "model.pt")
    assert_refused(tmp_path / "model.pt", "is a TorchScript archive")


@pytest.mark.parametrize("content", [b"", b"hello" * 10, b"PK\x03\x04" + bytes(60), bytes(8) + b"{" + bytes(20)])
def test_foreign_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    assert_refused(tmp_path / "weights.pth", "safetensors file")


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    safetensors.torch.save_file(NAMED, file) if "safe" in name else torch.save(NAMED, file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert_refused(file, "safetensors file")


@pytest.mark.parametrize(
    "content", [torch.zeros(3), {"epoch": 3}, [1, 2], {"model": {"names": ["a"]}}, {0: torch.zeros(1)}]
)
def test_a_file_without_named_tensors_is_refused(tmp_path: Path, content: Tensor | object) -> None:
    torch.save(content, tmp_path / "weights.pth")
    assert_refused(tmp_path / "weights.pth", "holds no named tensors")


def test_a_checkpoint_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[str, object] = {}
    content["model"] = content
    torch.save(content, tmp_path / "weights.pth")
    assert_refused(tmp_path / "weights.pth", "holds no named tensors")


def test_entries_that_hold_each_other_many_times_are_looked_through_once() -> None:
    class Counting(dict[str, object]):
        reads = 0

        def get(self, key: str, default: object = None) -> object:
            Counting.reads += 1
            return super().get(key, default)

    content = Counting()
    content.update(dict.fromkeys(_CONTAINERS, content))
    assert _named_tensors(content) == ({}, ())
    assert Counting.reads == len(_CONTAINERS)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert_refused(tmp_path / "nowhere.pth", "No such file")
    assert_refused(tmp_path, "Is a directory")
