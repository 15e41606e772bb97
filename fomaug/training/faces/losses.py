"""Losses of the light networks."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.faces import KEYPOINT_POINTS
from fomaug.geometry import gaussian_heatmap, identity_grid, resize_flow
from fomaug.networks import GeneratorOutput
from fomaug.training.faces.pairs import GRID, Pair
from fomaug.training.faces.run import EYES, MOUTH, NOSE
from fomaug.types import Keypoints

_NAMES: Final = list(KEYPOINT_POINTS)
_GAPS: Final = (
    ("lid upper right", "lid lower right"),
    ("lid upper left", "lid lower left"),
    ("lip upper inner", "lip lower inner"),
    ("lip upper outer", "lip lower outer"),
    ("mouth corner right", "mouth corner left"),
    ("lid upper right", "brow right"),
    ("lid upper left", "brow left"),
    ("iris right", "eye inner right"),
    ("iris left", "eye inner left"),
)
_GAP_ENDS: Final = torch.tensor([[_NAMES.index(a), _NAMES.index(b)] for a, b in _GAPS])
_GAP_WEIGHT: Final = torch.tensor([3.0, 3.0, 2.0, 1.0, 1.0, 0.5, 0.5, 2.0, 2.0])
"""Lids have the largest weights, because two cells of a heatmap separate open from closed ones."""
_CLOSE: Final = sorted({point for row in (*EYES, MOUTH, NOSE) for point in row})
_VARIANCE: Final = 0.0015
"""Variance of a keypoint's target heatmap: a standard deviation of 1.2 cells of 64."""
_ABSENT_MARGIN: Final = -0.04
"""Margin by which the painted image must be better where the source shows nothing; it may be slightly worse."""
_LEAST_AREA: Final = 0.1
"""Smallest area of the source, in cells, that a cell of the result may cover without a loss."""
_FINE: Final = torch.tensor(
    [2.0 if name.startswith(("lid", "lip", "iris", "mouth", "eye")) else 1.0 for name in _NAMES]
)


def detector_losses(found: Keypoints, true: Keypoints) -> dict[str, Tensor]:
    """Compute losses of the coarse keypoints against the mesh: positions, distances of neighbours, and jacobians."""
    assert found.jacobian is not None and true.jacobian is not None
    weight = (_FINE / _FINE.mean()).to(found.value.device)[:, None]
    gap = _gaps(found.value) - _gaps(true.value)
    return {
        "position": 10 * ((found.value - true.value).abs() * weight).mean(),
        "gap": 20 * (gap.abs() * _GAP_WEIGHT.to(gap.device)[:, None]).mean(),
        "jacobian": 5 * (found.jacobian - true.jacobian).abs().mean(),
    }


def closeup_losses(found: Keypoints, true: Keypoints) -> dict[str, Tensor]:
    """Compute losses of the keypoints of close-ups: positions, and distances of neighbours."""
    gap = _gaps(found.value) - _gaps(true.value)
    return {
        "close position": 20 * (found.value - true.value)[:, _CLOSE].abs().mean(),
        "close gap": 20 * (gap.abs() * _GAP_WEIGHT.to(gap.device)[:, None]).mean(),
    }


def heatmap_loss(probability: Tensor, true: Keypoints) -> dict[str, Tensor]:
    """Compute the mean divergence, in nats, of heatmaps (B, K, h, w) from narrow Gaussians around the true points.

    The mean position of a spread-out heatmap can be correct, but such a detector moves too little when a mouth opens.
    """
    h, w = probability.shape[2:]
    target = gaussian_heatmap(true.value, (h, w), _VARIANCE) + 1e-8
    target = target / target.sum((2, 3), keepdim=True)
    inside = (true.value.abs().amax(-1) < 1).float()
    divergence = (target * (target.log() - (probability + 1e-8).log())).sum((2, 3))
    return {"heatmap": 0.1 * (divergence * inside).mean()}


def _gaps(value: Tensor) -> Tensor:
    ends = value[:, _GAP_ENDS.to(value.device)]  # (B, G, 2, 2)
    return ends[:, :, 0] - ends[:, :, 1]


def generator_losses(output: GeneratorOutput, painted: Tensor, pair: Pair, true: Keypoints) -> dict[str, Tensor]:
    """Compute losses of a generator's output against the driving image and the true flow.

    The painted image has a loss even where the blend hides it. Without it, the blend avoids a bad decoder, and a
    decoder that is not used never improves.
    """
    assert output.blend is not None
    weight = attention(true)
    fine = _enlarged(weight, pair.driving)
    coarse = F.avg_pool2d(fine, 2)
    face = (2 * (coarse - 0.7)).clamp(0, 1)
    error = (output.prediction - pair.driving).abs()
    flow_error = (resize_flow(output.deformation, (GRID, GRID)) - pair.flow).norm(dim=-1).unsqueeze(1)
    hidden = turned_away(pair)
    absent = _enlarged(hidden.maximum(from_outside(pair)), pair.driving)
    margin = torch.lerp(0.04 + 0.04 * face, face.new_tensor(_ABSENT_MARGIN), F.avg_pool2d(absent, 2))
    return {
        "colour": 2 * (error * fine).mean(),
        "warp": _pyramid_distance(output.deformed, pair.driving, fine * (1 - absent)),
        "edges": 2 * _edge_distance(output.prediction, pair.driving, fine),
        "structure": 0.5 * (1 - structure(output.prediction, pair.driving)).mean(),
        "painted": 0.7 * ((painted - pair.driving).abs() * fine).mean(),
        "blend": 0.4 * (_choice_loss(output, painted, pair.driving, margin) * coarse).mean(),
        "flow": 3 * (flow_error * pair.known * (1 - hidden) * weight).mean(),
    }


def from_outside(pair: Pair) -> Tensor:
    """Mark (B, 1, 64, 64) where the known flow leaves the source's picture."""
    edge = 1 + 1 / (GRID - 1)  # a tolerance of half a cell
    beyond = (pair.flow.abs().amax(-1) > edge)[:, None]
    return (beyond & (pair.known > 0)).to(pair.source.dtype)


def turned_away(pair: Pair) -> Tensor:
    """Mark (B, 1, 64, 64) where the known flow folds: that side of the head is turned away from the source's camera."""
    known = (pair.known > 0).to(pair.source.dtype)
    sure = 1 - F.max_pool2d(1 - known, 3, 1, 1)  # the area needs known neighbours
    folded = (flow_area(pair.flow) <= 0).to(pair.source.dtype)[:, None]  # (B, 1, 63, 63)
    folded = F.pad(folded, (0, 1, 0, 1), mode="replicate")
    return folded * sure


def fold_loss(flow: Tensor) -> Tensor:
    """Compute the mean loss of backward flows (B, h, w, 2) on cells whose area in the source vanishes or is negative.

    A negative area is a fold. The loss of a cell is at most 1, because a jump of the flow from a person to the
    background is correct.
    """
    return (_LEAST_AREA - flow_area(resize_flow(flow, (GRID, GRID)))).clamp(0, 1).mean()


def flow_area(flow: Tensor) -> Tensor:
    """Compute the signed areas (B, h - 1, w - 1), in cells, that the cells of backward flows have in the source."""
    cells = flow * ((flow.shape[1] - 1) / 2)
    corner = cells[:, :-1, :-1]
    across, down = cells[:, :-1, 1:] - corner, cells[:, 1:, :-1] - corner
    return across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]


def _enlarged(weight: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(weight, size=like.shape[2:], mode="bilinear", align_corners=True)


def _choice_loss(output: GeneratorOutput, painted: Tensor, driving: Tensor, margin: Tensor) -> Tensor:
    """Compute the cross entropy (B, 1, S / 2, S / 2) of the blend with the better of the two images.

    The painted image must be better than the warped one by a margin, because uncertain pixels are painted blurred, and
    a blurred face loses its identity.
    """
    assert output.blend is not None
    with torch.no_grad():
        errors = torch.cat([(x - driving).abs().mean(1, keepdim=True) for x in (output.deformed, painted)], 1)
        warped, paint = F.avg_pool2d(errors, 4, 2, 1).chunk(2, 1)
        target = torch.sigmoid((paint + margin - warped) / 0.02)
    blend = F.avg_pool2d(output.blend, 2).clamp(1e-4, 1 - 1e-4)
    return -(target * blend.log() + (1 - target) * (1 - blend).log())


def attention(true: Keypoints) -> Tensor:
    """Compute weights (B, 1, 64, 64) of the image's parts: eyes and mouth, and most of all an open mouth's inside."""
    eyes = true.value[:, [_NAMES.index("iris right"), _NAMES.index("iris left")]]
    mouth = true.value[:, [_NAMES.index(n) for n in ("mouth corner right", "mouth corner left")]]
    lips = true.value[:, [_NAMES.index(n) for n in ("lip upper inner", "lip lower inner")]]
    middle = lips.mean(1, keepdim=True)
    face = true.value[:, [_NAMES.index("nose bridge")]]
    fine = gaussian_heatmap(torch.cat([eyes, mouth, middle], 1), (GRID, GRID), 0.01).amax(1, keepdim=True)
    wide = gaussian_heatmap(face, (GRID, GRID), 0.15)
    gap = (lips[:, 1] - lips[:, 0]).norm(dim=-1).view(-1, 1, 1, 1)
    grid = identity_grid((GRID, GRID), device=middle.device)
    distance = (grid - middle[:, :, None]).square().sum(-1, keepdim=True)  # (B, 64, 64, 1)
    inside = torch.exp(-0.5 * distance.permute(0, 3, 1, 2) / (0.002 + 0.2 * gap.square())) * (gap / 0.08).clamp(max=1)
    weight: Tensor = 0.6 + 0.8 * wide + 2.5 * fine + 15.0 * inside
    return weight


def structure(a: Tensor, b: Tensor) -> Tensor:
    """Compute the structural similarity of images (B, 3, S, S) on luma, in 7 x 7 windows at every second pixel."""
    luma = a.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    x, y = (a * luma).sum(1, keepdim=True), (b * luma).sum(1, keepdim=True)
    mx, my, xx, yy, xy = F.avg_pool2d(torch.cat([x, y, x * x, y * y, x * y], 1), 7, 2).unbind(1)
    variance_x, variance_y, covariance = xx - mx * mx, yy - my * my, xy - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mx * my + c1) * (2 * covariance + c2)) / ((mx**2 + my**2 + c1) * (variance_x + variance_y + c2))


def _pyramid_distance(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Compute the mean distance at full, half, quarter and eighth size; coarse ones have gradients over long shifts."""
    difference, total = a - b, a.new_zeros(())
    for _ in range(4):
        total = total + (difference.abs() * weight).mean()
        difference, weight = F.avg_pool2d(difference, 2), F.avg_pool2d(weight, 2)
    return total / 2


def _edge_distance(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    d = a - b
    across = (d[..., 1:] - d[..., :-1]).abs() * weight[..., 1:]
    along = (d[..., 1:, :] - d[..., :-1, :]).abs() * weight[..., 1:, :]
    return across.mean() + along.mean()
