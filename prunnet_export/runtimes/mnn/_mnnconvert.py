"""The converter of MNN as a process: it prints, and it may end its process."""

import importlib
import sys

importlib.import_module("_tools").mnnconvert(sys.argv)
