"""Output formats of copies. Importing the package registers the writers of all its files; pyarrow is imported later."""

import importlib
import pkgutil

from fomaug.expand.formats.registry import FORMATS as FORMATS
from fomaug.expand.formats.registry import ArchiveWriter as ArchiveWriter
from fomaug.expand.formats.registry import FormatWriter as FormatWriter
from fomaug.expand.formats.registry import Unfinished as Unfinished
from fomaug.expand.formats.registry import archive_suffix as archive_suffix
from fomaug.expand.formats.registry import is_whole_archive as is_whole_archive
from fomaug.expand.formats.registry import load_outputs as load_outputs
from fomaug.expand.formats.registry import open_writer as open_writer
from fomaug.expand.formats.registry import register as register

__all__ = [
    "FORMATS",
    "ArchiveWriter",
    "FormatWriter",
    "Unfinished",
    "archive_suffix",
    "is_whole_archive",
    "load_outputs",
    "open_writer",
    "register",
]

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_file.name}")
