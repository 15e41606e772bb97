"""Values that functions of several packages exchange.

Shape alphabet: B sources, N results, K keypoints, C channels, H W pixels, h w cells of a flow grid, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fomaug.errors import ShapeError

Index = int | slice | Tensor | Sequence[int]


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Keypoints of N frames.

    Attributes:
        value: (N, K, 2) float, (x, y) in [-1, 1], corner-aligned.
        jacobian: (N, K, 2, 2) float, the local affine map from the model's reference face to the frame; None for
            models of zero order.

    >>> len(Keypoints(torch.zeros(4, 10, 2))[1:3])
    2
    """

    value: Tensor
    jacobian: Tensor | None = None

    def __len__(self) -> int:
        return self.value.shape[0]

    def __getitem__(self, index: Index) -> Keypoints:
        """Select frames; an int keeps the frame axis."""
        rows = _rows(index)
        return Keypoints(self.value[rows], None if self.jacobian is None else self.jacobian[rows])

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The values, and the jacobians if there are any."""
        return (self.value,) if self.jacobian is None else (self.value, self.jacobian)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Keypoints:
        """Convert both tensors to a device and a dtype."""
        jacobian = None if self.jacobian is None else self.jacobian.to(device=device, dtype=dtype)
        return Keypoints(self.value.to(device=device, dtype=dtype), jacobian)

    def detach(self) -> Keypoints:
        """Detach both tensors from the gradient graph."""
        return Keypoints(self.value.detach(), None if self.jacobian is None else self.jacobian.detach())

    def repeat_interleave(self, copies: int) -> Keypoints:
        """Repeat every frame `copies` times; the repetitions are neighbours."""
        jacobian = None if self.jacobian is None else self.jacobian.repeat_interleave(copies, 0)
        return Keypoints(self.value.repeat_interleave(copies, 0), jacobian)

    @staticmethod
    def cat(parts: Sequence[Keypoints]) -> Keypoints:
        """Concatenate along the frame axis."""
        if len(parts) == 1:
            return parts[0]
        jacobians = [part.jacobian for part in parts if part.jacobian is not None]
        assert len(jacobians) in (0, len(parts)), "keypoints with and without jacobians cannot be joined"
        return Keypoints(torch.cat([part.value for part in parts]), torch.cat(jacobians) if jacobians else None)


@dataclass(frozen=True, eq=False)
class Source:
    """Images that are encoded once and can be animated many times.

    Attributes:
        image: (B, 3, H, W) float in [0, 1], at the original size.
        features: the generator's encoding of the image, each tensor (B, ...).
        keypoints: keypoints of the image.
    """

    image: Tensor
    features: tuple[Tensor, ...]
    keypoints: Keypoints

    def __len__(self) -> int:
        return self.image.shape[0]

    def __getitem__(self, index: Index) -> Source:
        """Select images; an int keeps the batch axis."""
        rows = _rows(index)
        return Source(self.image[rows], tuple(part[rows] for part in self.features), self.keypoints[rows])

    @staticmethod
    def cat(parts: Sequence[Source]) -> Source:
        """Concatenate along the batch axis."""
        if len(parts) == 1:
            return parts[0]
        features = zip(*(part.features for part in parts), strict=True)
        return Source(
            torch.cat([part.image for part in parts]),
            tuple(torch.cat(pieces) for pieces in features),
            Keypoints.cat([part.keypoints for part in parts]),
        )


@dataclass(frozen=True, eq=False)
class Animated:
    """N animated frames.

    Attributes:
        image: (N, 3, H, W) float in [0, 1], at the source's size.
        flow: (N, h, w, 2) backward flow in the source's frame, x, y in [-1, 1], corner-aligned.
        occlusion: (N, 1, h, w) in [0, 1]: 1 where the source is visible, 0 where the frame is painted.
    """

    image: Tensor
    flow: Tensor
    occlusion: Tensor

    @staticmethod
    def cat(parts: Sequence[Animated]) -> Animated:
        """Concatenate along the frame axis."""
        if len(parts) == 1:
            return parts[0]
        return Animated(
            torch.cat([part.image for part in parts]),
            torch.cat([part.flow for part in parts]),
            torch.cat([part.occlusion for part in parts]),
        )


def _rows(index: Index) -> slice | Tensor | Sequence[int]:
    if isinstance(index, int):
        return slice(index, index + 1 or None)
    return index


def check_shape(name: str, tensor: Tensor, pattern: str) -> None:
    """Raise `ShapeError` unless the tensor has the shape of the pattern, in which letters stand for any size.

    >>> check_shape("images", torch.zeros(2, 3, 8, 8), "B 3 H W")
    """
    wanted = pattern.split()
    fits = tensor.ndim == len(wanted) and all(
        not want.isdigit() or int(want) == size for want, size in zip(wanted, tensor.shape, strict=True)
    )
    if not fits:
        raise ShapeError(f"{name} must be ({', '.join(wanted)}), got {tuple(tensor.shape)}")
