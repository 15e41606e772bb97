"""The formats that trainers read; importing the package registers all converters."""

import importlib
import pkgutil

from fomaug.convert.formats.registry import CONVERTERS as CONVERTERS
from fomaug.convert.formats.registry import Context as Context
from fomaug.convert.formats.registry import Converter as Converter
from fomaug.convert.formats.registry import find_converter as find_converter
from fomaug.convert.formats.registry import register as register

__all__ = ["CONVERTERS", "Context", "Converter", "find_converter", "register"]

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_file.name}")
