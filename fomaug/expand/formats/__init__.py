"""The formats in which copies are written."""

from fomaug.expand.formats.folder import Sample as Sample
from fomaug.expand.formats.folder import Sink as Sink
from fomaug.expand.formats.folder import load_outputs as load_outputs
from fomaug.expand.formats.folder import open_sink as open_sink

__all__ = [
    "Sample",
    "Sink",
    "load_outputs",
    "open_sink",
]
