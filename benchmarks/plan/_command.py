"""``prunnet-bench plan``: from the options to the printed report."""

from __future__ import annotations

from dataclasses import replace

import click

from prunnet_export.benchmarks.plan._compare import comparison_table, measure
from prunnet_export.benchmarks.plan._options import PlanOptions
from prunnet_export.benchmarks.plan._plan import make_plan
from prunnet_export.benchmarks.plan._report import report_of
from prunnet_export.benchmarks.plan._runs import add_run, read_runs
from prunnet_export.network import limit_torch_threads
from prunnet_export.reports import print_report


def plan_command(options: PlanOptions) -> int:
    """Make a plan, compare it with a trained network if one is given, and print it.

    Raises:
        UsageError: a run is to be recorded without a network.
        InvalidInput: the file of the record holds something else.
    """
    if options.record is not None and options.network is None:
        raise click.UsageError("--record keeps what a trained network reaches: add --network RUN")
    if options.record is not None and options.record.exists():
        read_runs(options.record)  # before the slow work: another file is refused
    limit_torch_threads()
    plan = make_plan(options, read_runs(options.runs))
    report = report_of(plan)
    if options.network is not None:
        run = measure(plan, options.network)
        report = replace(report, tables=(*report.tables, comparison_table(plan, run)))
        if options.record is not None:
            add_run(options.record, run)
            report = replace(report, footer=(*report.footer, f"written: {options.record}"))
    print_report(report, options.output_format)
    return 0
