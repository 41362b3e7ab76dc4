"""Arm's Ethos-U, a microcontroller's NPU."""

from prunnet_export.runtimes.ethos_u._runtime import EthosU

__all__ = ["EthosU"]
