"""Small datasets for studies, drawn rather than photographed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fomaug import MotionAugment


def _pattern(person: int, side: int = 24) -> NDArray[np.float64]:
    """A picture that only this person has: a few waves, (side, side) around 128."""
    rng = np.random.default_rng(person)
    y, x = np.mgrid[:side, :side] / side * 2 * np.pi
    waves = [np.sin(rng.integers(1, 4) * x + rng.integers(1, 4) * y + rng.uniform(0, 6)) for _ in range(3)]
    return 128 + 30 * np.sum(waves, axis=0)


def _write_classes(folder: Path, *, people: int = 4, pictures: int = 4, noise: float = 25.0) -> Path:
    """One folder for each person, with noisy pictures of the same pattern."""
    rng = np.random.default_rng(0)
    for person in range(people):
        for number in range(pictures):
            pixels = _pattern(person) + rng.normal(0, noise, (24, 24))
            path = folder / f"person_{person}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return folder


def _write_landmarks(folder: Path, *, people: int = 4, pictures: int = 3, points: int = 5) -> tuple[Path, Path]:
    """Bright dots on grey, a dot for each landmark; the CSV file lies beside the folder."""
    rng = np.random.default_rng(0)
    rows = ["file," + ",".join(f"x{i},y{i}" for i in range(points))]
    (folder / "pictures").mkdir(parents=True)
    for person in range(people):
        shape = rng.uniform(12, 36, (points, 2))
        for number in range(pictures):
            where = shape + rng.uniform(-3, 3, (1, 2))
            y, x = np.mgrid[:48, :48]
            dots = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / 4) for px, py in where)
            Image.fromarray((60 + 160 * dots).clip(0, 255).astype(np.uint8)).save(
                folder / "pictures" / f"p{person}_{number}.png"
            )
            rows.append(f"p{person}_{number}.png," + ",".join(f"{value:.3f}" for value in where.flatten()))
    (folder / "landmarks.csv").write_text("\n".join(rows))
    return folder / "pictures", folder / "landmarks.csv"


@pytest.fixture
def write_classes() -> Callable[..., Path]:
    return _write_classes


@pytest.fixture
def write_landmarks() -> Callable[..., tuple[Path, Path]]:
    return _write_landmarks


@pytest.fixture
def still(tiny_model, tiny_pool) -> MotionAugment:  # type: ignore[no-untyped-def]
    """Makes copies that are their sources, to the byte."""
    return MotionAugment(tiny_pool, tiny_model, p=0.0)
