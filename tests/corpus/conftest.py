"""The files of the corpus are imported by their names, here and in the process that reads them."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "fuzz"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
