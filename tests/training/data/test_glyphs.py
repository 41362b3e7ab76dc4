"""The glyphs: which characters there are, and that a picture depends on its identity alone."""

from __future__ import annotations

import pickle
import sys
import unicodedata

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput, MissingExtra
from prunnet_export.datasets import RetrievalData, open_dataset
from prunnet_export.training.data import _glyph_classes, glyphs
from prunnet_export.training.data._glyph_classes import FACES, find_classes, font_files
from prunnet_export.training.data.glyphs import FORMAT, GlyphSplit


@pytest.fixture(scope="module")
def data() -> RetrievalData:
    return FORMAT.load()


def _characters(split: object) -> list[str]:
    assert isinstance(split, GlyphSplit)
    return [chr(int(name[2 : name.index("#")], 16)) for name in split.names]


def _pixels(split: object, index: int) -> bytes:
    assert isinstance(split, GlyphSplit)
    return split.image(index).tobytes()


class TestClasses:
    def test_sizes(self, data: RetrievalData) -> None:
        assert len(set(data.train.labels)) == 800
        assert len(data.train) == 800 * glyphs.TRAIN_INSTANCES
        assert len(data.query) == 200 * glyphs.QUERY_INSTANCES
        assert len(data.gallery) == 200 * glyphs.GALLERY_INSTANCES
        assert not data.exclude_self
        assert not data.flip

    def test_labels_have_no_gaps(self, data: RetrievalData) -> None:
        for split in (data.train, data.query, data.gallery):
            assert np.unique(split.labels).tolist() == list(range(split.labels.max() + 1))

    def test_characters_are_disjoint_between_train_and_test(self, data: RetrievalData) -> None:
        train, query, gallery = (set(_characters(split)) for split in (data.train, data.query, data.gallery))
        assert query == gallery
        assert not train & query

    def test_a_label_is_one_character_in_query_and_gallery(self, data: RetrievalData) -> None:
        query = dict(zip(data.query.labels.tolist(), _characters(data.query), strict=True))
        gallery = dict(zip(data.gallery.labels.tolist(), _characters(data.gallery), strict=True))
        assert query == gallery

    def test_query_and_gallery_are_other_instances_in_other_faces(self, data: RetrievalData) -> None:
        assert not set(data.query.names) & set(data.gallery.names)
        assert glyphs.QUERY_INSTANCES + glyphs.GALLERY_INSTANCES <= _glyph_classes.MIN_FACES

    def test_lookalikes_are_one_class(self, data: RetrievalData) -> None:
        characters = {*_characters(data.train), *_characters(data.query)}
        for lookalikes in ("AΑА", "BΒВ", "oоο", "Cс", "ΩΩ", "KΚК"):
            assert len(characters & set(lookalikes)) <= 1

    def test_many_scripts(self, data: RetrievalData) -> None:
        scripts = {unicodedata.name(character).split()[0] for character in _characters(data.train)}
        assert {"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN", "DIGIT"} <= scripts

    def test_the_seed_does_not_choose_the_characters(self, data: RetrievalData) -> None:
        assert list(FORMAT.load(seed=5).query.names) == list(data.query.names) == list(data.query.relative_names)

    def test_every_face_of_a_class_draws_it(self) -> None:
        from PIL import ImageFont

        files = font_files()
        fonts = [ImageFont.truetype(file, 24, layout_engine=ImageFont.Layout.BASIC) for file in files]
        for glyph in find_classes(files)[::9]:
            assert len(glyph.faces) >= _glyph_classes.MIN_FACES
            for face in glyph.faces:
                assert _glyph_classes.draw_character(fonts[face], chr(glyph.code_point)) is not None, (
                    glyph,
                    FACES[face],
                )


class TestPictures:
    def test_shape(self, data: RetrievalData) -> None:
        picture = data.query.image(3)
        assert picture.size == (64, 64)
        assert picture.mode == "RGB"

    def test_independent_of_order_and_process(self, data: RetrievalData) -> None:
        wanted = [7, 0, 4321, 19199]
        forward = [_pixels(data.train, index) for index in wanted]
        fresh = FORMAT.load().train
        assert [_pixels(fresh, index) for index in reversed(wanted)] == forward[::-1]
        travelled = pickle.loads(pickle.dumps(data.train))  # noqa: S301 - as a worker process receives it
        assert [_pixels(travelled, index) for index in wanted] == forward

    def test_kept_pictures_do_not_travel(self, data: RetrievalData) -> None:
        before = len(pickle.dumps(data.query))
        for index in range(len(data.query)):
            data.query.image(index)
        assert len(pickle.dumps(data.query)) == before < 200_000

    def test_asked_twice_is_rendered_once(self, data: RetrievalData, monkeypatch: pytest.MonkeyPatch) -> None:
        first = _pixels(data.gallery, 11)
        monkeypatch.setattr(GlyphSplit, "_render", None)
        assert _pixels(data.gallery, 11) == first

    def test_what_is_handed_out_can_be_painted_on(self, data: RetrievalData) -> None:
        first = _pixels(data.gallery, 12)
        data.gallery.image(12).paste((1, 2, 3), (0, 0, 64, 64))
        assert _pixels(data.gallery, 12) == first

    def test_seed_instance_and_character_each_change_it(self, data: RetrievalData) -> None:
        other = FORMAT.load(seed=1).train
        pictures = [
            _pixels(data.train, 0),
            _pixels(data.train, 1),
            _pixels(data.train, 24),
            _pixels(other, 0),
        ]
        assert len(set(pictures)) == 4

    def test_ink_is_visible(self, data: RetrievalData) -> None:
        spreads = [np.asarray(data.gallery.image(index), float).std(axis=(0, 1)).max() for index in range(0, 1200, 60)]
        assert min(spreads) > 10

    def test_index_out_of_range(self, data: RetrievalData) -> None:
        with pytest.raises(IndexError):
            data.query.image(len(data.query))


class TestOpening:
    def test_by_name(self) -> None:
        assert open_dataset("glyphs", seed=3).name.endswith("seed 3)")

    def test_by_layout_the_path_is_not_looked_at(self) -> None:
        assert open_dataset("nowhere", layout="glyphs", seed=3).name.endswith("seed 3)")

    def test_negative_seed(self) -> None:
        with pytest.raises(InvalidInput, match="seed -1"):
            FORMAT.load(seed=-1)

    def test_without_matplotlib(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(MissingExtra) as caught:
            FORMAT.load()
        assert "[train]" in caught.value.hint

    def test_without_a_font(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_glyph_classes, "FACES", ("DejaVuSans", "Absent"))
        with pytest.raises(InvalidInput, match=r"Absent\.ttf: matplotlib's font is missing"):
            FORMAT.load()
