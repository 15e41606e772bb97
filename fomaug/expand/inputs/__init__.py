"""Inputs of a job: folders of pictures, lists, tar files, parquet files, and folders on remote storage."""

from fomaug.expand.inputs.choice import ARCHIVES as ARCHIVES
from fomaug.expand.inputs.choice import has_annotations as has_annotations
from fomaug.expand.inputs.choice import list_archives_below as list_archives_below
from fomaug.expand.inputs.choice import list_input as list_input
from fomaug.expand.inputs.choice import pictures_root as pictures_root
from fomaug.expand.inputs.lists import labelled_by_metadata as labelled_by_metadata
from fomaug.expand.inputs.names import Listed as Listed
from fomaug.expand.inputs.names import named_by_folders as named_by_folders
from fomaug.expand.inputs.names import safe_key as safe_key

__all__ = [
    "ARCHIVES",
    "Listed",
    "has_annotations",
    "labelled_by_metadata",
    "list_archives_below",
    "list_input",
    "named_by_folders",
    "pictures_root",
    "safe_key",
]
