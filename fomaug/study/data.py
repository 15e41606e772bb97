"""The dataset of a study: the inputs of all pictures are in memory, and the pictures are read on demand."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug.animator import Animator
from fomaug.driving import pose_sample, views_of
from fomaug.errors import ArgumentError, LabelError, MediaError
from fomaug.faces import Square
from fomaug.labels import FaceLabels, read_annotations
from fomaug.study.pictures import (
    Image8,
    find_pictures,
    in_square,
    read_face,
    square_around,
    to_input,
    to_pixels,
    to_unit,
)
from fomaug.study.plan import StudyPlan

_EYES: Final = {5: (0, 1), 68: (36, 45)}


@dataclass(frozen=True, eq=False)
class StudyData:
    """The N usable pictures of a dataset.

    Attributes:
        folder: dataset folder.
        keys: paths of the pictures below the folder.
        images: (N, C, S, S) uint8 inputs of the network; C is 1 if all pictures are grey.
        people: (N,) index of the person of each picture.
        labels: (N,) index of the class of each picture.
        class_names: names of the classes.
        points: (N, P, 2) landmarks (x, y) in [-1, 1] of the input; None for other tasks.
        visible: (N, P) bool visibility of the landmarks; None for other tasks.
        scale: (N,) length that errors are divided by, in the unit of `points`; None for other tasks.
        squares: square of each picture that is used, in pixels of the file; None for the whole picture.
        skipped: (key, reason) of each picture that cannot be used.
    """

    folder: Path
    keys: tuple[str, ...]
    images: Tensor
    people: NDArray[np.int64]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    points: Tensor | None
    visible: Tensor | None
    scale: Tensor | None
    squares: tuple[Square | None, ...]
    skipped: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.keys)

    def picture(self, row: int) -> Image8:
        """Read the picture that copies are made from: (H, W, 1 or 3) uint8, at most 256 pixels on the longer side."""
        return read_face(self.folder / self.keys[row], self.squares[row])

    def landmarks(self, row: int, size: tuple[int, int]) -> FaceLabels | None:
        """Return the landmarks in pixels of `self.picture(row)`, whose size is (H, W); None for other tasks."""
        if self.points is None or self.visible is None:
            return None
        points = to_pixels(self.points[row], size, self.images.shape[-1])
        return FaceLabels(points=points, visible=self.visible[row].numpy())


def load_data(folder: Path, plan: StudyPlan, *, features: bool) -> StudyData:
    """Read the pictures and labels of a dataset that the task needs.

    Args:
        folder: folder of class folders; for landmarks, folder of pictures.
        plan: settings of the study; those for the task, the annotations, the size and the people are used.
        features: whether a given model of features is used instead of the network, since its input is larger.

    Raises:
        ArgumentError: the folder holds no pictures for the task, or a setting does not fit them.
        LabelError: the annotations cannot be used.
    """
    listed = find_pictures(folder)
    found, skipped = _annotated(folder, listed, plan) if plan.task == "landmarks" else (_in_classes(folder, listed), [])
    rows: dict[str, _Row] = {}
    for key, labels in found.items():
        try:
            square = None if labels.points is None else square_around(labels)
            pixels = read_face(folder / key, square)
        except (MediaError, OSError) as error:
            skipped.append((key, str(error)))
            continue
        image = to_input(pixels, plan.side(features=features))
        rows[key] = _Row(image, square, _points(labels, square, pixels.shape, image.shape[1]), _visible(labels))
    if not rows:
        raise ArgumentError(
            f"no picture of {folder} can be used; the reason for the first one is: {': '.join(skipped[0])}"
        )
    return _gather(folder, plan, rows, skipped)


class _Row(NamedTuple):
    image: Tensor
    square: Square | None
    points: Tensor | None
    visible: Tensor | None


def _in_classes(folder: Path, keys: Sequence[str]) -> dict[str, FaceLabels]:
    """Keep the pictures in class folders."""
    inside = [key for key in keys if "/" in key]
    if len({class_of(key) for key in inside}) < 2:
        raise ArgumentError(
            f"dataset {folder} needs a folder for each class, two or more; {len(inside)} of its {len(keys)} pictures "
            "are in folders. Give the folder that holds the class folders"
        )
    return {key: FaceLabels() for key in inside}


def _annotated(
    folder: Path, keys: Sequence[str], plan: StudyPlan
) -> tuple[dict[str, FaceLabels], list[tuple[str, str]]]:
    """Keep the pictures with the commonest number of landmarks; return the others with their reasons."""
    assert plan.annotations is not None
    read = read_annotations(plan.annotations, folder, format=plan.annotation_format)
    counts = {key: 0 if (xy := read[key].points) is None else len(xy) for key in keys if key in read}
    counts |= {key: 0 for key in counts if (seen := read[key].visible) is not None and not seen.any()}
    usual = Counter(count for count in counts.values() if count).most_common(1)
    if not usual:
        raise LabelError(
            f"{plan.annotations} has landmarks for no picture of {folder}; its names must be paths below that folder"
        )
    number = usual[0][0]
    skipped = [(key, "has no annotation") for key in keys if key not in counts]
    skipped += [
        (key, f"has {n} landmarks that can be seen, not {number}" if not n else f"has {n} landmarks, not {number}")
        for key, n in counts.items()
        if n != number
    ]
    return {key: read[key] for key, n in counts.items() if n == number}, sorted(skipped)


def class_of(key: str) -> str:
    """Return the name of the class folder of a picture; a picture outside of folders is a class of its own."""
    return PurePosixPath(key).parts[0]


def _points(labels: FaceLabels, square: Square | None, size: Sequence[int], side: int) -> Tensor | None:
    """Return the landmarks in [-1, 1] of the input."""
    if labels.points is None or square is None:
        return None
    return to_unit(in_square(labels.points, square, size), size, side)


def _visible(labels: FaceLabels) -> Tensor | None:
    if labels.points is None:
        return None
    return torch.from_numpy(np.ones(len(labels.points), bool) if labels.visible is None else labels.visible)


def _gather(folder: Path, plan: StudyPlan, rows: Mapping[str, _Row], skipped: Sequence[tuple[str, str]]) -> StudyData:
    keys = tuple(rows)
    points = [row.points for row in rows.values() if row.points is not None]
    visible = [row.visible for row in rows.values() if row.visible is not None]
    names, labels = np.unique([class_of(key) for key in keys], return_inverse=True)
    stacked = torch.stack(points) if points else None
    return StudyData(
        folder=folder,
        keys=keys,
        images=_same_channels([row.image for row in rows.values()]),
        people=_people(keys, plan.group_pattern),
        labels=labels.astype(np.int64),
        class_names=tuple(names.tolist()),
        points=stacked,
        visible=torch.stack(visible) if visible else None,
        scale=None if stacked is None else _scale(stacked, plan.normaliser),
        squares=tuple(row.square for row in rows.values()),
        skipped=tuple(sorted(skipped)),
    )


def _same_channels(images: Sequence[Tensor]) -> Tensor:
    """Stack inputs; they have one channel if all are grey, and RGB pictures with equal channels are grey, too."""
    if all(len(image) == 1 or bool((image == image[:1]).all()) for image in images):
        return torch.stack([image[:1] for image in images])
    return torch.stack([image.expand(3, -1, -1) for image in images])


def _people(keys: Sequence[str], pattern: str | None) -> NDArray[np.int64]:
    """Number the people by the pattern or the class folder; a picture outside of folders is a person of its own."""
    names = [class_of(key) if pattern is None else _person(key, pattern) for key in keys]
    numbers: NDArray[Any] = np.unique(names, return_inverse=True)[1]
    return numbers.astype(np.int64)


def _person(key: str, pattern: str) -> str:
    match = re.search(pattern, key)
    if match is None or match[1] is None:
        raise ArgumentError(f"group_pattern {pattern!r} finds no person in {key!r}; it is searched in such paths")
    return match[1]


def _scale(points: Tensor, normaliser: str) -> Tensor:
    """Return the distance of two landmarks, or the geometric mean of the sides of the landmarks' box."""
    count = points.shape[1]
    pair = _EYES.get(count) if normaliser == "auto" else None
    if "," in normaliser:
        first, second = (int(number) for number in normaliser.split(","))
        if max(first, second) >= count:
            raise ArgumentError(f"normaliser {normaliser!r} names a landmark beyond the last, which is {count - 1}")
        pair = first, second
    if pair is not None:
        length: Tensor = (points[:, pair[0]] - points[:, pair[1]]).norm(dim=1)
    else:
        length = (points.amax(1) - points.amin(1)).prod(1).sqrt()
    if not bool((length > 0).all()):
        raise ArgumentError("a picture has no distance to divide its errors by; give another normaliser, such as box")
    return length


def choose_views(data: StudyData, model: Animator) -> str:
    """Return views for the head poses that the pictures of the dataset show, as the purpose "auto" has them."""
    return views_of((data.picture(row) for row in pose_sample(len(data))), model)
