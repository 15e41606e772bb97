"""The keypoints of a clip's frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from fomaug.animator import Animator
from fomaug.driving.watch import FaceWatch
from fomaug.errors import MediaError
from fomaug.faces import Square
from fomaug.media import Clip, Frame, to_unit
from fomaug.types import Keypoints

Item = TypeVar("Item")


def read_keypoints(
    clip: Clip,
    box: Square | None,
    model: Animator,
    *,
    batch_size: int,
    progress: bool = False,
    watch: FaceWatch | None = None,
) -> tuple[Keypoints, list[str]]:
    """Find the keypoints of all frames of a clip; memory is that of one batch of frames, and of the keypoints.

    Args:
        clip: whose frames.
        box: what the model sees of them; None for all.
        model: that finds the keypoints.
        batch_size: frames that it looks at together.
        progress: show a bar.
        watch: is shown every batch.

    Returns:
        The keypoints, and sentences about frames that cannot be read.

    Raises:
        MediaError: not one can be read.
    """
    damage: list[str] = []
    frames = clip.frames(on_damage=damage.append)
    shown = tqdm(frames, desc=f"motion of {clip.name}", unit="frame", disable=not progress, leave=False)
    small = (_shrunk(frame if box is None else box.cut_pixels(frame), model.size) for frame in shown)
    keypoints = _joined(_detect(batch, model, watch) for batch in batches(small, batch_size))
    if keypoints is None:
        raise MediaError(f"{clip.path} has no frame that can be read")
    return keypoints, damage


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Split a stream into lists of at most `size`.

    >>> list(batches("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _detect(batch: Sequence[Frame], model: Animator, watch: FaceWatch | None) -> Keypoints:
    keypoints = model.detect(to_unit(np.stack(batch))).to("cpu")
    if watch is not None:
        watch(batch, keypoints)
    return keypoints


def _joined(parts: Iterable[Keypoints]) -> Keypoints | None:
    """Join keypoints as they come, into few large blocks; None if there are none.

    Thousands of small blocks, each allocated among the large buffers of a network, would keep the C library from giving
    those back: memory would grow with the clip by more than a picture a frame.
    """
    held: list[Keypoints] = []
    for part in parts:
        held.append(part)
        while len(held) > 1 and len(held[-2]) <= len(held[-1]):
            last = held.pop()
            held[-1] = Keypoints.cat([held[-1], last])
    return Keypoints.cat(held) if held else None


def _shrunk(picture: Frame, side: int) -> Frame:
    """Bring large frames down before they are batched: sixteen frames of a film do not fit in memory as floats."""
    height, width = picture.shape[:2]
    if max(height, width) <= side:
        return np.ascontiguousarray(picture)
    scale = side / max(height, width)
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.array(
        Image.fromarray(picture).resize(small, Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BILINEAR)
    )
