"""Scores: measures of animated images without ground truth; and gates: thresholds for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.animator import Animator
from fomaug.errors import ArgumentError, ShapeError, did_you_mean
from fomaug.geometry import Frame, coarsen_flow, hull_area, identity_grid, resize_flow, resize_map, warp_image
from fomaug.geometry.plane import cell_determinant
from fomaug.types import Keypoints

Embed = Callable[[Tensor], Tensor]

_SIDE = 128  # side of the reduced images that are measured; finer flaws are invisible
_CELLS = (64, 64)  # largest grid of a measured flow; on finer grids, edges of lids and outlines would count as folds
_BOX, _PATCH = 64, 12  # cells of a face's box along a side, and cells of a patch of the residual
_LARGEST, _SMALLEST = 8.0, 0.05  # limits of the area that a cell of the flow covers, relative to the cell


@dataclass(frozen=True)
class Scores:
    """Measures of the face in one animated image.

    Attributes:
        folded: share of the flow's cells that are flipped, or cover an area of the source far from their own.
        stretch: unevenness of the flow in the oval of the face: standard deviation of the logarithm of the areas that
            its cells cover. It is small for a face that is rotated or scaled as a whole, large for a distorted one.
        occluded: share of the face that is painted.
        keypoint_error: mean distance of the result's keypoints, mapped by the flow, from the source's keypoints, as a
            share of the face's size.
        residual: largest mean difference of a patch between the result and the warped source, where that is visible, in
            the oval of the face; in [0, 1]. The patch is 3/16 of the face's box wide and high.
        sharpness: ratio of the Laplacian energy to the source's.
        motion: mean motion of the keypoints, as a share of the face's size.
        identity: cosine similarity of the embeddings of source and result; None without an embedder.
    """

    folded: float
    stretch: float
    occluded: float
    keypoint_error: float
    residual: float
    sharpness: float
    motion: float
    identity: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain JSON values with five decimals."""
        return {name: None if value is None else round(value, 5) for name, value in asdict(self).items()}


def score(
    animator: Animator,
    source: Tensor,
    result: Tensor,
    flow: Tensor,
    occlusion: Tensor,
    *,
    keypoints: Keypoints | None = None,
    found: Keypoints | None = None,
    embed: Embed | None = None,
) -> list[Scores]:
    """Measure animated images against their sources.

    Args:
        animator: model that made the results, or any other model with keypoints on the face.
        source: (B, 3, H, W) float in [0, 1]; each source has N / B results.
        result: (N, 3, H, W) float in [0, 1], all results of the first source first.
        flow: (N, h, w, 2) backward flow.
        occlusion: (N, 1, h, w) in [0, 1].
        keypoints: keypoints of the B sources, such as those of `Animator.encode`; None to detect them.
        found: keypoints of the N results; None to detect them.
        embed: face embedder for `identity`, (N, 3, H, W) in [0, 1] to (N, D).

    Returns:
        The scores of each image.
    """
    copies = _count_copies(source, result, flow, occlusion)
    once = animator.detect(source) if keypoints is None else keypoints
    if len(once) != len(source):
        raise ShapeError(f"{len(source)} sources need the keypoints of {len(source)} frames, got {len(once)}")
    before, after = once.repeat_interleave(copies), animator.detect(result) if found is None else found
    size = source.shape[2], source.shape[3]
    points = _in_picture(after, animator, size)
    face = _face_weight(points)  # (N, 1, S, S)
    small, moved = _small(source), _small(result)
    energy = _energy(small, _face_weight(_in_picture(once, animator, size))).clamp(min=1e-4)
    folded, stretch = _distortion(flow, face, _oval(points))
    length = _size(once).repeat_interleave(copies)
    parts = {
        "folded": folded,
        "stretch": stretch,
        "occluded": _average(1 - resize_map(occlusion.to(face), (_SIDE, _SIDE)), face),
        "keypoint_error": _keypoint_error(animator, before, after, flow, size) / length,
        "residual": _residual(small.repeat_interleave(copies, 0), moved, flow, occlusion, points),
        "sharpness": _energy(moved, face) / energy.repeat_interleave(copies),
        "motion": (after.value - before.value).norm(dim=-1).mean(1) / length,
    }
    identity: list[float | None] = [None] * len(result)
    if embed is not None:
        known = _embedded(embed, source).repeat_interleave(copies, 0)
        identity = F.cosine_similarity(known, _embedded(embed, result)).tolist()
    rows = torch.stack(list(parts.values()), dim=1).double().cpu().tolist()
    return [Scores(**dict(zip(parts, row, strict=True)), identity=own) for row, own in zip(rows, identity, strict=True)]


def _count_copies(source: Tensor, result: Tensor, flow: Tensor, occlusion: Tensor) -> int:
    copies = len(result) // max(len(source), 1)
    if len(source) * copies != len(result) or not len(result) == len(flow) == len(occlusion):
        raise ShapeError(
            f"each of {len(result)} results needs one source, one flow and one occlusion map; "
            f"got {len(source)}, {len(flow)} and {len(occlusion)}"
        )
    return copies


def _in_picture(keypoints: Keypoints, animator: Animator, size: tuple[int, int]) -> Tensor:
    """Convert keypoints to (N, K, 2) points in the image's own frame."""
    return Frame(size, animator.size).points_to_picture(keypoints.value)


def _face_weight(value: Tensor) -> Tensor:
    """Draw a slightly enlarged box of the keypoints as (N, 1, S, S) of zeros and ones."""
    low, high = value.amin(1), value.amax(1)  # (N, 2)
    middle, half = (low + high) / 2, (high - low) / 2 * 1.1
    axis = torch.linspace(-1, 1, _SIDE, device=value.device)
    inside = (axis - middle[..., None]).abs() <= half[..., None]  # (N, 2, S)
    weight = (inside[:, 1, :, None] & inside[:, 0, None, :]).float()
    return weight[:, None]


def _oval(value: Tensor) -> Tensor:
    """Draw the oval in the box of the keypoints as (N, 1, S, S), because the background may move differently."""
    low, high = value.amin(1), value.amax(1)
    middle, half = (low + high) / 2, ((high - low) / 2).clamp(min=1e-3)
    axis = torch.linspace(-1, 1, _SIDE, device=value.device)
    away = ((axis - middle[..., None]) / half[..., None]).square()  # (N, 2, S)
    return (away[:, 1, :, None] + away[:, 0, None, :] < 1).float()[:, None]


def _average(maps: Tensor, weight: Tensor) -> Tensor:
    return (maps * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1)


def _distortion(flow: Tensor, face: Tensor, oval: Tensor) -> tuple[Tensor, Tensor]:
    """Measure the shares of cells that are folded in the faces, and the unevenness of the cells in their ovals."""
    area = cell_determinant(coarsen_flow(flow.float(), _CELLS))[:, None]
    bad = ((area < _SMALLEST) | (area > _LARGEST)).float()
    maps = torch.cat([bad, area.clamp(min=1e-2).log()], 1)
    bad, size = torch.split(F.interpolate(maps, size=(_SIDE, _SIDE), mode="nearest"), 1, 1)
    spread = (_average(size.square(), oval) - _average(size, oval).square()).clamp(min=0).sqrt()
    return _average(bad, face), spread


def _keypoint_error(
    animator: Animator, before: Keypoints, after: Keypoints, flow: Tensor, size: tuple[int, int]
) -> Tensor:
    """Measure (N,) distances of the source's keypoints from the coordinates that the flow gives for the result's."""
    points = _in_picture(after, animator, size)
    # The shift is sampled instead of the flow, because it is continued beyond the border, where keypoints may be.
    grid = identity_grid((flow.shape[1], flow.shape[2]), device=flow.device)
    shift = (flow.float() - grid).permute(0, 3, 1, 2)
    read = F.grid_sample(shift, points[:, None], padding_mode="border", align_corners=True)  # (N, 2, 1, K)
    mapped = points + read[:, :, 0].transpose(1, 2)
    expected = _in_picture(before, animator, size)
    longer = max(size)
    aspect = torch.tensor([size[1] / longer, size[0] / longer], device=flow.device)
    distance: Tensor = torch.linalg.vector_norm((mapped - expected) * aspect, dim=-1)  # (N, K)
    return distance.mean(1)


def _residual(small: Tensor, result: Tensor, flow: Tensor, occlusion: Tensor, value: Tensor) -> Tensor:
    """Measure the residual in the oval of each face; the corners of its box show painted hair and background."""
    warped = warp_image(small, resize_flow(flow.float(), (_SIDE, _SIDE)), padding="border")
    visible = resize_map(occlusion.float(), (_SIDE, _SIDE))
    difference = (result - warped).abs().mean(1, keepdim=True) * visible
    low, high = value.amin(1)[:, None, None], value.amax(1)[:, None, None]  # (N, 1, 1, 2)
    unit = identity_grid((_BOX, _BOX), device=value.device)
    face = F.grid_sample(difference, (low + high) / 2 + unit * (high - low) / 2, align_corners=True)
    oval = unit.square().sum(-1) < 1
    return F.avg_pool2d(face * oval, _PATCH, stride=_PATCH // 4).flatten(1).amax(1)


def _energy(small: Tensor, face: Tensor) -> Tensor:
    grey = small.mean(1, keepdim=True)
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], device=grey.device)
    edges = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), kernel[None, None])
    return _average(edges.abs(), face)


def _small(image: Tensor) -> Tensor:
    return F.interpolate(image.float(), size=(_SIDE, _SIDE), mode="bilinear", antialias=True)


def _size(keypoints: Keypoints) -> Tensor:
    return hull_area(keypoints.value).sqrt().clamp(min=1e-3)


def _embedded(embed: Embed, images: Tensor) -> Tensor:
    found = embed(images)
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(images):
        got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ShapeError(f"embed must map images {tuple(images.shape)} to a tensor (N, D), got {got}")
    return found.float()


@dataclass(frozen=True)
class Gates:
    """Thresholds for `Scores`; None disables a gate. docs/evidence/gates.md explains the defaults and their effect.

    Attributes:
        max_folded: largest `Scores.folded`.
        max_stretch: largest `Scores.stretch`.
        max_occluded: largest share of the face that is painted.
        max_keypoint_error: largest keypoint error, as a share of the face's size.
        max_residual: largest residual, in [0, 1].
        min_sharpness: least ratio of the sharpness to the source's.
        max_sharpness: largest ratio of the sharpness to the source's.
        min_motion: least motion, as a share of the face's size.
        min_identity: least cosine similarity; it needs an embedder.

    >>> Gates.from_dict({"max_folded": 0.1}).max_folded
    0.1
    """

    max_folded: float | None = 0.05
    max_stretch: float | None = 0.6
    max_occluded: float | None = 0.6
    max_keypoint_error: float | None = 0.07
    max_residual: float | None = 0.045
    min_sharpness: float | None = 0.4
    max_sharpness: float | None = 2.5
    min_motion: float | None = None
    min_identity: float | None = None

    def __post_init__(self) -> None:
        """Check the thresholds.

        Raises:
            ArgumentError: a threshold is not a number.
        """
        for name, value in vars(self).items():
            number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
            if value is not None and not number:
                raise ArgumentError(f"gate {name} must be a number or None, got {value!r}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Gates:
        """Read thresholds by name; others keep their defaults.

        Raises:
            ArgumentError: a gate is unknown, or a threshold is not a number.
        """
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise ArgumentError(
                    f"gates must be among {', '.join(sorted(known))}, got {name!r}{did_you_mean(name, known)}"
                )
        return cls(**values)

    def to_dict(self) -> dict[str, float | None]:
        """Convert to plain JSON values."""
        return asdict(self)


def judge(scores: Scores, gates: Gates) -> list[str]:
    """Return a reason for each gate that an image does not pass.

    Raises:
        ArgumentError: there is an identity gate, but no identity was measured.

    >>> good = Scores(0.0, 0.1, 0.1, keypoint_error=0.01, residual=0.02, sharpness=1.0, motion=0.1)
    >>> judge(good, Gates()), judge(good, Gates(min_motion=0.2))
    ([], ['motion 0.100 < 0.2'])
    """
    reasons = []
    for name, threshold in gates.to_dict().items():
        if threshold is None:
            continue
        bound, measure = name.split("_", 1)
        value = getattr(scores, measure)
        if value is None:
            raise ArgumentError(f"gate {name} needs a face embedder; pass embed=...")
        # The comparisons are negated so that NaN does not pass.
        if bound == "max" and not value <= threshold:
            reasons.append(f"{measure} {value:.3f} > {threshold}")
        if bound == "min" and not value >= threshold:
            reasons.append(f"{measure} {value:.3f} < {threshold}")
    return reasons
