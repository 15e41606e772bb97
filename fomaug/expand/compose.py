"""Animated copies: faces put back into their pictures, and pictures mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from numpy.typing import NDArray
from torch import Tensor

from fomaug.faces import MovedFace, Square, compose_motion, flow_cells, put_back
from fomaug.media import Picture, to_array, to_tensor
from fomaug.motion import MotionParams
from fomaug.types import Keypoints

_FACE_CELLS: Final = 64  # along the longer side of the smallest square, as in the flow of a whole picture


@dataclass(frozen=True, eq=False)
class AnimatedCopy:
    """One animated copy.

    Attributes:
        picture: copy, of its source's kind, size and depth.
        params: motion parameters, fitted to the source.
        flow: (1, h, w, 2) backward flow on the CPU, for the labels.
        occlusion: (1, 1, h, w).
        source_keypoints: keypoints of the source, on the model's device; None for a composed picture.
    """

    picture: Picture
    params: MotionParams
    flow: Tensor
    occlusion: Tensor
    source_keypoints: Keypoints | None = None


def compose(picture: Picture, squares: Sequence[Square], faces: Sequence[AnimatedCopy]) -> AnimatedCopy:
    """Put animated faces back into their picture; flow and occlusion become those of the whole picture.

    Args:
        picture: whole picture.
        squares: squares that the faces were cut out of; later ones cover earlier ones.
        faces: animated squares.

    Returns:
        The whole picture; `params` is the first face's draw and holds the others, each with its box. Outside of the
        squares, the picture is unchanged, bit for bit.
    """
    moved = [
        MovedFace(square, to_tensor(face.picture.pixels)[None], face.flow, face.occlusion)
        for square, face in zip(squares, faces, strict=True)
    ]
    flow, occlusion = compose_motion(picture.size, flow_cells(picture.size, _density(squares)), moved)
    boxed = [replace(face.params, box=square.edges) for square, face in zip(squares, faces, strict=True)]
    params = replace(boxed[0], others=tuple(boxed[1:]))
    whole = replace(
        picture,
        pixels=to_array(put_back(to_tensor(picture.pixels)[None], moved)[0]),
        alpha=_compose_alpha(picture, moved, faces),
    )
    return AnimatedCopy(whole, params, flow, occlusion)


def _compose_alpha(picture: Picture, moved: Sequence[MovedFace], faces: Sequence[AnimatedCopy]) -> NDArray[Any] | None:
    if picture.alpha is None:
        return None
    alphas = [
        replace(part, image=to_tensor(face.picture.alpha)[None])
        for part, face in zip(moved, faces, strict=True)
        if face.picture.alpha is not None
    ]
    return to_array(put_back(to_tensor(picture.alpha)[None], alphas)[0])


def mirror(copy: AnimatedCopy) -> AnimatedCopy:
    """Mirror a copy, with the flow and the occlusion that move its labels."""
    picture = copy.picture
    pixels, alpha = (None if part is None else part[:, ::-1].copy() for part in (picture.pixels, picture.alpha))
    assert pixels is not None
    return replace(
        copy,
        picture=replace(picture, pixels=pixels, alpha=alpha),
        flow=copy.flow.flip(2),
        occlusion=copy.occlusion.flip(3),
    )


def _density(squares: Sequence[Square]) -> float:
    return min(_FACE_CELLS / min(max(square.size) for square in squares), 1.0)
