"""The converter of MNN as a process: it prints, and it may end its process."""

import sys

import _tools  # type: ignore[import-not-found]  # a file of MNN, which is not always installed

_tools.mnnconvert(sys.argv)
