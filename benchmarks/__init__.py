"""Benchmarks: the commands of ``prunnet-bench``."""
