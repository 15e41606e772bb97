"""Training pairs from still portraits: rotate and deform the face mesh in space, and warp the image."""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.driving.synthetic import expression_fields
from fomaug.faces import mean_mesh, mesh_keypoints, rotation
from fomaug.geometry import identity_grid
from fomaug.geometry.eye import EyePoints, coordinates, read_eyes, set_eyes
from fomaug.training.faces.augmentation import normal, uniform
from fomaug.training.faces.hidden import Layers, Mouths, between_lips, fill_mouth, is_closed, take_apart
from fomaug.training.faces.pairs import (
    AS_CUT,
    GRID,
    Camera,
    Framing,
    Pair,
    composed,
    eval_spline,
    fit_spline,
    grids,
    sample,
)
from fomaug.training.faces.run import BRIDGE, EYES

_WARP_GRID: Final = 40
_LIPS: Final = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409)
_CORNERS: Final = (33, 133, 362, 263)  # corners of the eyes
_INNER: Final = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
_EYE_EXPRESSIONS: Final = ("blink right", "blink left", "look aside", "look down")
_OPEN: Final = 0.1  # strength of the expression "jaw" above which a mouth is open and can be closed
_EYE_POINTS: Final = EyePoints(EYES, BRIDGE)
_ANGLES: Final = (-0.15 * torch.pi, 1.15 * torch.pi)  # angles of the hair outline, from ear to ear over the crown


class Pose(NamedTuple):
    """B poses.

    Attributes:
        mesh: (B, 478, 2) face mesh.
        own_eyes: (B, 478, 2) face mesh with the portrait's own lids and gaze.
        frame: (B, A, 2) points at the outline of the hair and around the image.
    """

    mesh: Tensor
    own_eyes: Tensor
    frame: Tensor

    def controls(self) -> Tensor:
        """Return the control points (B, N, 2) of the spline, without lids and irises, which are moved separately."""
        return torch.cat([self.own_eyes[:, _controls()], self.frame], 1)


@cache
def _controls() -> list[int]:
    fields = expression_fields()
    still = torch.stack([fields[name].abs().amax(-1) for name in _EYE_EXPRESSIONS]).amax(0) == 0
    return [point for point in sorted({*range(0, 468, 5), *_LIPS, *_INNER, *_CORNERS}) if still[point]]


def still_pair(
    image: Tensor, mesh: Tensor, matte: Tensor, generator: torch.Generator, framing: Framing = AS_CUT
) -> Pair:
    """Make pairs of two random poses of each portrait.

    Args:
        image: (B, 3, S, S) in [0, 1].
        mesh: (B, 478, 3) normalised face meshes.
        matte: (B, 1, S, S) in [0, 1], the share of the person in each pixel.
        generator: random generator.
        framing: crop squares around the source's face.
    """
    b = len(image)
    frame = _frame(b, generator)
    flat = mesh[..., :2]
    rest = Pose(flat, flat, torch.cat([frame, _outline(mesh)[..., :2]], 1))
    lot = uniform(generator, b)  # in many pairs, one image is the unchanged portrait
    source = _pose(mesh, frame, (lot > 0.3).float(), generator)
    driving = _pose(mesh, frame, ((lot < 0.3) | (lot > 0.6)).float(), generator)
    camera = Camera.framed(source.mesh, generator, framing)
    moved = camera.nudged(generator)
    grid = grids(_WARP_GRID, mesh)
    to_source = _Spline(driving, source).map(moved.forth(grid))
    to_rest = _Spline(source, rest)
    layers = take_apart(image, matte, flat)
    seen = torch.cat(
        [
            _rendered(layers, to_rest.map(camera.forth(grid)), camera, source),
            _rendered(layers, to_rest.map(to_source), moved, driving),
        ]
    )
    meshes = (camera.back(source.mesh), moved.back(driving.mesh))
    teeth = Mouths.draw(image, mesh, generator)
    filled, holes = fill_mouth(seen[:, :3], torch.cat(meshes), is_closed(mesh).repeat(2), teeth, generator)
    flow = composed(camera.back(to_source), _eye_flow(*meshes, GRID))
    behind = camera.back(moved.forth(grids(GRID, mesh)))
    opened = (is_closed(meshes[0]) & ~is_closed(meshes[1])).view(-1, 1, 1, 1)
    hole = F.interpolate(holes[b:], size=(GRID, GRID), mode="area").maximum(opened * between_lips(meshes[1], GRID))
    person = F.interpolate(seen[b:, 3:], size=(GRID, GRID), mode="area") > 0.5  # (B, 1, 64, 64)
    shown = (F.grid_sample(seen[:b, 3:], behind, align_corners=True) < 0.5) & (behind.abs().amax(-1) <= 1)[:, None]
    known = torch.where(person, _certainty(meshes[1]) * (1 - hole), shown.float())
    return Pair(filled[:b], filled[b:], *meshes, torch.where(person.permute(0, 2, 3, 1), flow, behind), known)


def _rendered(layers: Layers, flow: Tensor, camera: Camera, pose: Pose) -> Tensor:
    """Render portraits through a camera: (B, 4, S, S), the image and the matte.

    The person is warped by the flow of the eyes, then by `flow` (B, h, w, 2); the background by the camera alone.
    """
    size = layers.behind.shape[2]
    eyes = _eye_flow(camera.back(pose.own_eyes), camera.back(pose.mesh), size)
    person = sample(layers.person, composed(flow, eyes))
    behind = sample(layers.behind, camera.forth(grids(size, person)))
    matte = person[:, 3:]
    return torch.cat([torch.lerp(behind, person[:, :3], matte), matte], 1)


def _eye_flow(source: Tensor, driving: Tensor, size: int) -> Tensor:
    """Compute the backward flow (B, S, S, 2) of the eyes in the driving mesh's pose, see `set_eyes`."""
    old, new = (read_eyes(mesh_keypoints(mesh), _EYE_POINTS) for mesh in (source, driving))
    return set_eyes(old, new, coordinates(size, driving.device, torch.float32))[0]


class _Spline:
    """The spline from the control points of one pose to those of another."""

    def __init__(self, points: Pose, images: Pose) -> None:
        self.controls = points.controls()
        self.weights = fit_spline(self.controls, images.controls())

    def map(self, xy: Tensor) -> Tensor:
        """Map points (B, h, w, 2)."""
        return eval_spline(self.weights, self.controls, xy.flatten(1, 2)).view(xy.shape)


def _pose(mesh: Tensor, frame: Tensor, amount: Tensor, generator: torch.Generator) -> Pose:
    b = len(mesh)
    drawn = normal(generator, 6, b)
    small = uniform(generator, b) < 0.15
    strength = amount * torch.where(small, 0.1, 0.3 + uniform(generator, b))
    centre = mesh.mean(1, keepdim=True)
    turn = rotation(0.22 * strength * drawn[0], 0.13 * strength * drawn[1], 0.12 * strength * drawn[2])
    own_eyes, eyes = (amount[:, None, None] * part for part in _expression(mesh, generator))
    size = torch.exp(0.06 * strength * drawn[3])[:, None, None]
    shift = 0.09 * (strength * drawn[4:]).T[:, None]  # (B, 1, 2)

    def posed(points: Tensor) -> Tensor:
        return ((points - centre) @ turn.transpose(1, 2) * size + centre)[..., :2] + shift

    follows = _body(frame) * uniform(generator, b, 1, 1)
    around = torch.cat([frame + follows * shift, posed(_outline(mesh))], 1)
    return Pose(posed(mesh + own_eyes + eyes), posed(mesh + own_eyes), around)


def _outline(mesh: Tensor) -> Tensor:
    """Estimate points (B, 12, 3) at the outline of the hair, behind the face, which move and turn with the head."""
    low, high = mesh.amin(1), mesh.amax(1)
    centre, radius = (low + high) / 2, (high - low) / 2
    angles = torch.linspace(*_ANGLES, 12, device=mesh.device)
    x = centre[:, None, 0] + 1.4 * radius[:, None, 0] * angles.cos()
    y = centre[:, None, 1] - radius[:, None, 1] * (0.15 + 1.4 * angles.sin())
    z = (mesh[:, :, 2].mean(1) + 0.6 * radius[:, 0])[:, None].expand_as(x)
    return torch.stack([x.clamp(-0.87, 0.87), y.clamp(-0.87, 0.87), z], -1)


def _body(frame: Tensor) -> Tensor:
    """Estimate the weights (B, A, 1) of points around the image: 1 for the body, which moves with the head."""
    x, y = frame.unbind(-1)
    return (torch.sigmoid((y - 0.7) / 0.12) * torch.exp(-((x / 0.9) ** 2)))[..., None]


def _frame(count: int, generator: torch.Generator) -> Tensor:
    side = torch.linspace(-1, 1, 6, device=generator.device)
    ring = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).view(-1, 2)
    ring = ring[ring.abs().amax(1) == 1]  # (20, 2)
    return ring * (0.97 + 0.25 * uniform(generator, count, 1, 1))


def _expression(mesh: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw expressions as displacements (B, 478, 3) in each face's size: of all but the eyes, and of the eyes."""
    b = len(mesh)
    fields = expression_fields()
    strength = draw_expressions(b, generator)
    neutral = mean_mesh().to(mesh.device)
    size: Tensor = (mesh[:, 152] - mesh[:, 10]).norm(dim=-1) / (neutral[152] - neutral[10]).norm()
    for eye, upper, lower in (("blink right", 159, 145), ("blink left", 386, 374)):
        gap = (mesh[:, lower] - mesh[:, upper]).norm(dim=-1) / (neutral[lower] - neutral[upper]).norm()
        strength[eye] = strength[eye] * gap / size
    open_by = (mesh[:, 14] - mesh[:, 13]).norm(dim=-1) / (fields["jaw"][14] - fields["jaw"][13]).norm() / size
    closes = (open_by > _OPEN) & (uniform(generator, b) < 0.5)
    strength["jaw"] = torch.where(closes, -open_by * uniform(generator, b).sqrt(), strength["jaw"])
    rest, eyes = torch.zeros_like(mesh), torch.zeros_like(mesh)
    for name, field in fields.items():
        (eyes if name in _EYE_EXPRESSIONS else rest).add_(strength[name][:, None, None] * field.to(mesh.device))
    return size[:, None, None] * rest, size[:, None, None] * eyes


def draw_expressions(count: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw the strength (count,) of every expression; a tenth of the faces are neutral."""

    def share() -> Tensor:
        return uniform(generator, count)

    def spread() -> Tensor:
        return normal(generator, count)

    lively = (share() < 0.9).float()
    blink = (share() < 0.5) * (1.35 * share().pow(0.6) - 0.35)  # negative strengths open the eyes wider
    wink = torch.where(share() < 0.85, 1.0, share())
    drawn = {
        "jaw": (share() < 0.7) * share() * 0.95,
        "smile": 0.6 * spread(),
        "pout": 0.6 * spread().clamp(min=0),
        "mouth aside": 0.35 * spread(),
        "upper lip": 0.5 * spread(),
        "brows": 0.5 * spread(),
        "frown": 0.5 * spread().clamp(min=0),
        "blink right": blink * wink,
        "blink left": blink * wink.flip(0),
        "look aside": 0.5 * spread(),
        "look down": 0.5 * spread(),
    }
    return {name: lively * strength for name, strength in drawn.items()}


def _certainty(mesh: Tensor) -> Tensor:
    """Compute the weight (B, 1, 64, 64) of the flow: 1 on the face, and 0.4 far from it, where the spline is wrong."""
    low, high = mesh.amin(1), mesh.amax(1)
    centre, radius = (low + high) / 2, (high - low) / 2
    offset = (identity_grid((GRID, GRID), device=mesh.device) - centre[:, None, None]) / (1.25 * radius[:, None, None])
    return (0.4 + 0.6 * torch.sigmoid(6 * (1 - offset.norm(dim=-1))))[:, None]
