from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.benchmarks.page._sources import read_sources
from tests._asserts import assert_one_line
from tests.benchmarks.page._pages import CAPACITIES, write_peers, write_runs, write_table, write_teacher_table

MakeArtifact = Callable[..., Path]


def test_each_kind_is_recognised(make_artifact: MakeArtifact, tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "results")
    oldest = min(runs.iterdir())
    sources = read_sources(
        [
            make_artifact(), runs, oldest, write_table(tmp_path / "c.json"), write_peers(tmp_path / "p.json"),
            write_teacher_table(tmp_path / "t.json"),
        ]
    )  # fmt: skip
    [(name, peers)] = sources.peers
    assert (name, peers.data, list(peers.targets[0].peers)) == ("p.json", "glyphs", ["channel", "<b>aml"])
    assert [one.name for one in sources.artifacts] == ["tiny"]
    assert [run.created[:10] for run in sources.runs] == ["2026-11-01", "2026-11-01", "2026-11-02", "2026-11-03"]
    assert [name for name, _ in sources.tables] == ["c.json", "t.json"]
    (_, table), (_, theirs) = sources.tables
    assert table.all_pairs is not None
    assert len(table.all_pairs.cells) == len(CAPACITIES) ** 2
    assert [row.overlap for row in theirs.rows] == [0.7 * one for one in CAPACITIES]


def test_the_newest_result_of_each_case_counts(tmp_path: Path) -> None:
    newest = read_sources([write_runs(tmp_path / "results")]).newest
    assert list(newest) == ["first", "second", "<b>third</b>"]  # what was skipped was not measured
    assert newest["first"].samples_ms[0][0] == 6.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither a run nor a table"),
        (b"{}", "neither a run nor a table"),
        (b'{"rows":[{"pattern":1}]}', "neither a run nor a table"),
        (b'{"data":"x","targets":[{"target":"t"}]}', "neither a run nor a table"),
        (b"\xff\xfe", "neither a run nor a table"),
        (b"[" * 100_000, "neither a run nor a table"),
        (b'{"format":"prunnet-bench-run","version":9}', "version 9"),
        (b'{"format":"prunnet-bench-run","version":1,"created":"yesterday"}', "created"),
        (b'{"data":"x","n_queries":1,"n_gallery":1,"rows":[{"pattern":"a","asked":2,"capacity":1}]}', "<= 1"),
    ],
)
def test_a_file_that_is_none_of_them(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InvalidInput, match=message) as caught:
        read_sources([tmp_path / "x.json"])
    assert_one_line(caught.value)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    for place, message in (("pipe", "regular file"), ("nothing", "cannot read|does not exist"), ("empty", "no run")):
        with pytest.raises(InvalidInput, match=message):
            read_sources([tmp_path / place])
