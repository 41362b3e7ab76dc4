from __future__ import annotations

import io
import pickle
import struct

import numpy as np
import pytest

from prunnet_export._pickle_codes import check_pickle


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_pickle_writes_passes(protocol: int) -> None:
    shared = ["x"] * 3
    values = {"a": [np.arange(300), shared, shared], "b": [str(i) for i in range(1000)], "c": b"x" * 300, "d": 2**70}
    content = pickle.dumps(values, protocol)
    check_pickle(content)
    file = io.BytesIO(content + b"rest")
    check_pickle(file)
    assert file.read() == b"rest"


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02]r" + struct.pack("<I", 2**28) + b".",
        b"(lp4294967295\n.",
        b"\x80\x02]q\xff.",
        b"\x80\x05\x96" + struct.pack("<Q", 2**33) + b".",
        b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b".",
        b"L" + b"9" * 100_000 + b"L\n.",
        b"",
        b"\x80\x02]",
    ],
)
def test_what_announces_more_than_it_has_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_pickle(content)
