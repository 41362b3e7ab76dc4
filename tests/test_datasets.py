from __future__ import annotations

from pathlib import Path

import pytest

from prunnet_export._errors import StorageError
from prunnet_export.datasets import open_dataset
from prunnet_export.training.data.folder import FORMAT
from tests._asserts import assert_one_line


@pytest.mark.parametrize("method", ["matches", "load"])
def test_a_folder_that_may_not_be_read(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    for split in ("train", "query", "gallery"):
        (tmp_path / split).mkdir()
    monkeypatch.setattr(type(FORMAT), method, refuse)
    with pytest.raises(StorageError, match=rf"{tmp_path}: cannot be read \(Permission denied\)") as caught:
        open_dataset(str(tmp_path))
    assert_one_line(caught.value)
