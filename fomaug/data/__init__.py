"""MotionAugment in data loading: a dataset, a loader and a `collate_fn`."""

from fomaug.data._collate import motion_collate as motion_collate
from fomaug.data._dataset import MotionDataset as MotionDataset
from fomaug.data._loader import MotionLoader as MotionLoader

__all__ = ["MotionDataset", "MotionLoader", "motion_collate"]
