"""The canonical face: the mean mesh, and its points that are the light model's keypoints.

Mesh points are those of the 478-point face mesh with irises; x right, y down, z away from the viewer, in the normalised
units of a picture in which the face has its usual size.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug.types import Keypoints

KEYPOINT_POINTS: Final[dict[str, tuple[int, ...]]] = {
    "eye outer right": (33,),
    "eye inner right": (133,),
    "eye inner left": (362,),
    "eye outer left": (263,),
    "lid upper right": (159,),
    "lid lower right": (145,),
    "lid upper left": (386,),
    "lid lower left": (374,),
    "iris right": (468,),
    "iris left": (473,),
    "brow inner right": (107, 55),
    "brow inner left": (336, 285),
    "brow right": (105,),
    "brow left": (334,),
    "nose tip": (1,),
    "nose bridge": (168,),
    "mouth corner right": (61,),
    "mouth corner left": (291,),
    "lip upper outer": (0,),
    "lip upper inner": (13,),
    "lip lower inner": (14,),
    "lip lower outer": (17,),
    "chin": (152,),
    "jaw right": (172,),
    "jaw left": (397,),
    "ear right": (234,),
    "ear left": (454,),
    "forehead": (10,),
}
"""Name of each keypoint and the mesh points whose mean it is; right and left are the person's own."""

_NEIGHBOURS: Final = 40
_RIDGE: Final = 5.0  # in squared spacings of the mesh; regularises local affine maps towards that of the whole face


@cache
def mean_mesh() -> Tensor:
    """Return the mean face, (478, 3) float32, frontal, neutral, centred."""
    with (files("fomaug") / "assets" / "face.npz").open("rb") as file, np.load(file, allow_pickle=False) as data:
        return torch.from_numpy(data["mean"].astype(np.float32))


@cache
def mirror_order() -> Tensor:
    """Return the index of the mirrored counterpart of each mesh point, (478,) int64."""
    with (files("fomaug") / "assets" / "face.npz").open("rb") as file, np.load(file, allow_pickle=False) as data:
        return torch.from_numpy(data["mirror"].astype(np.int64))


def mesh_keypoints(mesh: Tensor) -> Keypoints:
    """Compute the keypoints of face meshes.

    The jacobian is the affine map that best fits the surroundings of the keypoint from the mean face to the picture.

    Args:
        mesh: (B, 478, 2 or 3) normalised mesh points.

    Returns:
        Keypoints of B frames, jacobians about the identity for a frontal face of usual size.
    """
    rows = torch.einsum("kcm,bmi->bkic", _operator().to(mesh), mesh[..., :2])  # (B, K, 2, 3)
    return Keypoints(rows[..., 0], rows[..., 1:])


def keypoint_frames(mesh: Tensor) -> Tensor:
    """Compute the keypoints of a mesh in space.

    Args:
        mesh: (..., 478, 3) points of a mesh, or displacements of them.

    Returns:
        (..., K, 3, 3): the point in the first column and its jacobian, with a third row for depth, in the others.
    """
    return torch.einsum("kcm,...mi->...kic", _operator().to(mesh), mesh)


@cache
def _operator() -> Tensor:
    """Return (K, 3, 478), the linear map from meshes to the keypoints' values and jacobians."""
    mean = mean_mesh()[:, :2].double()
    means = torch.zeros(len(KEYPOINT_POINTS), 478, dtype=torch.float64)
    for row, points in enumerate(KEYPOINT_POINTS.values()):
        means[row, list(points)] = 1 / len(points)
    centred = mean - mean.mean(0)
    whole = torch.linalg.solve(centred.T @ centred, centred.T)  # (2, 478), the whole face's affine map
    nearest = torch.cdist(means @ mean, mean).topk(_NEIGHBOURS, largest=False).indices
    ridge = _RIDGE * 0.02**2 * torch.eye(2, dtype=torch.float64)
    jacobians = []
    for neighbours in nearest:
        local = mean[neighbours] - mean[neighbours].mean(0)
        of_neighbours = torch.zeros(2, 478, dtype=torch.float64)
        of_neighbours[:, neighbours] = local.T
        jacobians.append(torch.linalg.solve(local.T @ local + ridge, of_neighbours + ridge @ whole))
    return torch.cat([means[:, None], torch.stack(jacobians)], 1).float()


def rotation(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Make head rotations (B, 3, 3) from angles (B,) in radians: roll first, then pitch, then yaw."""
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, -1).view(-1, 3, 3)

    about_y = matrix(yaw.cos(), zero, yaw.sin(), zero, one, zero, -yaw.sin(), zero, yaw.cos())
    about_x = matrix(one, zero, zero, zero, pitch.cos(), -pitch.sin(), zero, pitch.sin(), pitch.cos())
    about_z = matrix(roll.cos(), -roll.sin(), zero, roll.sin(), roll.cos(), zero, zero, zero, one)
    return about_y @ about_x @ about_z


Array = NDArray[np.float32]


def mean_face(meshes: Array, *, rounds: int = 4) -> Array:
    """Average face meshes without their position, size and rotation, and make the result symmetric.

    Args:
        meshes: (N, 478, 3) face meshes with axes x right, y down, z away from the viewer.
        rounds: number of rounds of averaging and aligning.

    Returns:
        (478, 3) float32, centred, of mean size, symmetric about x = 0.
    """
    centred = meshes - meshes.mean(1, keepdims=True)
    size = np.sqrt((centred**2).sum((1, 2), keepdims=True))
    shapes = (centred / size).astype(np.float64)
    mean = np.median(shapes, 0)
    for _ in range(rounds):
        mean = _symmetric(mean)
        mean = np.median(_aligned(shapes, mean), 0)
    scale = float(np.median(size)) / np.sqrt((mean**2).sum())
    return np.asarray(_symmetric(mean) * scale, np.float32)


def _pair_mirrored(mean: NDArray[np.floating]) -> NDArray[np.int64]:
    """Find the index (478,) of each mesh point's mirror image, for an approximately symmetric face."""
    flipped = mean * np.array([-1, 1, 1])
    distance = np.linalg.norm(flipped[:, None] - mean[None], axis=-1)
    order: NDArray[np.int64] = distance.argmin(1)
    assert np.array_equal(order[order], np.arange(len(mean))), "the mean face is not symmetric enough"
    return order


def _aligned(shapes: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    u, _, vt = np.linalg.svd(np.einsum("bni,nj->bij", shapes, mean))
    sign = np.sign(np.linalg.det(u @ vt))
    vt[:, -1] *= sign[:, None]
    return np.asarray(shapes @ (u @ vt))


def _symmetric(mean: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = mean - mean.mean(0)
    # The face is rotated so that its left-right axis (eye corners, mouth corners, temples) is x.
    axis = mean[[263, 362, 291, 454]].mean(0) - mean[[33, 133, 61, 234]].mean(0)
    x = axis / np.linalg.norm(axis)
    y = mean[152] - mean[10]
    y = y - x * (x @ y)
    y /= np.linalg.norm(y)
    mean = mean @ np.stack([x, y, np.cross(x, y)], 1)
    mean[:, 0] -= np.median([mean[[33, 263], 0].mean(), mean[[61, 291], 0].mean(), mean[1, 0]])
    order = _pair_mirrored(mean)
    return np.asarray((mean + mean[order] * np.array([-1, 1, 1])) / 2)
