"""Vectors: embeddings in the files that people have, and the search among them."""

from prunnet_export.vectors._arrays import read_arrays
from prunnet_export.vectors._distribution import SameDistribution, same_distribution
from prunnet_export.vectors._forms import Stored, first_dimensions, unit_vectors
from prunnet_export.vectors._lengths import Lengths, length_fault, lengths, metric_fault
from prunnet_export.vectors._metrics import METRICS, Metric, Vectors
from prunnet_export.vectors._names import Names
from prunnet_export.vectors._nearest import Neighbours, nearest
from prunnet_export.vectors._open import holds_vectors, open_vectors
from prunnet_export.vectors._same import SameVectors, same_vectors
from prunnet_export.vectors._shards import KINDS, identity_of, sha256_of, shard_name
from prunnet_export.vectors._stored import Rows, StoredVectors

__all__ = [
    "KINDS",
    "METRICS",
    "Lengths",
    "Metric",
    "Names",
    "Neighbours",
    "Rows",
    "SameDistribution",
    "SameVectors",
    "Stored",
    "StoredVectors",
    "Vectors",
    "first_dimensions",
    "holds_vectors",
    "identity_of",
    "length_fault",
    "lengths",
    "metric_fault",
    "nearest",
    "open_vectors",
    "read_arrays",
    "same_distribution",
    "same_vectors",
    "sha256_of",
    "shard_name",
    "unit_vectors",
]
