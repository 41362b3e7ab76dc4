"""Makes every process believe that its processor is emulated. It runs before everything else, in every process."""

from unittest.mock import patch

from prunnet_export.devices import _fingerprint

patch.object(_fingerprint, "emulator", lambda: "shim").start()
