"""How much is read from a file of each kind, at most. A larger file is refused before it is read."""

from __future__ import annotations

_MIB, _GIB = 2**20, 2**30

SETTINGS_BYTES = 16 * _MIB  # settings, manifests, tables and records
LIST_BYTES = 2 * _GIB  # lists of names, and logs with a line for each step
IMAGE_BYTES = _GIB  # one encoded image
ARRAYS_BYTES = 4 * _GIB  # arrays of numbers that are read into memory
WEIGHTS_BYTES = 16 * _GIB  # the weights of a network
MODEL_BYTES = 4 * _GIB  # a compiled model

NESTING = 64  # lists and tables inside one another in a document

# A compressed member of an archive may become this many times larger. Deflate reaches 1032 with zeros alone.
EXPANSION = 100
SMALL_MEMBER = 16 * _MIB  # members up to this size may expand without this limit
