"""What the libraries that read pictures raise over damaged files, as met in practice."""

from __future__ import annotations

import lzma
import struct
import zlib
from typing import Final

from PIL import Image

DAMAGE: Final = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,  # where warnings are errors
)
