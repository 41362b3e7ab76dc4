from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunnet_export import InvalidInput
from prunnet_export.vectors import Names, open_vectors
from tests.vectors._files import numbers

HERE = Path("list.txt")


@settings(max_examples=40)
@given(st.lists(st.text(min_size=1), unique=True, max_size=20), st.lists(st.text(), max_size=5))
def test_is_the_list_and_finds_rows(listed: list[str], others: list[str]) -> None:
    names = Names(listed, HERE)
    assert list(names) == listed == [names[row] for row in range(len(listed))] == names[:]
    wanted = others + listed[::-1]
    rows = [_row(listed, name) for name in wanted]
    assert names.find(wanted).tolist() == rows
    assert [name in names for name in wanted] == [row >= 0 for row in rows]


def _row(listed: list[str], name: str) -> int:
    spellings = [name, normalize("NFC", name), normalize("NFD", name)]
    return next((listed.index(one) for one in spellings if one in listed), -1)


def test_a_name_is_found_in_either_unicode_form() -> None:
    composed, decomposed = "caf\u00e9/1.jpg", "cafe\u0301/1.jpg"
    assert Names([composed, "b"], HERE).find([decomposed, "b", "c"]).tolist() == [0, 1, -1]
    assert Names([decomposed, "b"], HERE).find([composed]).tolist() == [0]
    assert Names([decomposed, composed], HERE).find([composed, decomposed]).tolist() == [1, 0]


def test_equal_hashes_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.hash", lambda _: 7)
    names = Names(["a", "b", "c"], HERE)
    assert names.find(["c", "a", "x"]).tolist() == [2, 0, -1]


def test_counts_from_the_end() -> None:
    names = Names(["a", "b", "c"], HERE)
    assert (names[-1], names[1:], names[::-1]) == ("c", ["b", "c"], ["c", "b", "a"])
    with pytest.raises(IndexError):
        names[3]


@pytest.mark.parametrize("ending", [".names.txt", ".txt", ".names.json", ".json"])
def test_a_list_beside_the_file_is_found(tmp_path: Path, ending: str) -> None:
    listed = ["a b.jpg", "ü.png", "c/d.jpg"]
    np.save(tmp_path / "g.npy", numbers(3))
    text = json.dumps(listed) if ending.endswith("json") else "\r\n".join(listed) + "\n"
    (tmp_path / f"g{ending}").write_text(text, "utf-8", newline="")
    names = open_vectors(tmp_path / "g.npy").names
    assert names is not None
    assert list(names) == listed


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("n.txt", "a\nb\n", "2 names for the 3 vectors"),
        ("n.txt", "a\nb\na\n", "1 name is there more than once, e.g. a 2 times"),
        ("n.txt", "a\n\nb\n", "name 1 is ''"),
        ("n.json", '{"a": 1}', "no list of names"),
        ("n.json", "[1, 2, 3]", "name 0 is 1"),
        ("n.json", "[", "no list of names"),
        ("n.json", "[" * 100_000, "no list of names"),
        ("n.txt", "\udcff", "no list of names"),
    ],
)
def test_lists_that_do_not_fit_are_refused(tmp_path: Path, file: str, text: str, message: str) -> None:
    np.save(tmp_path / "g.npy", numbers(3))
    (tmp_path / file).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidInput, match=message):
        open_vectors(tmp_path / "g.npy", names=tmp_path / file)
