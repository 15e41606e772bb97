"""The dataset of a study: the inputs of all pictures are in memory, and the pictures are read on demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug.animator import Animator
from fomaug.driving import pose_sample, views_of
from fomaug.errors import ArgumentError, LabelError, MediaError
from fomaug.labels import FaceLabels
from fomaug.study.faces import Image8, input_points, read_face, read_scene, square_around, to_input
from fomaug.study.pictures import (
    Labelled,
    annotated,
    check_apart,
    check_names,
    class_of,
    error_scale,
    find_pictures,
    find_same,
    in_classes,
    narrowed,
    number_people,
    some,
    with_landmarks,
)
from fomaug.study.plan import StudyPlan


@dataclass(frozen=True, eq=False)
class StudyData:
    """The N usable pictures of a dataset.

    Attributes:
        folder: dataset folder.
        keys: paths of the pictures below their folder.
        images: (N, C, S, S) uint8 inputs of the network; C is 1 if all pictures are grey.
        people: (N,) index of the person of each picture.
        labels: (N,) index of the class of each picture.
        class_names: names of the classes.
        points: (N, P, 2) landmarks (x, y) in [-1, 1] of the input; None for other tasks.
        visible: (N, P) bool visibility of the landmarks; None for other tasks.
        scale: (N,) length that errors are divided by, in the unit of `points`; None for other tasks.
        faces: landmarks of each picture in pixels of its file, which the square that networks see is around; None where
            they see the whole picture.
        skipped: (key, reason) of each picture that cannot be used; keys of the test folder begin with its name.
        test_folder: test folder; None if the test pictures are chosen from the dataset folder.
        num_test: number of the last pictures, which are those of the test folder.
        notes: caveats for a verdict.
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
    faces: tuple[FaceLabels | None, ...]
    skipped: tuple[tuple[str, str], ...]
    test_folder: Path | None = None
    num_test: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def num_own(self) -> int:
        """Number of the first pictures, which are those of the dataset folder."""
        return len(self) - self.num_test

    @property
    def test_name(self) -> str | None:
        """Name of the test folder; None without one."""
        return None if self.test_folder is None else self.test_folder.resolve().name

    def scene(self, row: int) -> tuple[Image8, FaceLabels | None]:
        """Read what copies are made from: (H, W, 1 or 3) uint8, and the landmarks in its pixels, if there are any."""
        folder = self.folder if row < self.num_own or self.test_folder is None else self.test_folder
        path, labels = folder / self.keys[row], self.faces[row]
        return (read_face(path, None), None) if labels is None else read_scene(path, labels)


def load_data(folder: Path, plan: StudyPlan, *, features: bool) -> StudyData:
    """Read the pictures and labels that the task needs, of a dataset and of a test folder if the plan has one.

    Pictures of the test folder that are also in the dataset, byte for byte, are left out of the tests: a network that
    was trained on a picture recognises it, whatever its augmentation.

    Args:
        folder: folder of class folders; for landmarks, folder of pictures.
        plan: settings of the study; those for the task, the test folder, the annotations, the size and the people are
            used.
        features: whether a given model of features is used instead of the network, since its input is larger.

    Raises:
        ArgumentError: a folder holds no pictures for the task, or a setting does not fit them.
        LabelError: the annotations cannot be used.
    """
    listed = find_pictures(folder)
    test = None if plan.test is None else Path(plan.test)
    test_listed = [] if test is None else find_pictures(test, "test folder")
    if test is not None:
        check_apart(folder, test)
    if plan.task == "landmarks":
        own = annotated(folder, listed, plan.annotations, plan.annotation_format)
    else:
        own = with_landmarks(in_classes(folder, listed, least=2), plan.annotations, plan.annotation_format)
    parts = [own]
    if test is not None:
        parts.append(_test_part(own, test, test_listed, find_same(folder, listed, test, test_listed), plan))
    side = plan.side(features=features)
    return _gather(plan, parts, [_read(part, side) for part in parts])


class _Row(NamedTuple):
    image: Tensor
    face: FaceLabels | None
    points: Tensor | None
    visible: Tensor | None


def _read(part: Labelled, side: int) -> list[tuple[str, _Row]]:
    """Read the pictures of a folder; those that cannot be read are added to its skipped ones."""
    rows = []
    for key, labels in part.found.items():
        try:
            square = None if labels.points is None else square_around(labels)
            pixels = read_face(part.folder / key, square)
        except (MediaError, OSError) as error:
            part.skipped.append((key, str(error)))
            continue
        image = to_input(pixels, side)
        points, visible = input_points(labels, square, pixels.shape, image.shape[1]), _visible(labels)
        rows.append((key, _Row(image, None if square is None else labels, points, visible)))
    if not rows:
        raise ArgumentError(
            f"no picture of {part.folder} can be used; the reason for the first one is: {': '.join(part.skipped[0])}"
        )
    return rows


def _test_part(own: Labelled, test: Path, listed: Sequence[str], same: Mapping[str, str], plan: StudyPlan) -> Labelled:
    """Find the labels of the pictures of the test folder that are not in the dataset."""
    keys = [key for key in listed if key not in same]
    if not keys:
        raise ArgumentError(
            f"all {len(listed)} pictures of test folder {test} are also in dataset {own.folder}, byte for byte; give "
            "pictures that the networks are not trained on"
        )
    if plan.task == "landmarks":
        part = _annotated_test(own, test, keys, plan)
    else:
        part = in_classes(test, keys, least=1)
        if plan.annotations is not None:
            part = narrowed(part, _annotated_test(own, test, list(part.found), plan))
        check_names({class_of(key) for key in own.found}, {class_of(key) for key in part.found}, own.folder, test)
    part.skipped.extend((key, f"is the same file as {own.folder / known}") for key, known in same.items())
    note = (
        f"{len(same)} of {len(listed)} pictures of {test} are also in {own.folder}, byte for byte, and are not tested"
    )
    return part._replace(notes=(note,)) if same else part


def _annotated_test(own: Labelled, test: Path, keys: Sequence[str], plan: StudyPlan) -> Labelled:
    """Find the landmarks of the test pictures in their own annotations, or in those of the dataset."""
    annotations = plan.test_annotations or plan.annotations
    number = next(len(labels.points) for labels in own.found.values() if labels.points is not None)
    part = annotated(test, keys, annotations, plan.annotation_format, number=number)
    if plan.test_annotations is not None:
        return part
    for key, labels in part.found.items():
        if key in own.found and _same_points(labels, own.found[key]):
            raise LabelError(
                f"{annotations} has the same entry for {own.folder / key} and {test / key}, and it can be meant for "
                "one of them only; give the landmarks of the test folder as test_annotations"
            )
    return part


def _same_points(first: FaceLabels, second: FaceLabels) -> bool:
    assert first.points is not None and second.points is not None
    return np.array_equal(first.points, second.points, equal_nan=True)


def _visible(labels: FaceLabels) -> Tensor | None:
    if labels.points is None:
        return None
    return torch.from_numpy(np.ones(len(labels.points), bool) if labels.visible is None else labels.visible)


def _gather(plan: StudyPlan, parts: Sequence[Labelled], read: Sequence[list[tuple[str, _Row]]]) -> StudyData:
    keys, rows = zip(*(row for part in read for row in part), strict=True)
    is_target = plan.task == "landmarks"  # for other tasks, landmarks only say where the faces are
    points = [row.points for row in rows if row.points is not None and is_target]
    visible = [row.visible for row in rows if row.visible is not None and is_target]
    names, labels = np.unique([class_of(key) for key in keys], return_inverse=True)
    stacked = torch.stack(points) if points else None
    own, test = parts[0], parts[1] if len(parts) > 1 else None
    skipped = own.skipped + [
        (f"{part.folder.resolve().name}/{key}", why) for part in parts[1:] for key, why in part.skipped
    ]
    return StudyData(
        folder=own.folder,
        keys=keys,
        images=_same_channels([row.image for row in rows]),
        people=number_people(*([key for key, _ in part] for part in read), plan=plan),
        labels=labels.astype(np.int64),
        class_names=tuple(names.tolist()),
        points=stacked,
        visible=torch.stack(visible) if visible else None,
        scale=None if stacked is None else error_scale(stacked, plan.normaliser),
        faces=tuple(row.face for row in rows),
        skipped=tuple(sorted(skipped)),
        test_folder=None if test is None else test.folder,
        num_test=0 if test is None else len(read[1]),
        notes=tuple(_notes(plan, keys, test, len(read[0]))),
    )


def _notes(plan: StudyPlan, keys: Sequence[str], test: Labelled | None, num_own: int) -> Iterator[str]:
    """Yield the caveats of the pictures for a verdict."""
    unnamed = plan.task == "landmarks" and plan.group_pattern is None
    if test is None:
        if unnamed and len({class_of(key) for key in keys}) == len(keys):
            yield (
                "every picture counts as another person; if people have several pictures, give a group_pattern, or the "
                "tests are too easy"
            )
        return
    yield from test.notes
    if unnamed:
        yield (
            f"without a group_pattern it is not known who is in {test.folder}; the tests are too easy if people of the "
            "dataset are there, and the intervals too narrow if people have pictures in several folders"
        )
    classes, tested = ({class_of(key) for key in part} for part in (keys[:num_own], keys[num_own:]))
    if plan.task != "landmarks" and (untested := sorted(classes - tested)):
        yield f"{test.folder} has no pictures of {len(untested)} of {len(classes)} classes: {some(untested)}"


def _same_channels(images: Sequence[Tensor]) -> Tensor:
    """Stack inputs; they have one channel if all are grey, and RGB pictures with equal channels are grey, too."""
    if all(len(image) == 1 or bool((image == image[:1]).all()) for image in images):
        return torch.stack([image[:1] for image in images])
    return torch.stack([image.expand(3, -1, -1) for image in images])


def choose_views(data: StudyData, model: Animator) -> str:
    """Return views for the head poses that the pictures of the dataset show, as the purpose "auto" has them."""
    return views_of((data.scene(row)[0] for row in pose_sample(data.num_own)), model)
