from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._documents import check_nesting, decode_json, parse_json, read_json, read_toml
from prunnet_export._errors import InvalidInput
from prunnet_export._limits import NESTING
from tests._asserts import assert_one_line

_VALUES = st.recursive(
    st.none() | st.booleans() | st.text(alphabet='[]{}"\\\\ab') | st.integers(-9, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"\\\\'), inner, max_size=3),
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(_VALUES, st.integers(NESTING - 4, NESTING + 4))
def test_the_nesting_is_counted_outside_of_texts(value: Any, more: int) -> None:
    for _ in range(more):
        value = [value, "]["]
    document = json.dumps(value).encode()
    if depth(value) <= NESTING:
        assert parse_json(document) == value == decode_json(document, list)
    else:
        with pytest.raises(ValueError, match="nested more than"):
            check_nesting(document)
        with pytest.raises(msgspec.DecodeError, match="nested more than"):
            decode_json(document, list)


@pytest.mark.parametrize("document", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"", b"[1e", b'"\\'])
def test_what_is_no_json_is_a_value_error(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(document)
    with pytest.raises(msgspec.DecodeError):
        decode_json(document, dict)


def test_a_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"\xef\xbb\xbf[1]")
    assert parse_json(file.read_bytes()) == [1] == read_json(file, list, hint="")
    file.write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_toml(file, hint="") == {"a": 1}


@pytest.mark.parametrize(
    "content",
    [
        "a = " + "[" * 100_000,
        "a = " + "[" * 65 + "]" * 65,
        ".".join("a" * 100_000) + " = 1",
        "[" + ".".join(["'a.b'"] * 66) + "]",
        "a = 1\na = 2",
        "\xff",
        "a = " + "9" * 5000,
    ],
)
def test_toml_that_is_too_deep_or_wrong_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(content.encode("latin1"))
    with pytest.raises(InvalidInput, match="cannot be read") as caught:
        read_toml(file, hint="correct it")
    assert_one_line(caught.value)


def test_toml_with_many_dots_and_brackets_that_do_not_nest_is_read(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    lines = [f"k{i} = [1.5, 2.5, \"{'[.' * 70}\", '{'.[' * 70}'] # {'[.' * 70}" for i in range(100)]
    file.write_text("\n".join(lines))
    assert len(read_toml(file, hint="")) == 100
