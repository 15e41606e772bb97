"""Animated faces, blended back into their picture with no seam.

From the middle of a region to its edges, first the animated face gives way to the source warped by the same flow: the
two lie on one another, so nothing shows twice. Then that flow fades to none, until the source is itself again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.faces.regions import Region
from fomaug.geometry import identity_grid, resize_flow, warp_image

_CALM: Final = 0.12  # share of the square over which the motion fades to none
_CROSS: Final = 0.08  # and then that over which the animated face comes in

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class FaceMotion:
    """How the faces of a region moved.

    Attributes:
        region: of the picture.
        flow: (N, h, w, 2) backward flow in the region's own frame.
        occlusion: (N, 1, h, w) in [0, 1].
    """

    region: Region
    flow: Tensor
    occlusion: Tensor


def paste(whole: Tensor, part: Tensor, flow: Tensor, region: Region) -> Tensor:
    """Blend animated faces into their pictures.

    Args:
        whole: (N or 1, C, H, W) float pictures, any range; not modified.
        part: (N, C, h, w) the region, animated.
        flow: (N, h', w', 2) backward flow that moved it, in the region's own frame.
        region: where it was cut out.

    Returns:
        (N, C, H, W) as `whole`; outside of the region it is the source, bit for bit. Values may overshoot a little.
    """
    blended = blend(region.cut(whole), part, flow, region, (whole.shape[2], whole.shape[3]))
    pasted = whole.expand(len(part), -1, -1, -1).clone()
    region.cut(pasted).copy_(blended)
    return pasted


def blend(before: Tensor, after: Tensor, flow: Tensor, region: Region, size: Size) -> Tensor:
    """Make a region of a picture fade from an animated face, inside, to what it was, at its edges.

    Args:
        before: (N or 1, C, h, w) float, any range. Give float64 if its levels are finer than those of 8 bits.
        after: (N, C, h, w) the animated region.
        flow: (N, h', w', 2) backward flow that moved it, in its own frame.
        region: in the picture.
        size: (H, W) of the picture.

    Returns:
        (N, C, h, w) as `before`; values may overshoot a little.
    """
    calm, cross = (weight.to(before.device) for weight in fades(region, size))
    # In a picture of 16 bits, the places that float32 can name are a few levels apart.
    exact = torch.promote_types(before.dtype, torch.float32)
    still = before.to(exact).expand(len(after), -1, -1, -1)
    warped = warp_image(still, _calmed(flow.to(exact), calm), mode="bicubic", padding="border")
    return torch.lerp(warped, after.to(exact), cross.to(exact)).to(before.dtype)


def compose_motion(size: Size, cells: Size, faces: Sequence[FaceMotion]) -> tuple[Tensor, Tensor]:
    """Lay the motion of faces into one flow and one occlusion of their whole pictures.

    Args:
        size: (H, W) of the pictures.
        cells: (h, w) of the flow that is wanted.
        faces: one or more, of N pictures each; later ones lie over earlier ones, as when they are pasted.

    Returns:
        (N, h, w, 2) backward flow and (N, 1, h, w) occlusion, float32; identity and ones outside of the regions.
    """
    like = faces[0].flow
    flow = identity_grid(cells, device=like.device).expand(len(like), -1, -1, -1)
    occlusion = torch.ones(len(like), 1, *cells, device=like.device)
    for face in faces:
        flow, occlusion = _lay_motion(flow, occlusion, face, size)
    return flow, occlusion


def fades(region: Region, size: Size) -> tuple[Tensor, Tensor]:
    """Weights of a region's motion, and of the animated face in it.

    Both are 1 inside and 0 at the region's edges, but for those at the picture's own edges; the face's is above 0 only
    where the motion's is 1.

    Args:
        region: in the picture.
        size: (H, W) of the picture.

    Returns:
        Two of (h, w), as many as the region has pixels.
    """
    calm, cross = (
        [
            _ramp(length, (start, share), fades=(low > 0, high < end))
            for length, low, high, end in (
                (region.size[0], region.top, region.bottom, size[0]),
                (region.size[1], region.left, region.right, size[1]),
            )
        ]
        for start, share in ((0.0, _CALM), (_CALM, _CROSS))
    )
    return torch.minimum(calm[0][:, None], calm[1]), torch.minimum(cross[0][:, None], cross[1])


def _ramp(length: int, band: tuple[float, float], *, fades: tuple[bool, bool]) -> Tensor:
    """Rise smoothly over a band (its start, its width, in shares of the length) beside each end that fades."""
    start, width = (share * length for share in band)
    places = torch.arange(length)
    share = torch.ones(length)
    for fade, distance in zip(fades, (places, places.flip(0)), strict=True):
        if fade:
            share = share.minimum(((distance - start) / max(width, 1.0)).clamp(0, 1))
    return share * share * (3 - 2 * share)


def _calmed(flow: Tensor, weight: Tensor) -> Tensor:
    """Take flows (N, h, w, 2) to the size of the weight (H, W), and weigh their motion."""
    size = weight.shape[0], weight.shape[1]
    still = identity_grid(size, device=flow.device, dtype=flow.dtype)
    return still + weight[..., None] * (resize_flow(flow, size) - still)


def _lay_motion(flow: Tensor, occlusion: Tensor, face: FaceMotion, size: Size) -> tuple[Tensor, Tensor]:
    """Lay the flow of a region into the picture's; both are corner-aligned in their own frames."""
    still = identity_grid((flow.shape[1], flow.shape[2]), device=flow.device)
    scale, offset = (part.to(flow.device) for part in _into(face.region, size))
    inner = ((still - offset) / scale)[None]  # where the picture's cells lie in the region's frame
    inside = (inner.abs() <= 1).all(-1)[:, None].float()
    calm, cross = (_read(weight.to(flow.device)[None, None], inner) * inside for weight in fades(face.region, size))
    own = _read(face.flow.float().permute(0, 3, 1, 2), inner).permute(0, 2, 3, 1) * scale + offset
    placed = torch.lerp(still[None], own, calm.permute(0, 2, 3, 1))
    # Beside the face is what was there before, moved along: it may be the edge of another face.
    moved = placed + _read((flow - still).permute(0, 3, 1, 2), placed).permute(0, 2, 3, 1)
    seen = _read(face.occlusion.float(), inner)
    return torch.lerp(moved, own, cross.permute(0, 2, 3, 1)), torch.lerp(_read(occlusion, placed), seen, cross)


def _read(maps: Tensor, places: Tensor) -> Tensor:
    """Read maps (N, C, h, w) at places (N or 1, H, W, 2)."""
    return F.grid_sample(maps, places.expand(len(maps), -1, -1, -1), padding_mode="border", align_corners=True)


def _into(region: Region, size: Size) -> tuple[Tensor, Tensor]:
    """Scale and offset that take the region's [-1, 1] to the picture's."""
    height, width = size
    low = torch.tensor([region.left / max(width - 1, 1), region.top / max(height - 1, 1)]) * 2 - 1
    high = torch.tensor([(region.right - 1) / max(width - 1, 1), (region.bottom - 1) / max(height - 1, 1)]) * 2 - 1
    return (high - low) / 2, (high + low) / 2
