from __future__ import annotations

from tests.devices._hostile import hostile
from tests.devices._sshd import board

__all__ = ["board", "hostile"]
