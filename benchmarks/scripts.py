"""Scripts beside the project that benchmarks use, such as a renderer of heads or the networks that judge clips."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any


def load_script(path: Path) -> Any:
    """Import a script by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def open_renderer(folder: Path) -> tuple[Any, Any, Any]:
    """Import `render.py` of a folder, and return it with its assets and a renderer of them."""
    render = load_script(folder / "render.py")
    assets = render.Assets(str(folder / "assets.npz"))
    return render, assets, render.Renderer(assets)
