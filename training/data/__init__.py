"""Data sets in the layouts that people already have on disk."""
