"""MotionAugment in data loading: a dataset, a loader and a `collate_fn`."""

from fomaug.data.batch import motion_collate as motion_collate
from fomaug.data.dataset import MotionDataset as MotionDataset
from fomaug.data.loader import MotionLoader as MotionLoader

__all__ = ["MotionDataset", "MotionLoader", "motion_collate"]
