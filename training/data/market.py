"""Market-1501 (Zheng et al., ICCV 2015), and data sets of pedestrians in its layout (DukeMTMC-reID)."""

from __future__ import annotations

from prunnet_export.training.data._reid import CameraFolders

SPLITS = ("bounding_box_train", "query", "bounding_box_test")
JUNK = -1  # detections that show too little of anybody: neither right nor wrong
DISTRACTORS = 0  # detections of no pedestrian: always wrong

FORMAT = CameraFolders("market", SPLITS, nobody=(JUNK, DISTRACTORS), junk=(JUNK,))
