"""LiteRT on the CPU."""

from prunnet_export.runtimes.litert._file import read_tflite
from prunnet_export.runtimes.litert._runtime import MODEL, LiteRt

__all__ = ["MODEL", "LiteRt", "read_tflite"]
