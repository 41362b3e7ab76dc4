from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prunnet_export._errors import InvalidInput, UnknownName
from prunnet_export.cli._context import choose_patterns, open_data
from prunnet_export.network_config import DataSource
from prunnet_export.target import find_target
from tests._asserts import assert_one_line

X86 = find_target("x86-onnxruntime")


@pytest.mark.parametrize("given", ["channel", "unstructured", "block", "2:4", "1:8"])
def test_the_given_pattern(given: str) -> None:
    assert choose_patterns(given, X86) == (given,)


def test_auto_is_what_the_target_profits_from() -> None:
    assert choose_patterns("auto", X86) == ("channel",)
    assert choose_patterns("auto", find_target("x86-openvino")) == ("channel",)
    assert choose_patterns("auto", replace(X86, patterns=("2:4", "channel"))) == ("2:4", "channel")


@pytest.mark.parametrize(("given", "patterns"), [("diagonal", ("channel",)), ("auto", ("channel", "diagonal"))])
def test_a_pattern_that_nobody_has(given: str, patterns: tuple[str, ...]) -> None:
    with pytest.raises(UnknownName, match="unknown pattern 'diagonal'") as raised:
        choose_patterns(given, replace(X86, patterns=patterns))
    assert "2:4, block, channel, channel+2:4, unstructured" in raised.value.hint
    assert_one_line(raised.value)


def test_a_target_without_patterns() -> None:
    with pytest.raises(InvalidInput, match="x86-onnxruntime names no pattern") as raised:
        choose_patterns("auto", replace(X86, patterns=()))
    assert_one_line(raised.value)


def test_images_that_were_moved_are_given_by_an_option(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint: Any = SimpleNamespace(config=SimpleNamespace(data=DataSource(source="photos")))
    with pytest.raises(InvalidInput, match="'photos' does not exist; the network was trained on it") as raised:
        open_data(None, None, checkpoint)
    assert raised.value.hint == "if the images were moved, give --data"
    assert len(open_data(str(tiny_data), None, checkpoint).train)
