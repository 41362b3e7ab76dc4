from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prunnet_export import datasets
from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export.datasets import BuiltInDataset, DatasetFormat, RetrievalData, open_dataset
from prunnet_export.training.data.folder import FORMAT
from tests._asserts import assert_one_line
from tests._inputs import retrieval_data


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


class Shelf(DatasetFormat):
    name = "shelf"
    marks = ("books", "index.txt")

    def load(self, path: Path) -> RetrievalData:
        return replace(retrieval_data(), name=f"shelf {path}")


class Anything(DatasetFormat):
    name = "anything"
    fallback = True

    def matches(self, path: Path) -> bool:
        return path.is_dir()

    def load(self, path: Path) -> RetrievalData:
        return replace(retrieval_data(), name=f"anything {path}")


class Dice(BuiltInDataset):
    name = "dice"

    def load(self, seed: int = 0) -> RetrievalData:
        return replace(retrieval_data(), name=f"dice {seed}")


@pytest.fixture
def _others(monkeypatch: pytest.MonkeyPatch) -> None:
    registered = {"shelf": Shelf(), "dice": Dice()}
    monkeypatch.setattr(datasets, "plugins", lambda *_, **__: list(registered.values()))
    monkeypatch.setattr(datasets, "plugin", lambda _group, _kind, name, **_: registered[name])


@pytest.mark.usefixtures("_others")
class TestThirdParties:
    def test_a_layout_is_recognised_by_its_marks(self, tmp_path: Path) -> None:
        (tmp_path / "books").mkdir()
        with pytest.raises(InvalidInput, match="none of the known layouts") as caught:
            open_dataset(str(tmp_path))
        assert "known layouts: shelf;" in caught.value.hint
        (tmp_path / "index.txt").touch()
        assert open_dataset(str(tmp_path)).name == f"shelf {tmp_path.name}"

    def test_a_general_layout_is_tried_last(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        registered = {"anything": Anything(), "shelf": Shelf()}
        monkeypatch.setattr(datasets, "plugins", lambda *_, **__: list(registered.values()))
        monkeypatch.setattr(datasets, "plugin", lambda _group, _kind, name, **_: registered[name])
        assert open_dataset(str(tmp_path)).name == f"anything {tmp_path.name}"
        for mark in Shelf.marks:
            (tmp_path / mark).touch()
        assert open_dataset(str(tmp_path)).name == f"shelf {tmp_path.name}"

    @pytest.mark.parametrize("source", ["{}", "{}/", "{}/.", ".", "../shelves", "../shelves/"])
    def test_a_name_has_only_the_last_part_of_the_path(
        self, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = tmp_path / "users" / "alice" / "shelves"
        home.mkdir(parents=True)
        monkeypatch.chdir(home)
        assert open_dataset(source.format(home), layout="shelf").name == "shelf shelves"

    def test_a_resolved_path_in_a_name_is_shortened_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        home = tmp_path / "alice" / "books"
        home.mkdir(parents=True)
        (tmp_path / "link").symlink_to(home)
        monkeypatch.setattr(Shelf, "load", lambda _, path: replace(retrieval_data(), name=f"in:{path.resolve()}!"))
        assert open_dataset(str(tmp_path / "link"), layout="shelf").name == "in:books!"

    def test_the_root_has_no_name_to_shorten(self) -> None:
        assert open_dataset("/", layout="shelf").name == "shelf /"

    def test_a_layout_can_be_forced(self, tmp_path: Path) -> None:
        assert open_dataset(str(tmp_path), layout="shelf", seed=7).name == f"shelf {tmp_path.name}"

    def test_a_built_in_one_is_asked_for_by_name_and_drawn_from_the_seed(self) -> None:
        assert open_dataset("dice", seed=7).name == "dice 7"
        with pytest.raises(InvalidInput, match="does not exist") as caught:
            open_dataset("cards")
        assert caught.value.hint == "give a folder, or one of: dice"
