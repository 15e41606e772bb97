"""Output formats of copies. Importing the package registers all formats; pyarrow is imported when it is needed."""

from fomaug.expand.formats.folder import FolderWriter as FolderWriter
from fomaug.expand.formats.parquet import ParquetWriter as ParquetWriter
from fomaug.expand.formats.registry import FORMATS as FORMATS
from fomaug.expand.formats.registry import FormatWriter as FormatWriter
from fomaug.expand.formats.registry import Sample as Sample
from fomaug.expand.formats.registry import load_outputs as load_outputs
from fomaug.expand.formats.registry import open_writer as open_writer
from fomaug.expand.formats.registry import register as register
from fomaug.expand.formats.tar import TarWriter as TarWriter

__all__ = [
    "FolderWriter",
    "ParquetWriter",
    "FORMATS",
    "FormatWriter",
    "Sample",
    "load_outputs",
    "open_writer",
    "register",
    "TarWriter",
]
