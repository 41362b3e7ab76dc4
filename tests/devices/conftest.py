from __future__ import annotations

from tests.devices._sshd import board

__all__ = ["board"]
