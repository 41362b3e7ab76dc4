"""Looking through a file of ``torch.save`` that is not trusted, before torch reads it."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

from prunnet_export._files import open_regular
from prunnet_export._limits import SETTINGS_BYTES, SMALL_MEMBER, WEIGHTS_BYTES
from prunnet_export._pickle_codes import check_pickle

_PICKLE = "data.pkl"
_PROTOCOL = b"\x80"  # the first byte of a pickle of protocol 2 or later
_OLD_PICKLES = 5  # magic number, version, system, tensors, keys of the storages
_MOST_PICKLE = 16 * SETTINGS_BYTES


def check_torch_file(file: Path) -> bool:
    """Check that reading a file takes no more memory than its size explains; returns whether it is an archive.

    Raises:
        ValueError: it would, or it is damaged.
        OSError: it cannot be read.
    """
    with open_regular(file) as opened:
        if os.fstat(opened.fileno()).st_size > WEIGHTS_BYTES:
            raise ValueError("it is larger than any file of weights")
        if not zipfile.is_zipfile(opened):
            opened.seek(0)
            _check_old(opened)
            return False
        with zipfile.ZipFile(opened) as archive:
            members = archive.infolist()
            # torch stores weights as they are. What is compressed, as the code of TorchScript is, could expand.
            compressed = (member.file_size for member in members if member.compress_type != zipfile.ZIP_STORED)
            if sum(compressed) > SMALL_MEMBER:
                raise ValueError("its members are compressed")
            for member in members:
                if Path(member.filename).name == _PICKLE:
                    if member.file_size > _MOST_PICKLE:
                        raise ValueError(f"{member.filename[:40]} is too large")
                    check_pickle(archive.read(member))
        return True


def is_plain_pickle(file: Path) -> bool:
    """Whether a file is one whole pickle and nothing else. It is looked through, and never executed.

    Pickles of protocols 0 and 1, which no Python 3 writes by itself, do not count: any text may look like one.
    """
    try:
        with open_regular(file) as opened:
            if os.fstat(opened.fileno()).st_size > WEIGHTS_BYTES or not opened.peek(1).startswith(_PROTOCOL):
                return False
            check_pickle(opened)
            return not opened.read(1)
    except (MemoryError, OSError, OverflowError, ValueError):  # of a length that no file has, or of foreign bytes
        return False


def _check_old(opened: io.BufferedReader) -> None:
    """Check the pickles at the start of a file as torch wrote it before version 1.6, as far as it has them."""
    for _ in range(_OLD_PICKLES):
        if not opened.peek(1):
            return
        check_pickle(opened)
