"""Put the animated faces of a picture back, alpha and depth kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from numpy.typing import NDArray

from fomaug.expand.move import Moved
from fomaug.faces import MovedFace, Square, compose_motion, flow_cells, put_back
from fomaug.media import Picture, to_array, to_tensor

_FACE_CELLS: Final = 64  # along the longer side of the smallest square, as in the flow of a whole picture


def compose(picture: Picture, squares: Sequence[Square], faces: Sequence[Moved]) -> Moved:
    """Put animated faces back into their picture; flow and occlusion become those of the whole picture.

    Args:
        picture: whole picture.
        squares: squares that the faces were cut out of; later ones cover earlier ones.
        faces: animated squares.

    Returns:
        The whole picture, its parameters those of all faces with their boxes. Outside of the squares, the picture is
        unchanged, bit for bit.
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
    return Moved(whole, params, flow, occlusion)


def _compose_alpha(picture: Picture, moved: Sequence[MovedFace], faces: Sequence[Moved]) -> NDArray[Any] | None:
    if picture.alpha is None:
        return None
    alphas = [
        replace(part, image=to_tensor(face.picture.alpha)[None])
        for part, face in zip(moved, faces, strict=True)
        if face.picture.alpha is not None
    ]
    return to_array(put_back(to_tensor(picture.alpha)[None], alphas)[0])


def _density(squares: Sequence[Square]) -> float:
    return min(_FACE_CELLS / min(max(square.size) for square in squares), 1.0)
