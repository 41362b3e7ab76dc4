"""Benchmarks: ``prunnet-bench`` and what it measures."""
