"""VeRi-776: vehicles in the pictures of a city's cameras (Liu et al., ECCV 2016)."""

from __future__ import annotations

from prunnet_export.training.data._reid import CameraFolders

SPLITS = ("image_train", "image_query", "image_test")

FORMAT = CameraFolders("veri", SPLITS, crop=256)
