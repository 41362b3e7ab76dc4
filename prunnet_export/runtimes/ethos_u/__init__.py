"""Arm's Ethos-U, an NPU of microcontrollers."""

from prunnet_export.runtimes.ethos_u._runtime import EthosU

__all__ = ["EthosU"]
