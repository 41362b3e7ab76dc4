"""Finds a device by its name."""

from __future__ import annotations

from prunnet_export._errors import UnknownName
from prunnet_export.devices._base import Device
from prunnet_export.devices._local import LocalDevice
from prunnet_export.devices._ssh import SshDevice


def find_device(name: str) -> Device:
    """The device ``local``, which is this machine, or a board ``ssh://[user@]host[:port][?python=PATH]``.

    Raises:
        UnknownName: the name is neither.
        InvalidInput: the address of a board is malformed.
    """
    if name == "local":
        return LocalDevice()
    if name.startswith("ssh://"):
        return SshDevice(name)
    raise UnknownName("device", name, ["local", "ssh://user@host"])
