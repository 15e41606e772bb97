"""The whole chain with the shipped model: dots drawn on a face move like the points at them."""

from __future__ import annotations

from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from PIL import Image

from fomaug import list_models
from fomaug.integrations.albumentations import MotionAugment

FACES = sorted((Path(__file__).parents[2] / "examples" / "faces").glob("person_*/*.jpg"))
PLACES = [(100, 120), (156, 120), (128, 150), (128, 60), (40, 40), (110, 190)]
RADIUS = 4


@pytest.mark.skipif(
    "lite-256" not in [model.name for model in list_models()] or not FACES,
    reason="the shipped model and faces are not here",
)
def test_points_stay_on_the_dots_of_a_real_face():
    y, x = np.mgrid[:256, :256]
    params = A.KeypointParams("xy", remove_invisible=False)
    pipeline = A.Compose([MotionAugment(p=1.0, strength_range=(1.0, 1.0))], seed=0, keypoint_params=params)
    distances, motions = [], []
    for file in FACES[:2] * 2:
        picture = np.array(Image.open(file).convert("RGB"))
        for px, py in PLACES:
            picture[(x - px) ** 2 + (y - py) ** 2 <= RADIUS**2] = (0, 255, 0)
        found = pipeline(image=picture, keypoints=PLACES)
        red, green, blue = found["image"].astype(float).transpose(2, 0, 1)
        greenness = (green - np.maximum(red, blue) - 60).clip(0)
        for start, (px, py) in zip(PLACES, found["keypoints"], strict=True):
            near = greenness * ((x - px) ** 2 + (y - py) ** 2 <= 100)
            middle = np.array([(near * x).sum(), (near * y).sum()]) / near.sum()
            distances.append(np.hypot(*(middle - (px, py))))
            motions.append(np.hypot(px - start[0], py - start[1]))
    assert np.mean(motions) > 3
    assert np.mean(distances) < 0.5 and np.max(distances) < 2
