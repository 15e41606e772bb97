"""The animator: one model, from pictures and keypoints to animated pictures.

This is the only seam between the networks and everything above.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from fomaug.errors import ShapeError
from fomaug.geometry import Frame, resize_map, warp_image
from fomaug.memory import keep_freed_memory
from fomaug.networks import GeneratorOutput
from fomaug.parallel import side_by_side
from fomaug.stream import StreamOptions, stream
from fomaug.types import Animated, Keypoints, Source, check_shape

Done = TypeVar("Done")


class Configuration(Protocol):
    """What an animator asks of a model's configuration."""

    @property
    def size(self) -> int | None:
        """Side of the square pictures it works on; None for each picture's own."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""


class Animator(nn.Module):
    """A keypoint detector and a generator that were trained together.

    All methods run in evaluation mode and without gradients, unless `differentiable=True`. Pictures may have any size:
    they are padded to a square and brought to the model's own size inside; keypoints live in that square.

    Args:
        config: what the networks were built from.
        detector: (B, 3, S, S) to `Keypoints`.
        generator: offers `encode` and `forward` as `fomaug.networks.Generator` does.
        name: of the model.
        hash: sha256 of configuration and weights; computed when empty.
        facts: where the model comes from, its licence, its measures.
        keypoint_names: what each keypoint is, for models that know.
    """

    def __init__(
        self,
        config: Configuration,
        detector: nn.Module,
        generator: nn.Module,
        *,
        name: str = "unnamed",
        hash: str = "",
        facts: Mapping[str, Any] | None = None,
        keypoint_names: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.config = config
        self.detector = detector
        self.generator = generator
        self.name = name
        self.facts = dict(facts or {})
        self.keypoint_names = keypoint_names
        self.hash = hash or model_hash(config, self)
        self.eval()
        keep_freed_memory()
        probe = self._probe()
        self.num_keypoints = probe.value.shape[1]
        self.has_jacobian = probe.jacobian is not None

    @property
    def size(self) -> int:
        """Side of the square pictures that the networks work on."""
        return self.config.size or 256

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in; keypoints and flows are float32 or wider all the same."""
        return next(self.parameters()).dtype

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Arrive in another process."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        keep_freed_memory()

    def extra_repr(self) -> str:
        """Name, hash and size."""
        return f"name={self.name!r}, hash={self.hash[:12]!r}, size={self.config.size}"

    def detect(self, frames: Tensor, *, differentiable: bool = False) -> Keypoints:
        """Find the keypoints of frames.

        Args:
            frames: (B, 3, H, W) float in [0, 1].
            differentiable: let gradients flow to the frames.

        Returns:
            Keypoints of B frames, float32, in the frame of the padded square.
        """
        check_shape("frames", frames, "B 3 H W")
        frames = self._floats("frames", frames)
        frame = self._frame(frames)

        def detect(rows: slice) -> Keypoints:
            with _gradients(differentiable):
                return self._detect(frame.to_model(frames[rows]).to(self.dtype))

        return Keypoints.cat(_in_parts(detect, frames, differentiable))

    def encode(self, images: Tensor, *, differentiable: bool = False) -> Source:
        """Do all the work that depends on the images alone, once per image.

        Args:
            images: (B, 3, H, W) float in [0, 1].
            differentiable: let gradients flow to the images.
        """
        check_shape("images", images, "B 3 H W")
        images = self._floats("images", images)
        frame = self._frame(images)

        def encode(rows: slice) -> Source:
            with _gradients(differentiable):
                small = frame.to_model(images[rows]).to(self.dtype)
                return Source(images[rows], (small, *self._encode(small)), self._detect(small))

        return Source.cat(_in_parts(encode, images, differentiable))

    def animate(self, source: Source, keypoints: Keypoints, *, differentiable: bool = False) -> Animated:
        """Move sources so that their keypoints come to lie where they are asked to.

        Args:
            source: B encoded images.
            keypoints: of B frames, one per source; or of N frames, all for a single source.
            differentiable: let gradients flow to images and keypoints.

        Returns:
            B or N animated frames, at the size of the source's pictures.

        Raises:
            ShapeError: if the numbers of sources and keypoints do not go together, or the model has other keypoints.
        """
        source = self._pair(source, keypoints)
        keypoints = keypoints.to(self.device, source.keypoints.value.dtype)

        def animate(rows: slice) -> Animated:
            part = source[rows]
            small, *features = part.features
            with _gradients(differentiable):
                output = self.generator(small, tuple(features), part.keypoints, keypoints[rows])
                return _compose(part.image, output, self._frame(part.image))

        return Animated.cat(_in_parts(animate, source.image, differentiable))

    def stream(
        self,
        source: Source,
        frames: Iterable[Tensor],
        *,
        reference: Keypoints | None = None,
        **options: Unpack[StreamOptions],
    ) -> Iterator[Animated]:
        """Animate one source by frames as they arrive; see `fomaug.stream.stream` for the options.

        Args:
            source: one encoded image.
            frames: (1, 3, H, W) float in [0, 1] each; more at a time for more throughput and more delay.
            reference: keypoints of a driving frame with the source's pose; None for those of the first frame.
            **options: options of `fomaug.transfer`, and `region`, the part of the face that moves.
        """
        return stream(self, source, frames, reference=reference, **options)

    def _detect(self, small: Tensor) -> Keypoints:
        keypoints: Keypoints = self.detector(small)
        return keypoints

    def _encode(self, small: Tensor) -> tuple[Tensor, ...]:
        encode: Callable[[Tensor], tuple[Tensor, ...]] = getattr(self.generator, "encode")  # noqa: B009 (a method)
        return encode(small)

    def _frame(self, images: Tensor) -> Frame:
        height, width = images.shape[2:]
        return Frame((height, width), self.config.size or _own_side(max(height, width)))

    def _floats(self, name: str, images: Tensor) -> Tensor:
        if not images.is_floating_point():
            raise ShapeError(f"{name} must be float in [0, 1], got {images.dtype}; divide uint8 pictures by 255")
        return images.to(self.device, torch.promote_types(images.dtype, torch.float32))

    def _pair(self, source: Source, keypoints: Keypoints) -> Source:
        if keypoints.value.shape[1:] != (self.num_keypoints, 2):
            found = tuple(keypoints.value.shape)
            raise ShapeError(f"keypoints of {self.name} must be (N, {self.num_keypoints}, 2), got {found}")
        if len(source) == len(keypoints):
            return source
        if len(source) != 1:
            raise ShapeError(
                f"{len(keypoints)} keypoints for {len(source)} sources; give one per source, or any number for one"
            )
        count = len(keypoints)
        return Source(
            source.image.expand(count, -1, -1, -1),
            tuple(part.expand(count, *part.shape[1:]) for part in source.features),
            source.keypoints[torch.zeros(count, dtype=torch.long, device=self.device)],
        )

    @torch.no_grad()
    def _probe(self) -> Keypoints:
        """Ask the detector once how many keypoints it gives."""
        return self._detect(torch.zeros(1, 3, self.size, self.size, device=self.device, dtype=self.dtype))


def _in_parts(work: Callable[[slice], Done], images: Tensor, differentiable: bool) -> list[Done]:  # noqa: FBT001
    """Do the parts of a batch side by side where that is quicker, else all of it at once."""
    on_cpu = images.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if differentiable or traced or not on_cpu:
        return [work(slice(None))]
    return side_by_side(work, len(images))


def _compose(image: Tensor, output: GeneratorOutput, frame: Frame) -> Animated:
    """Bring the result to the picture's size.

    What the model took from the source is taken again from the source at full size: the prediction is enlarged, and
    where it shows the source, the detail that the small picture lost is added back. At the model's own size this adds
    nothing.
    """
    flow = frame.flow_to_picture(output.deformation)
    occlusion = _occlusion(output)
    visible = frame.map_to_picture(occlusion)
    if frame.is_identity:
        return Animated(output.prediction.to(image.dtype), flow, visible)
    share = output.blend if output.blend is not None else resize_map(occlusion, (frame.side, frame.side))
    detail = warp_image(image, flow, padding="border") - frame.to_picture(output.deformed.to(image.dtype))
    sharp = frame.to_picture(output.prediction.to(image.dtype)) + frame.to_picture(share.to(image.dtype)) * detail
    return Animated(sharp.clamp(0, 1), flow, visible)


def _occlusion(output: GeneratorOutput) -> Tensor:
    """The occlusion map (B, 1, h, w), ones for models that estimate none."""
    if output.occlusion is not None:
        return output.occlusion
    return torch.ones_like(output.deformation[..., 0])[:, None]


def model_hash(config: Configuration, networks: nn.Module) -> str:
    """Sha256 over the configuration and every tensor, the same for float16, float32 and any device."""
    digest = hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode())
    for name, tensor in sorted(networks.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def _own_side(side: int) -> int:
    """The nearest side that every hourglass can halve: a multiple of 32."""
    return max(32, round(side / 32) * 32)


def _gradients(differentiable: bool) -> contextlib.AbstractContextManager[None]:  # noqa: FBT001
    # Not inference mode: its tensors could not take part in a user's training step.
    return contextlib.nullcontext() if differentiable else torch.no_grad()
