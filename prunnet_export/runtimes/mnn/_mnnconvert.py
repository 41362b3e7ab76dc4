"""The converter of MNN as a process: it prints, and it may end its process."""

import sys

import _tools

_tools.mnnconvert(sys.argv)
