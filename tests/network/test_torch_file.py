"""Files of torch that would take more memory than they have."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.network._torch_file import check_torch_file
from prunnet_export.network._weights_file import read_weights
from tests._asserts import assert_one_line

_GREEDY = b"\x80\x02}r" + struct.pack("<I", 2**31 - 1) + b"."


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.pth"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(2**25))
    with pytest.raises(ValueError, match="compressed"):
        check_torch_file(file)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_greedy_pickle_is_refused(tmp_path: Path, zipped: bool) -> None:
    file = tmp_path / "x.pth"
    if zipped:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a/data.pkl", _GREEDY)
    else:
        file.write_bytes(_GREEDY)
    with pytest.raises(ValueError, match="remembers"):
        check_torch_file(file)
    with pytest.raises(InvalidInput, match="neither") as caught:
        read_weights(file)
    assert_one_line(caught.value)
