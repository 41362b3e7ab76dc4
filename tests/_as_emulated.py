"""Makes every process believe that its processor is emulated. It runs before everything else, in every process."""

from prunnet_export.devices import _fingerprint

_fingerprint.emulator = lambda: "shim"  # type: ignore[attr-defined]  # it imports the function from elsewhere
