"""Synthetic people who talk: points of a head in space, turned a little and projected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

# x, y, nearness of ten points of a face: brows, eyes, nose, mouth corners, lips, chin, ears.
FACE = np.array(
    [
        (-0.4, -0.4, 0.25),
        (0.4, -0.4, 0.25),
        (0.0, 0.0, 0.75),
        (-0.3, 0.4, 0.3),
        (0.3, 0.4, 0.3),
        (0.0, 0.35, 0.45),
        (0.0, 0.5, 0.4),
        (0.0, 0.9, 0.3),
        (-0.8, 0.0, -0.5),
        (0.8, 0.0, -0.5),
    ]
)


@dataclass(frozen=True)
class Heads:
    """Keypoints (T, 10, 2) of each track, and the angles in degrees they were made with."""

    values: list[np.ndarray]
    yaw: np.ndarray
    pitch: np.ndarray


def talk(rng: np.random.Generator, frames: int, yaw_range: float, pitch_range: float) -> tuple[np.ndarray, ...]:
    phase, speed = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.5, 2, 3)
    time = np.linspace(0, 4 * np.pi, frames)
    # Cubed: people look at the camera most of the time.
    yaw, pitch, roll = (np.sin(time[:, None] * speed + phase) ** 3 * (yaw_range, pitch_range, 3)).T
    jaw = 0.05 * np.abs(np.sin(5 * time))
    return yaw, pitch, roll, jaw


def project(yaw, pitch, roll, jaw, scale, offset) -> np.ndarray:
    points = np.repeat(FACE[None], len(yaw), 0)
    points[:, 6:8, 1] += jaw[:, None]
    x, y, z = points.transpose(2, 0, 1)
    (sy, cy), (sp, cp), (sr, cr) = (
        (np.sin(a)[:, None], np.cos(a)[:, None]) for a in map(np.radians, (yaw, pitch, roll))
    )
    x, z = cy * x - sy * z, cy * z + sy * x
    y = cp * y + sp * z
    x, y = cr * x - sr * y, sr * x + cr * y
    return np.stack([x, y], -1) * scale + offset


@pytest.fixture(scope="session")
def heads() -> Heads:
    """Twelve people: most hardly turn, as people do who talk to a camera."""
    rng = np.random.default_rng(5)
    tracks = []
    for _ in range(12):
        angles = talk(rng, 60, rng.uniform(5, 30), rng.uniform(3, 15))
        tracks.append((*angles, rng.uniform(0.25, 0.5), rng.uniform(-0.2, 0.2, 2)))
    values = [project(*track) for track in tracks]
    return Heads(values, np.concatenate([t[0] for t in tracks]), np.concatenate([t[1] for t in tracks]))
