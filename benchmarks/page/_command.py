"""``prunnet-bench report``: writes the page."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export._files import replace_file
from prunnet_export._imports import require
from prunnet_export._text import shown
from prunnet_export.benchmarks.page._compatibility import capacity_curves, heat_maps
from prunnet_export.benchmarks.page._html import page_html
from prunnet_export.benchmarks.page._latency import candidates, distributions, frontier, history
from prunnet_export.benchmarks.page._overview import environment, overview
from prunnet_export.benchmarks.page._peers import peers
from prunnet_export.benchmarks.page._section import Section
from prunnet_export.benchmarks.page._sources import Sources, read_sources
from prunnet_export.datasets import open_dataset
from prunnet_export.reports import Report, Table, print_report

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class PageOptions:
    """The options of ``report``, as their help describes them."""

    sources: tuple[Path, ...]
    images: str | None
    layout: str | None
    title: str
    out: Path
    output_format: str


def write_page(options: PageOptions) -> int:
    """Write the page and print what is on it; returns the exit code."""
    require("plotly", extra="report")  # before anything is read
    if options.images is None and options.layout is not None:
        raise InvalidInput("--layout is the layout of --images, which is not given", hint="give --images too")
    sources = read_sources(options.sources)
    if not (sources.artifacts or sources.runs or sources.tables or sources.peers):
        raise InvalidInput("there is nothing to show", hint="name artifacts, results, or tables of compat or peers")
    sections = [*_sections(sources, options), environment(sources, options.out)]
    replace_file(options.out, page_html(options.title, sections).encode())
    rows = tuple(
        (section.title, sum(len(table.rows) for table in (*section.tables, *section.more)) or None)
        for section in sections
    )
    print_report(
        Report(
            title="prunnet-bench report",
            tables=(Table("", ("section", "rows"), rows),),
            document={"page": shown(options.out), "sections": [section.key for section in sections]},
            footer=(f"page: {shown(options.out)}",),
        ),
        options.output_format,
    )
    return 0


def _sections(sources: Sources, options: PageOptions) -> list[Section]:
    found = [
        overview(sources) if sources.artifacts or sources.runs else None,
        frontier(sources),
        *capacity_curves(sources),
        *heat_maps(sources),
        *peers(sources),
        candidates(sources),
        distributions(sources),
        history(sources),
        *_pictures(sources, options),
    ]
    return [section for section in found if section is not None]


def _pictures(sources: Sources, options: PageOptions) -> list[Section]:
    """The sections with pictures of images, which are shown only where --images asks for them."""
    if options.images is None:
        return []
    from prunnet_export.benchmarks.page._neighbours import neighbours

    if not sources.artifacts:
        raise InvalidInput("--images needs an artifact to search with", hint="name an artifact too")
    data = open_dataset(options.images, layout=options.layout)
    _LOG.info("pictures of %s will be on the page", data.name)
    return [neighbours(number, artifact, data) for number, artifact in enumerate(sources.artifacts, 1)]
