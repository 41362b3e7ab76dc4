"""The rows of a large gallery that the figures of a verification depend on.

A gallery of millions of vectors is not copied into an artifact. These rows of it are kept, for each query:

* the 10 nearest to the teacher's query vector, which the overlap counts,
* the 20 nearest to the artifact's embedding, twice as many as the overlap looks at,
* one relevant row, if it is known which rows are relevant.

Overlap and R@1 in these rows are those in the whole gallery: rows that were left out are not among the 10 nearest of
either side. Embeddings that differ a little on another device may have other nearest rows. Those may be missing, so
that the repeated overlap is never below the overlap in the whole gallery.
"""

from __future__ import annotations

import numpy as np

from prunnet_export.evaluating._search_gates import NEIGHBOURS
from prunnet_export.relevance import Indices, Relevance

ARTIFACT_NEIGHBOURS = 2 * NEIGHBOURS
_CELLS = 4_000_000  # pairs of query and row whose relevance is in memory at once


def one_relevant_row(relevance: Relevance, kept: Indices) -> Indices:
    """A relevant row of each query that has some in the gallery, but none among the kept rows. int64, in any order."""
    queries = np.arange(len(relevance))
    missing = np.flatnonzero((relevance.counts() > 0) & (relevance.restricted(queries, kept).counts() == 0))
    step = max(1, _CELLS // relevance.shape[1])
    found = []
    for start in range(0, len(missing), step):
        some = relevance.restricted(missing[start : start + step], np.arange(relevance.shape[1]))
        found.append(some.rows(0, len(some))[0].argmax(axis=1))
    return np.concatenate([np.empty(0, np.int64), *found])
