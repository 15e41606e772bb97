"""The canonical face: the average of face meshes, seen from the front."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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


def mirror_order(mean: NDArray[np.floating]) -> NDArray[np.int64]:
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
    order = mirror_order(mean)
    return np.asarray((mean + mean[order] * np.array([-1, 1, 1])) / 2)
