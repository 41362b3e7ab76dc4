"""Which kind of system this is."""

from __future__ import annotations

import os

WINDOWS = not hasattr(os, "fork")
"""Whether this is Windows: it opens no folders, keeps files that are open, and passes no descriptors to a child."""
