"""Opening a teacher: what is refused before it embeds the first image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import RetrievalData
from prunnet_export.training import MatchOptions, _match_options, open_match
from tests._inputs import array_split, retrieval_data, tiny_recipe


def options(match: str, **changed: Any) -> MatchOptions:
    fields: dict[str, Any] = {
        "match": match,
        "teacher_names": None,
        "teacher_settings": None,
        "teacher_options": {},
        "views": 0,
        "label_weight": 0.0,
    }
    return MatchOptions(**{**fields, **changed})


def only_for_tests() -> RetrievalData:
    return replace(retrieval_data(), name="ROxford", train=array_split(0))


@pytest.mark.parametrize("teacher", ["their.npz", "their.onnx", "self"])
@pytest.mark.parametrize(
    "refused",
    [
        (only_for_tests(), 0.0, 12, "ROxford has no images to train on", "another set"),
        (replace(retrieval_data(), has_labels=False), 1.0, 12, "no labels for --label-weight", "leave --label-weight"),
        # A quarter of the 24 images is held out.
        (retrieval_data(24), 0.0, 19, "18 training images do not fill one batch of 19", "--batch-size"),
        (retrieval_data(24), 0.0, 1, "cannot be divided", "--batch-size"),
    ],
)
def test_images_that_do_not_fit_are_refused_before_the_teacher_is_opened(
    monkeypatch: pytest.MonkeyPatch, teacher: str, refused: tuple[RetrievalData, float, int, str, str]
) -> None:
    data, label_weight, batch_size, message, hint = refused

    def opened(_options: MatchOptions) -> Path:
        raise AssertionError("the teacher is opened")

    monkeypatch.setattr(_match_options, "vector_file", opened)
    with pytest.raises(InvalidInput, match=message) as caught:
        open_match(
            options(teacher, label_weight=label_weight),
            tiny_recipe(batch_size=batch_size),
            data,
            weights=None,
            workers=0,
            progress=lambda _done, _all, _text: None,
        )
    assert hint in caught.value.hint
    assert "--match" not in caught.value.hint
