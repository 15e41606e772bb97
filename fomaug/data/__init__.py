"""MotionAugment in data loading: a dataset, a loader and a `collate_fn`."""

from fomaug.data.batch import EXPRESSION_FIELDS as EXPRESSION_FIELDS
from fomaug.data.batch import add_views as add_views
from fomaug.data.batch import motion_collate as motion_collate
from fomaug.data.batch import view_labels as view_labels
from fomaug.data.dataset import MotionDataset as MotionDataset
from fomaug.data.loader import MotionLoader as MotionLoader

__all__ = ["EXPRESSION_FIELDS", "MotionDataset", "MotionLoader", "add_views", "motion_collate", "view_labels"]
