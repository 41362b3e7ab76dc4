"""Sections about compatibility: R@1 over capacity, and every query capacity in every gallery."""

from __future__ import annotations

from prunnet_export.benchmarks.page._section import Section, graph_objects, label, new_figure, styles
from prunnet_export.benchmarks.page._sources import Compat, CompatRow, Pairs, Sources
from prunnet_export.reports import Cell, Table


def capacity_curves(sources: Sources) -> list[Section]:
    """For each table of ``compat``: the search quality of each pattern over the kept capacity."""
    return [_curves(f"curves-{number}", name, table) for number, (name, table) in enumerate(sources.tables, 1)]


def _curves(key: str, name: str, table: Compat) -> Section:
    by_labels = any(row.cross_test is not None for row in table.rows)
    measure = "R@1" if by_labels else "overlap with the teacher's neighbours"
    go, figure, style = graph_objects(), new_figure("kept capacity", measure), styles()
    kinds = dict.fromkeys((row.pattern, row.judged) for row in table.rows)
    for pattern, judged in kinds:
        chosen = sorted(
            (row for row in table.rows if (row.pattern, row.judged) == (pattern, judged)), key=lambda row: row.capacity
        )
        title = pattern if len({one for _, one in kinds}) == 1 else f"{pattern}, {judged}"
        marker = next(style)
        for test, dash in (("cross-test", "solid"), ("self-test", "dot")) if by_labels else (("", "solid"),):
            figure.add_trace(
                go.Scatter(
                    name=label(f"{title} {test}".strip()),
                    x=[row.capacity for row in chosen],
                    y=[_value(row, test) for row in chosen],
                    mode="lines+markers",
                    marker={**marker, "size": 8},
                    line={"color": marker["color"], "dash": dash},
                    hovertemplate="%{x:.1%} kept: %{y:.1%}<extra></extra>",
                )
            )
    figure.update_xaxes(tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(tickformat=".0%")
    tests = ("cross-test", "self-test") if by_labels else ("",)
    rows: list[tuple[Cell, ...]] = [
        (row.pattern, row.judged, f"{row.asked:.0%}", f"{row.capacity:.1%}", *(_value(row, test) for test in tests))
        for row in table.rows
    ]
    columns = (
        "pattern",
        "judged by",
        "asked",
        "kept",
        *((f"{test} {measure}" for test in tests) if by_labels else (measure,)),
    )
    text = f"{table.data}, {table.n_queries:,} queries in {table.n_gallery:,} gallery vectors, by torch ({name}). " + (
        "In the cross-test, the dense network made the gallery." if by_labels else ""
    )
    return Section(key, f"Capacity: {table.data}", text, figure, more=(Table("", columns, tuple(rows)),))


def _value(row: CompatRow, test: str) -> float | None:
    if not test:
        return row.overlap
    figures = row.cross_test if test == "cross-test" else row.self_test
    return None if figures is None else figures.recall_at.get(1)


def heat_maps(sources: Sources) -> list[Section]:
    """For each table with all pairs: a heat map of R@1 over query capacity and gallery capacity."""
    return [
        _heat_map(f"pairs-{number}", name, table.data, table.all_pairs)
        for number, (name, table) in enumerate(sources.tables, 1)
        if table.all_pairs is not None and table.all_pairs.cells
    ]


def _heat_map(key: str, name: str, data: str, pairs: Pairs) -> Section:
    queries, galleries = (
        sorted({getattr(cell, side) for cell in pairs.cells}, reverse=side == "query") for side in ("query", "gallery")
    )
    values = {(cell.query, cell.gallery): cell.metrics.recall_at.get(1) for cell in pairs.cells}
    grid = [[values.get((query, gallery)) for gallery in galleries] for query in queries]
    figure = new_figure("gallery made at capacity", "query embedded at capacity", height=460)
    figure.add_trace(
        graph_objects().Heatmap(
            x=[f"{gallery:.0%}" for gallery in galleries],
            y=[f"{query:.0%}" for query in queries],
            z=grid,
            colorscale="Viridis",
            texttemplate="%{z:.1%}",
            hovertemplate="query %{y}, gallery %{x}: %{z:.1%}<extra></extra>",
            colorbar={"tickformat": ".0%", "thickness": 12},
        )
    )
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category", autorange="reversed")
    rows: list[tuple[Cell, ...]] = [(f"{query:.0%}", *line) for query, line in zip(queries, grid, strict=True)]
    columns = ("query", *(f"{gallery:.0%}" for gallery in galleries))
    text = (
        f"R@1 of every query capacity in the gallery of every capacity, pattern {pairs.pattern}, {data} ({name}). "
        "The diagonal is the self-test; the column of 100 % is the gallery that is deployed."
    )
    return Section(key, f"Every pair: {data}", text, figure, more=(Table("R@1", columns, tuple(rows)),))
