from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export.runtimes.mnn import _choice
from prunnet_export.runtimes.mnn._choice import CLEAR_GAIN, choose_fastest, layers_faster_sparse
from prunnet_export.runtimes.mnn._file import Layer

NAMES = ("a", "b", "c")
TIMES = st.dictionaries(st.sampled_from([*NAMES, "d"]), st.floats(0.01, 10))


class Imagined:
    """Variants of a network whose layers take the times that they are given, a file each that says which are sparse."""

    def __init__(self, dense: Mapping[str, float], sparse: Mapping[str, float]) -> None:
        self.times = {False: dense, True: sparse}
        self.asked: list[str] = []

    def dense(self) -> bytes:
        return b""

    def sparse(self, kept_dense: Sequence[Layer] = ()) -> bytes:
        kept = set(self.times[True]) - {layer.name for layer in kept_dense}
        return "".join(sorted(kept)).encode()

    def timed(self, file: Path) -> dict[str, float]:
        sparse = file.read_bytes().decode()
        self.asked.append(sparse)
        return {name: self.times[name in sparse][name] for name in self.times[False]}


@pytest.fixture(autouse=True)
def imagined_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    def layers(content: bytes) -> list[Layer]:
        return [Layer(name, np.zeros((1, 1, 1, 1), np.float32), 1) for name in content.decode()]

    monkeypatch.setattr(_choice, "layers", layers)


def test_layers_that_are_clearly_faster_are_named() -> None:
    dense = {"a": 1.0, "b": 1.0, "c": 1.0, "elsewhere": 1.0}
    sparse = {"a": 0.5, "b": 0.95, "c": 0.96, "elsewhere": 0.1}
    assert layers_faster_sparse(NAMES, dense, sparse) == {"a", "b"}


@pytest.mark.parametrize(("dense", "sparse"), [({}, {"a": 0.5}), ({"a": 1.0}, {})])
def test_a_layer_that_was_not_timed_both_ways_is_not_faster(dense: dict[str, float], sparse: dict[str, float]) -> None:
    assert layers_faster_sparse(["a"], dense, sparse) == set()


@given(TIMES, TIMES)
def test_no_layer_that_is_named_loses(dense: dict[str, float], sparse: dict[str, float]) -> None:
    named = layers_faster_sparse(NAMES, dense, sparse)
    assert named <= set(NAMES) & set(dense) & set(sparse)
    assert all(sparse[name] < dense[name] for name in named)


def test_what_loses_by_it_stays_dense() -> None:
    variants = Imagined({"a": 2.0, "b": 1.0, "c": 1.0}, {"a": 1.0, "b": 3.0, "c": 0.5})
    assert choose_fastest(variants, variants.timed) == b"ac"
    assert variants.asked == ["", "abc", "ac"]


def test_nothing_is_mixed_where_every_layer_gains() -> None:
    variants = Imagined({"a": 2.0, "b": 1.0}, {"a": 1.0, "b": 0.5})
    assert choose_fastest(variants, variants.timed) == b"ab"
    assert variants.asked == ["", "ab"]


def test_where_no_layer_gains_all_are_dense() -> None:
    variants = Imagined({"a": 2.0, "b": 1.0}, {"a": 2.0, "b": 1.5})
    assert choose_fastest(variants, variants.timed) == b""


def test_a_gain_of_the_whole_that_is_not_clear_is_none() -> None:
    variants = Imagined({"a": 1.0, "b": 99.0}, {"a": 0.1, "b": 99.0})
    assert choose_fastest(variants, variants.timed) == b""


def test_what_was_measured_decides_where_a_mixture_disappoints() -> None:
    variants = Imagined({"a": 2.0, "b": 1.0}, {"a": 0.5, "b": 1.0})

    def timed(file: Path) -> dict[str, float]:
        times = variants.timed(file)
        return {name: 3 * time for name, time in times.items()} if file.read_bytes() == b"a" else times

    assert choose_fastest(variants, timed) == b"ab"


def test_without_a_device_the_converter_decides() -> None:
    assert choose_fastest(Imagined({"a": 1.0}, {"a": 9.0}), None) == b"a"


def test_nothing_is_timed_where_nothing_can_be_sparse() -> None:
    variants = Imagined({"a": 1.0}, {})
    assert choose_fastest(variants, variants.timed) == b""
    assert variants.asked == []


@given(
    st.lists(st.tuples(st.floats(0.01, 10), st.floats(0.01, 10), st.booleans()), min_size=1, max_size=6),
)
def test_what_comes_out_is_never_slower_than_dense(layers: list[tuple[float, float, bool]]) -> None:
    dense = {chr(ord("a") + index): layer[0] for index, layer in enumerate(layers)}
    sparse = {chr(ord("a") + index): layer[1] for index, layer in enumerate(layers) if layer[2]}
    variants = Imagined(dense, sparse)
    chosen = choose_fastest(variants, variants.timed).decode()
    total = sum(variants.times[name in chosen][name] for name in dense)
    assert not chosen or total <= CLEAR_GAIN * sum(dense.values())
