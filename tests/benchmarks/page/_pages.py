"""Sources of a page, written to a folder, and the page that the command makes of them."""

from __future__ import annotations

import json
from pathlib import Path

from prunnet_export.benchmarks._history import append_run
from prunnet_export.benchmarks.page._command import PageOptions, write_page
from tests.benchmarks._runs import anchor, failing, result

CAPACITIES = (1.0, 0.5, 0.2)


def figures(r1: float) -> dict[str, object]:
    return {"recall_at": {"1": r1}, "precision_at": {}, "mean_average_precision": r1, "n_queries": 50, "n_left_out": 0}


def write_table(file: Path, *, data: str = "glyphs") -> Path:
    """What ``prunnet-bench compat --output-format json`` prints, with all pairs."""
    rows = [
        {
            "pattern": pattern, "asked": capacity, "capacity": capacity - 0.01 * (capacity < 1), "judged": "label",
            "self_test": figures(0.5 + 0.3 * capacity), "cross_test": figures(0.4 + 0.4 * capacity),
        }
        for pattern in ("channel", "unstructured")
        for capacity in CAPACITIES
    ]  # fmt: skip
    cells = [
        {"query": query, "gallery": gallery, "metrics": figures(0.8 * min(query, gallery))}
        for query in CAPACITIES
        for gallery in CAPACITIES
    ]
    document = {
        "network": {"path": "runs/x", "because": "--network"}, "data": data, "protocol": {}, "n_queries": 50,
        "n_gallery": 100, "rows": rows, "all_pairs": {"pattern": "channel", "cells": cells},
    }  # fmt: skip
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def write_teacher_table(file: Path) -> Path:
    """The same for a network with a teacher."""
    rows = [
        {"pattern": "channel", "asked": one, "capacity": one, "overlap": 0.7 * one, "interval": [0.1, 0.9],
         "cross_r1": None, "teacher_self_r1": None}
        for one in CAPACITIES
    ]  # fmt: skip
    file.write_text(json.dumps({"data": "theirs", "n_queries": 50, "n_gallery": 100, "rows": rows}), encoding="utf-8")
    return file


def write_peers(file: Path) -> Path:
    """What ``prunnet-bench peers --output-format json`` prints, as far as the page reads it."""
    offers = {
        peer: [
            {
                "capacity": capacity,
                "precision": precision,
                "p50_ms": capacity * factor,
                "r1": [shift + 0.5 * capacity] * 2,
            }
            for precision, factor in (("fp32", 4.0), ("int8", 1.0))
            for capacity in CAPACITIES
        ]
        for peer, shift in (("channel", 0.4), ("<b>aml", 0.3))
    }
    target = {"target": "x86-onnxruntime", "runtime": "onnxruntime", "runtime_version": "1.32.0", "budgets": []}
    document = {
        "settings": {},
        "data": "glyphs",
        "rows": [{"row": "channel"}],
        "targets": [{**target, "peers": offers}],
    }
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def write_runs(folder: Path) -> Path:
    """A folder of three runs. In the newest, one case has failed, one was skipped, and one has an odd name."""
    folder.mkdir()
    for day, ms in enumerate((5.0, 5.1, 6.0), 1):
        results = [
            result(ms, name="first", target="x86", device="local"),
            result(2 * ms, name="second", target="x86", device="local", anchor=anchor(2.0)),
        ]
        if day == 3:
            results[1] = failing(results[1], "parity")
            results.append(result(ms, name="<b>third</b>", target="<i>odd</i>", anchor=None))
            results.append(result(ms, name="absent", latency=None, verification=None, status="skipped", exit_code=3,
                                  message="no answer", anchor=None))  # fmt: skip
        append_run(folder, results, created=f"2026-11-0{day}T10:00:00Z")
    return folder


def write(out: Path, *sources: Path, images: str | None = None, layout: str | None = None) -> str:
    """The page."""
    assert write_page(PageOptions(sources, images, layout, "Nightly & <more>", out, "json")) == 0
    return out.read_text(encoding="utf-8")
