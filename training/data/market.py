"""Market-1501 (Zheng et al., ICCV 2015), and data sets of pedestrians in its layout (DukeMTMC-reID)."""

from __future__ import annotations

from prunnet_export.training.data._reid import PEDESTRIAN, CameraFolders

SPLITS = ("bounding_box_train", "query", "bounding_box_test")
JUNK = -1  # detections that show too little of a person; they count neither as right nor as wrong
DISTRACTORS = 0  # detections without a pedestrian; they always count as wrong

FORMAT = CameraFolders("market", SPLITS, crop=PEDESTRIAN, gallery_only=(JUNK, DISTRACTORS), junk=(JUNK,))
