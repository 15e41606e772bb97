"""The figures of the documentation are those that its script draws."""

from __future__ import annotations

import os
import re
from pathlib import Path

import fresh
from pages import ROOT, list_pages
from PIL import Image

SCRIPT = ROOT / "docs" / "draw_figures.py"
PICTURES = ROOT / "docs" / "pictures"


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in folder.iterdir():
        with Image.open(path) as image:
            found[path.name] = image.size
    return found


def test_the_script_draws_every_figure_in_its_size(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.fspath(ROOT), "OMP_NUM_THREADS": "1"}
    fresh.run([SCRIPT, tmp_path], env=environment, check=True, timeout=300)
    assert sizes(tmp_path) == sizes(PICTURES)


def test_every_figure_is_shown_on_a_page() -> None:
    shown = {name for page in list_pages() for name in re.findall(r"pictures/([\w.]+)\)", page.read_text())}
    assert {path.name for path in PICTURES.iterdir()} == shown
