from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomaug.media import save_image


def make_face(seed: int, height: int = 48, width: int = 48, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    """A smooth picture of its own for every seed."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    array = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(dtype)
    array = array * 257 if dtype == np.uint16 else array
    alpha = np.full((height, width, 1), np.iinfo(dtype).max, dtype)
    alpha[:, : width // 3] = 0
    layouts = {1: array[..., 0], 2: np.dstack([array[..., :1], alpha]), 3: array, 4: np.dstack([array, alpha])}
    return layouts[channels]


@pytest.fixture
def face() -> Callable[..., np.ndarray]:
    return make_face


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Three people, five pictures, two of them of another size."""
    for seed, name in enumerate(["anna/1.png", "anna/2.png", "ben/1.png", "ben/2.jpg", "carla/1.png"]):
        side = 40 if name.endswith("2.png") else 48
        (tmp_path / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        save_image(tmp_path / "faces" / name, make_face(seed, side, side))
    return tmp_path / "faces"


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """All files below a folder."""
    return lambda root: {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
