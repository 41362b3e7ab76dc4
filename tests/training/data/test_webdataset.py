"""Tar shards: samples, labels, names, and everything that can be wrong with a shard."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import open_dataset
from prunnet_export.training.data.webdataset import FORMAT
from tests.training.data._trees import assert_refused


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def write_shard(file: Path, members: Mapping[str, bytes] | list[tuple[str, bytes]], mode: str = "w") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, mode) as tar:  # type: ignore[call-overload]  # the mode is one of two
        for name, content in members.items() if isinstance(members, Mapping) else members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_shard(tmp_path / "b.tar", {"000003.png": png(3), "000003.cls": b"40\n"})
    first = {"000001.cls": b"40", "000001.png": png(1), "000001.json": b"{}", "000002.png": png(2), "000002.cls": b"7"}
    write_shard(tmp_path / "a.tar", first)
    return tmp_path


def test_samples_of_all_shards(root: Path) -> None:
    data = FORMAT.load(root)
    assert data.has_labels
    assert list(data.train.relative_names) == ["000001.png", "000002.png", "000003.png"]
    assert data.train.names[2] == f"{root}/b.tar:000003.png"
    assert data.train.names[:2] == [f"{root}/a.tar:{name}" for name in ("000001.png", "000002.png")]
    assert data.train.labels.tolist() == [1, 0, 1]  # numbered without gaps
    assert [data.train.image(index).getpixel((0, 0)) for index in (2, 0, 1)] == [(3, 0, 0), (1, 0, 0), (2, 0, 0)]
    assert data.train.encoded(1) == png(2)
    assert len(data.query) == len(data.gallery) == 0


def test_is_recognised_as_a_folder_and_as_a_file(root: Path) -> None:
    assert open_dataset(str(root)).name == f"webdataset {root.name}"
    shard = open_dataset(str(root / "a.tar"))
    assert list(shard.train.relative_names) == ["000001.png", "000002.png"]
    (root / "none").mkdir()
    assert not FORMAT.matches(root / "none")
    assert_refused(FORMAT, root / "none", r"no shard \*\.tar")


def test_names_that_are_in_two_shards_get_the_shard(tmp_path: Path) -> None:
    for shard in ("x.tar", "y.tar"):
        write_shard(tmp_path / shard, {"sub/0.png": png(0), "sub/1.png": png(1)})
    names = FORMAT.load(tmp_path).train.relative_names
    assert list(names) == ["x.tar/sub/0.png", "x.tar/sub/1.png", "y.tar/sub/0.png", "y.tar/sub/1.png"]
    assert names[-1:] == ["y.tar/sub/1.png"]


def test_without_classes_there_are_no_labels(tmp_path: Path) -> None:
    write_shard(tmp_path / "x.tar", {"0.png": png(0), "1.png": png(1)})
    data = FORMAT.load(tmp_path)
    assert not data.has_labels
    assert data.train.labels.tolist() == [0, 0]


def test_which_member_is_the_image(tmp_path: Path) -> None:
    members = {
        "./0.PNG": png(0),
        "./0.seg.png": png(9),
        "./0.pcd": b"points",
        "./._0.png": b"a Mac",
        "1.rgb.png": png(1),
    }
    train = FORMAT.load(write_shard(tmp_path / "x.tar", members)).train
    assert list(train.relative_names) == ["0.PNG", "1.rgb.png"]
    assert train.encoded(0) == png(0)


def test_what_is_no_file_is_skipped_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, kind in (("folder", tarfile.DIRTYPE), ("0.png", tarfile.SYMTYPE), ("1.png", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "2.png"
            tar.addfile(info)
        info = tarfile.TarInfo("2.png")
        info.size = len(png(2))
        tar.addfile(info, io.BytesIO(png(2)))
    write_shard(tmp_path / "y.tar.gz", {"3.png": png(3)}, "w:gz")
    assert list(FORMAT.load(tmp_path).train.relative_names) == ["2.png"]
    [warning] = caplog.messages
    assert "no file in a shard: 2 (x.tar:0.png, x.tar:1.png)" in warning
    assert "y.tar.gz" in warning


def test_a_split_travels_to_another_process(root: Path) -> None:
    split = FORMAT.load(root).train
    split.image(0)
    again = pickle.loads(pickle.dumps(split))  # noqa: S301 - as a worker process receives it
    assert again.encoded(2) == png(3)
    assert list(again.names) == list(split.names)


def test_a_stamp_changes_with_the_shard(root: Path) -> None:
    split = FORMAT.load(root).train
    before = [split.stamp(index) for index in range(3)]
    assert len(set(before)) == 3
    assert before == [split.stamp(index) for index in range(3)]
    os.utime(root / "a.tar", ns=(1, 1))
    after = [split.stamp(index) for index in range(3)]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True]
    (root / "b.tar").unlink()
    assert split.stamp(2) == "missing"


def test_memory_for_a_sample_is_small(tmp_path: Path) -> None:
    samples, picture = 2000, png(0)
    write_shard(tmp_path / "x.tar", {f"{index:08}.png": picture for index in range(samples)})
    split = FORMAT.load(tmp_path).train
    assert len(pickle.dumps(split)) < 64 * samples


class TestBadShards:
    def test_compressed(self, tmp_path: Path) -> None:
        write_shard(tmp_path / "x.tar.gz", {"0.png": png(0)}, "w:gz")
        assert FORMAT.matches(tmp_path)
        with pytest.raises(InvalidInput, match=r"x\.tar\.gz: .* compressed shard") as caught:
            FORMAT.load(tmp_path)
        assert "gunzip" in caught.value.hint
        (tmp_path / "x.tar.gz").rename(tmp_path / "y.tar")
        with pytest.raises(InvalidInput, match=r"y\.tar: not readable") as caught:
            FORMAT.load(tmp_path)
        assert "not compressed" in caught.value.hint

    @pytest.mark.parametrize("content", [b"", b"no tar" * 1000, bytes(10240)], ids=["empty", "text", "zeros"])
    def test_no_tar(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.tar").write_bytes(content)
        assert_refused(FORMAT, tmp_path, r"x\.tar: no")

    @pytest.mark.parametrize(("keep", "last"), [(700, "a.png"), (1024, "a.png"), (1400, "a.png"), (1600, "b.png")])
    def test_cut_short(self, tmp_path: Path, keep: int, last: str) -> None:
        # A header of 512 bytes and the image, filled up to 512 bytes, twice; then the end.
        file = write_shard(tmp_path / "x.tar", {"a.png": png(0), "b.png": png(1)})
        file.write_bytes(file.read_bytes()[:keep])
        assert_refused(FORMAT, tmp_path, rf"x\.tar: .*{last}")

    def test_a_damaged_header(self, tmp_path: Path) -> None:
        file = write_shard(tmp_path / "x.tar", {"a.png": png(0), "b.png": png(1), "c.png": png(2)})
        content = bytearray(file.read_bytes())
        content[1024:1034] = b"0123456789"
        file.write_bytes(content)
        assert_refused(FORMAT, tmp_path, r"x\.tar: damaged or cut short after a\.png")

    @pytest.mark.parametrize(
        ("members", "match"),
        [
            ([("0.png", png(0)), ("1.json", b"{}")], r"x\.tar: 1\.json: no image"),
            ([("0.png", png(0)), ("0.jpg", b"")], r"x\.tar: 0\.jpg: a second image"),
            ([("0.png", png(0)), ("0.png", png(0))], r"x\.tar: 0\.png: .*twice"),
            ([("0.png", png(0)), ("1.png", png(1)), ("0.png", png(2))], r"x\.tar: 0\.png: a sample with this key"),
            ([("0.png", png(0)), ("1.png", png(1)), ("0.jpg", b"")], r"x\.tar: 0\.jpg: a sample with this key"),
            ([("0.png", png(0)), ("0.cls", b"cat")], r"x\.tar: 0\.cls: 'cat' is no label"),
            ([("0.png", png(0)), ("0.cls", 30 * b"1")], r"x\.tar: 0\.cls: '1+' is no label"),
            ([("0.png", png(0)), ("0.cls", b"1"), ("1.png", png(1))], r"x\.tar: 1\.png: no label, and other"),
            ([(".hidden.png", png(0))], r"x\.tar: no sample"),
        ],
    )
    def test_wrong_samples(self, tmp_path: Path, members: list[tuple[str, bytes]], match: str) -> None:
        write_shard(tmp_path / "x.tar", members)
        assert_refused(FORMAT, tmp_path, match)

    def test_a_member_that_is_no_image_is_named_when_it_is_read(self, tmp_path: Path) -> None:
        train = FORMAT.load(write_shard(tmp_path / "x.tar", {"0.png": b"no image"})).train
        with pytest.raises(InvalidInput, match=r"x\.tar:0\.png: not a readable image"):
            train.image(0)

    def test_a_shard_that_changes_or_vanishes(self, tmp_path: Path) -> None:
        file = write_shard(tmp_path / "x.tar", {"0.png": png(0)})
        train = FORMAT.load(tmp_path).train
        file.write_bytes(file.read_bytes()[:520])
        with pytest.raises(InvalidInput, match=r"x\.tar:0\.png: cut short"):
            train.encoded(0)
        file.unlink()
        with pytest.raises(InvalidInput, match=r"x\.tar:0\.png: cannot be read"):
            train.encoded(0)
