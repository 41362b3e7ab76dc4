from __future__ import annotations

import os

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._stored_paths import path_from_stored, stored_path


@given(st.binary(max_size=20).filter(lambda name: b"\0" not in name))
def test_every_path_of_the_system_comes_back_from_json(name: bytes) -> None:
    path = os.fsdecode(name)
    assert path_from_stored(msgspec.json.decode(msgspec.json.encode(stored_path(path)), type=str)) == path


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_a_path_in_utf8_is_stored_as_it_is(path: str) -> None:
    assert stored_path(path) == path
