"""Warnings of a study: training pictures that show no face, and copies that the gates reject."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from fomaug.animator import Animator
from fomaug.faces import FaceTracker, is_face_model, is_steady
from fomaug.study.arms import Arm
from fomaug.study.crops import Image8
from fomaug.study.data import StudyData
from fomaug.study.design import Split

_CHECKED: Final = 50  # Largest number of pictures that are searched, since a search can take a third of a second.
_LARGE: Final = 0.2  # Share of pictures without a face above which a study warns; of portraits, one in 30 is missed.


class FaceCheck(NamedTuple):
    """The number of training pictures that were searched for a face, and of those that show none."""

    checked: int
    without_face: int


def warnings_of(check: FaceCheck | None, copies: Mapping[str, tuple[float, float]]) -> Iterator[str]:
    """Yield warnings if many training pictures show no face, or most copies of an arm are rejected.

    Args:
        check: result of the search for faces; None if there was none.
        copies: numbers of copies and of rejected copies of a choice, by the name of the arm.
    """
    if check is not None and check.without_face > _LARGE * check.checked:
        yield (
            f"no face was found in {check.without_face} of {check.checked} examined training pictures "
            f"({100 * check.without_face / check.checked:.0f} %); copies of such pictures are distorted pictures and "
            "not moved faces, so the verdict says little about copies of faces. Give upright pictures that are cropped "
            "to the face"
        )
    for name, (made, rejected) in copies.items():
        if rejected > made:
            yield (
                f"the gates rejected {rejected:.0f} of {made + rejected:.0f} copies of a choice "
                f"({100 * rejected / (made + rejected):.0f} %) in arm {name}, which therefore trains with few copies"
            )


def check_faces(data: StudyData, splits: Sequence[Split], arms: Sequence[Arm]) -> FaceCheck | None:
    """Search a sample of the training pictures of all choices for faces.

    Args:
        data: dataset of the study.
        splits: all choices of training pictures.
        arms: all arms; the first model whose keypoints are points of the face finds the faces.

    Returns:
        The numbers; None if no arm has such a model.
    """
    models = [arm.augment.model for arm in arms if arm.augment is not None]
    model = next(filter(is_face_model, models), None)
    if model is None:
        return None
    rows = np.unique(np.concatenate([split.train for split in splits]))
    chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), _CHECKED)).round().astype(int)]
    without = sum(not _shows_face(model, data.scene(int(row))[0]) for row in chosen)
    return FaceCheck(len(chosen), without)


def _shows_face(model: Animator, pixels: Image8) -> bool:
    """Return whether the whole picture, or a part of it, is a face; the quick check of the whole decides for most."""
    picture = np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
    missing = [max(pixels.shape[:2]) - length for length in pixels.shape[:2]]
    square = np.pad(picture, (*((gap // 2, gap - gap // 2) for gap in missing), (0, 0)), "edge")
    return is_steady(model, square) or bool(FaceTracker(model)(picture))
