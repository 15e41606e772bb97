"""A video that compares models side by side: source | driving | a column for each model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fomaug.evaluation.measures import Frame
from fomaug.evaluation.reconstruction import Watch
from fomaug.media import Provenance, open_video

_BAND = 20  # height in pixels of the band with the names
_INK, _PAPER = (20, 20, 20), (255, 255, 255)


@contextmanager
def comparison_video(path: Path, models: Sequence[str], *, fps: float = 25) -> Iterator[Watch]:
    """Open a video whose frames come from `reconstruct(..., watch=...)`, clip after clip.

    Args:
        path: `.mp4`, `.gif` or `.webp` file; it is complete and marked as synthetic when the block ends without error.
        models: names above the columns, in the order of the models.
        fps: frames per second.

    Yields:
        The function for the argument `watch` of `reconstruct`. Clips of another size are scaled to the first one's.
    """
    head: list[Frame] = []
    size: list[tuple[int, int]] = []
    with open_video(path, fps, provenance=Provenance(model=", ".join(models))) as writer:

        def watch(_clip: str, source: Frame, driving: Frame, predictions: Sequence[Frame]) -> None:
            if not size:
                size.append((source.shape[1], source.shape[0]))
                head.append(headings(["source", "driving", *models], source.shape[1]))
            columns = [_scaled(part, size[0]) for part in (source, driving, *predictions)]
            writer.write(np.concatenate([head[0], np.concatenate(columns, axis=1)]))

        yield watch


def headings(names: Sequence[str], width: int) -> Frame:
    """Draw the band (20, len(names) * width, 3) uint8 with the names above columns, each shortened to its column."""
    band = Image.new("RGB", (width * len(names), _BAND), _PAPER)
    draw, font = ImageDraw.Draw(band), ImageFont.load_default()
    for column, name in enumerate(names):
        shown = name
        while len(shown) > 1 and draw.textlength(shown, font) > width - 4:
            shown = f"{shown.removesuffix('...')[:-1]}..." if len(shown) > 4 else shown[:-1]
        draw.text((column * width + 3, 4), shown, _INK, font)
    return np.asarray(band)


def _scaled(picture: Frame, size: tuple[int, int]) -> Frame:
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
