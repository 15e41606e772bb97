"""Settings of the documentation site: `make docs` builds it."""

from __future__ import annotations

import sys
from pathlib import Path

import fomaug

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "fomaug"
author = "the fomaug contributors"
project_copyright = author
release = version = fomaug.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_copybutton",
    "option_tables",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"fomaug {release}"
smartquotes = False  # commands and options stay as they are typed
templates_path: list[str] = []

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Extras that only one module needs, and that are not installed wherever the site is built.
autodoc_mock_imports = ["kornia", "torchvision"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
