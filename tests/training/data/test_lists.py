from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export.training.data._lists import find_image, integer, number_classes, read_lines, read_rows
from tests._asserts import assert_one_line


@given(st.lists(st.integers(-5, 5), max_size=20))
def test_numbered_keeps_the_order_and_leaves_no_gap(classes: list[int]) -> None:
    labels = number_classes(classes).tolist()
    assert sorted(set(labels)) == list(range(len(set(classes))))
    for one, label in zip(classes, labels, strict=True):
        assert label == len({other for other in classes if other < one})


@given(st.integers(-(10**18) + 1, 10**18 - 1))
def test_integers_are_read(value: int) -> None:
    assert integer("x:1", str(value), "class") == value


@pytest.mark.parametrize("text", ["", "-", "1.0", "٣", "0x1", "1e3", "+1", "--1", "9" * 19, "9" * 5000])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"x:1: .* is no class") as caught:
        integer("x:1", text, "class")
    assert_one_line(caught.value)


def test_lines_of_windows_and_blank_ends(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a 1\r\nb 2\r\n\r\n")
    assert [fields for _, fields in read_rows(tmp_path / "x", ("path", "label"))] == [["a", "1"], ["b", "2"]]


def test_bytes_that_are_no_text_are_named_by_their_line(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a\nb\n\xff\n")
    with pytest.raises(InvalidInput, match="x:3: not UTF-8"):
        read_lines(tmp_path / "x")
    with pytest.raises(StorageError, match="y: cannot be read"):
        read_lines(tmp_path / "y")


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a\0b"])
def test_nothing_is_looked_for_outside(name: str, tmp_path: Path) -> None:
    (tmp_path.parent / "x").touch()
    with pytest.raises(InvalidInput, match=r"x:1: .*outside") as caught:
        find_image("x:1", name, [tmp_path])
    assert_one_line(caught.value)


def test_the_mark_of_a_windows_editor_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfa 1\n")
    assert read_lines(tmp_path / "x") == ["a 1"]
    (tmp_path / "y").write_bytes(b"\xef\xbb\xbfa\n\xff")
    with pytest.raises(InvalidInput, match="y:2: not UTF-8"):
        read_lines(tmp_path / "y")


@pytest.mark.parametrize(("stored", "listed"), [("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9")])
def test_an_accent_in_the_other_unicode_form_is_found(stored: str, listed: str, tmp_path: Path) -> None:
    (tmp_path / stored).touch()
    assert find_image("x:1", listed, [tmp_path / "none", tmp_path]).samefile(tmp_path / stored)
