"""``prunnet-bench matrix``: networks, budgets and devices in one file; every cell is exported, measured and verified.

``_settings`` reads the file, ``_cells`` makes the cells of it. ``_bench`` runs one cell after the other for a device,
in a process that ``_worker`` starts. ``_state`` keeps what is finished, ``_report`` makes the report.
"""
