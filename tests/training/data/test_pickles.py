"""Pickles: values come back, and nothing that they ask for is done."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput
from prunnet_export.training.data._pickles import array, read_pickle
from tests._asserts import assert_one_line
from tests.evaluating._hostile import Touch

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(value=plain, protocol=st.integers(0, 5))
def test_plain_values_come_back(tmp_path_factory: pytest.TempPathFactory, value: Any, protocol: int) -> None:
    file = tmp_path_factory.mktemp("pickles") / "x.pkl"
    file.write_bytes(pickle.dumps(value, protocol=protocol))
    assert read_pickle(file) == value


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize(
    "value",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0, dtype=np.float32).reshape(2, 3)),
        np.arange(300).astype(np.uint8),
        np.arange(3).astype(">i2"),
        np.array([True, False]),
        np.empty(0, np.int64),
    ],
    ids=repr,
)
def test_arrays_come_back(value: np.ndarray, protocol: int, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": value}, protocol=protocol))
    np.testing.assert_array_equal(array(read_pickle(tmp_path / "x.pkl")["a"], "a"), value)


def test_an_array_as_python_2_wrote_it(tmp_path: Path) -> None:
    # The official files are of 2009: byte strings without a type, and numpy's old places.
    old = (
        b"\x80\x02}q\x01U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85"
        b"U\x01b\x87Rq\x05(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff"
        b"\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x06\x01\x02\x80\xff\x00\x07tbs."
    )
    (tmp_path / "x").write_bytes(old)
    assert array(read_pickle(tmp_path / "x")["data"], "data").tolist() == [[1, 2, 128], [255, 0, 7]]


def test_numbers_of_numpy_in_a_list(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(pickle.dumps([np.int64(5), 6, np.float32(0.5)]))
    assert array(read_pickle(tmp_path / "x"), "x").tolist() == [5, 6, 0.5]


@pytest.mark.parametrize("protocol", range(6))
def test_what_it_asks_for_is_not_done(protocol: int, tmp_path: Path) -> None:
    mark, file = tmp_path / "executed", tmp_path / "x.pkl"
    content = pickle.dumps({"imlist": [Touch(mark)]}, protocol=protocol)
    pickle.loads(content)  # noqa: S301 - the attack works on who lets it
    assert mark.exists()
    mark.unlink()
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match="it names ") as caught:
        read_pickle(file)
    assert_one_line(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
        b"cbuiltins\ngetattr\n.",
        b"cnumpy\nload\n.",  # of the right package, and not the right name
        b"cnumpy\nndarray.tofile\n.",
        b"\x80\x02\x82\x01.",  # the extension registry
        b"Ppersistent\n.",
        b"(lp0\n" * 5000,
        pickle.dumps(list(range(100)))[:50],
    ],
    ids=repr,
)
def test_foreign_pickles_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        read_pickle(tmp_path / "x")
    assert_one_line(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"cnumpy\nndarray\n.",
        b"cnumpy\ndtype\n(S'i8'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(tR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(tR(I1\nI2\ntb.",
        # A terabyte that is announced and not there.
        b"cnumpy.core.multiarray\n_reconstruct\n(tR(I1\n(I1000000000000\ntcnumpy\ndtype\n(S'u1'\ntRI00\nS'x'\ntb.",
        # Objects, whose bytes would be addresses.
        b"cnumpy.core.multiarray\n_reconstruct\n(tR(I1\n(I1\ntcnumpy\ndtype\n(S'O8'\ntRI00\nS'12345678'\ntb.",
        b"cnumpy.core.multiarray\n_reconstruct\n(tR(I1\n(I1\ntcnumpy\ndtype\n(S'V8'\ntRI00\nS'12345678'\ntb.",
        b"cnumpy.core.multiarray\n_reconstruct\n(tR(I1\nI1\nI1\nI00\nI1\ntb.",
        b"(cnumpy.core.multiarray\nscalar\nl.",
        b"(cnumpy.core.multiarray\nscalar\n(tRl.",
        b"S'text'\n.",
        b"N.",
        b"(I01\nl.",
        # A number without bytes, and one that no number type holds.
        b"(cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'i8'\ntRS''\ntRl.",
        pickle.dumps([10**30]),
    ],
    ids=repr,
)
def test_arrays_that_are_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    value = read_pickle(tmp_path / "x")
    with pytest.raises(InvalidInput, match="here is no array of numbers") as caught:
        array(value, "here")
    assert_one_line(caught.value)


@settings(max_examples=150)
@given(st.data())
def test_damage_is_seen_or_harmless(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(pickle.dumps({"a": np.arange(5), "b": [1, 2, "x"]}, protocol=2))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.mktemp("damaged") / "x.pkl"
    file.write_bytes(content)
    try:
        value = read_pickle(file)
        if isinstance(value, dict):
            array(value.get("a"), "a")
    except InvalidInput as error:
        assert_one_line(error)
