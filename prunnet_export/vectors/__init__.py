"""Vectors: embeddings in the files that people have, and the search among them."""

from prunnet_export.vectors._arrays import read_arrays

__all__ = ["read_arrays"]
