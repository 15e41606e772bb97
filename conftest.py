"""A stand-in for the compiled half of torchvision where it is missing; what is not collected without its library."""

from __future__ import annotations

import importlib
import os
import sys

import torch

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

OPERATORS = (
    "nms",
    "qnms",
    *(
        f"{prefix}{name}{suffix}"
        for name in ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d")
        for prefix, suffix in (("", ""), ("_", "_backward"))
    ),
)
_library = None


def _declare_operators() -> None:
    """Let the Python half of torchvision be imported where its compiled half is missing.

    torchvision asks for its compiled operators by name when it is imported, and there is no CPU build of it for every
    torch. Its transforms v2 and tv_tensors are pure Python and never call them, so a declaration of the names, without
    anything behind it, is enough for them. Where torchvision can be imported, and where it is not installed at all,
    this does nothing.
    """
    global _library
    try:
        import torchvision  # noqa: F401
    except ModuleNotFoundError:
        return
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # half imported
        _library = torch.library.Library("torchvision", "DEF")
        for name in OPERATORS:
            _library.define(f"{name}(Tensor values) -> Tensor")


_declare_operators()


def _is_missing(library: str) -> bool:
    try:
        importlib.import_module(library)
    except ImportError:
        return True
    return False


_ADAPTERS = {"kornia": ["kornia.py"], "torchvision": ["torchvision.py", "_tv_tensors.py"]}
collect_ignore = [
    f"fomaug/integrations/{name}" for library, names in _ADAPTERS.items() if _is_missing(library) for name in names
]
