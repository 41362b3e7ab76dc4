"""Galleries in vector databases: their adapters, and their neighbours as rows."""

from prunnet_export.galleries._database import Entries, GalleryDatabase
from prunnet_export.galleries._open import open_database
from prunnet_export.galleries._rows import DatabaseRows

__all__ = ["DatabaseRows", "Entries", "GalleryDatabase", "open_database"]
