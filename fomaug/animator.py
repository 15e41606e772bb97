"""The animator: one model that turns images and keypoints into animated images.

All modules above the networks use them only through this class.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from typing_extensions import Self, Unpack

from fomaug.device import keep_freed_memory, rows_of_part, side_by_side
from fomaug.errors import ShapeError
from fomaug.geometry import Frame, resize_map, warp_image
from fomaug.graphs import Graphs, Tensors
from fomaug.networks import Configuration, GeneratorOutput, model_hash
from fomaug.stream import StreamOptions, stream
from fomaug.types import Animated, Keypoints, Source, check_shape

Done = TypeVar("Done")


class Animator(nn.Module):
    """A keypoint detector and a generator that were trained together.

    All methods run in evaluation mode and without gradients, unless `differentiable=True`. Images may have any size:
    they are padded to a square and resized to the model's size; keypoints are in the frame of this square.

    Args:
        config: configuration of the networks.
        detector: network from (B, 3, S, S) to `Keypoints`.
        generator: network with the methods `encode` and `forward` of `fomaug.networks.Generator`.
        name: name of the model.
        hash: sha256 of configuration and weights; computed when empty.
        facts: further information, such as origin, licence and measures.
        keypoint_names: names of the keypoints as points of the face; empty if they are not such points.
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
        self.graphs: Graphs | None = None
        self.keypoint_names = keypoint_names
        self.hash = hash or model_hash(config, self)
        self.eval()
        keep_freed_memory()
        probe = self._probe()
        self.num_keypoints = probe.value.shape[1]
        self.has_jacobian = probe.jacobian is not None

    @property
    def size(self) -> int:
        """Side of the square input images of the networks."""
        return self.config.size or 256

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the networks; keypoints and flows are float32 or wider in any case."""
        return next(self.parameters()).dtype

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the model in another process, and prepare the memory allocator there."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        keep_freed_memory()

    def extra_repr(self) -> str:
        """Describe the model by name, hash and size."""
        return f"name={self.name!r}, hash={self.hash[:12]!r}, size={self.config.size}"

    def detect(self, frames: Tensor, *, differentiable: bool = False) -> Keypoints:
        """Find the keypoints of frames.

        Args:
            frames: (B, 3, H, W) float in [0, 1].
            differentiable: whether gradients are computed with respect to the frames.

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
        """Compute everything that depends only on the images, once per image.

        Args:
            images: (B, 3, H, W) float in [0, 1].
            differentiable: whether gradients are computed with respect to the images.
        """
        check_shape("images", images, "B 3 H W")
        images = self._floats("images", images)
        frame = self._frame(images)

        def encode(given: Tensors) -> Tensors:
            small = frame.to_model(given[0]).to(self.dtype)
            return (*self._detect(small).tensors, small, *self._encode(small))

        def part(rows: slice) -> Source:
            with _gradients(differentiable):
                found = self._run("encode", encode, (images[rows],))
            number = 2 if self.has_jacobian else 1
            return Source(images[rows], found[number:], Keypoints(*found[:number]))

        return Source.cat(_in_parts(part, images, differentiable))

    def animate(self, source: Source, keypoints: Keypoints, *, differentiable: bool = False) -> Animated:
        """Animate sources so that their keypoints move to target keypoints.

        Args:
            source: B encoded images.
            keypoints: target keypoints of B frames, one per source; or of N frames, all for a single source.
            differentiable: whether gradients are computed with respect to images and keypoints.

        Returns:
            B or N animated frames, at the size of the source's images.

        Raises:
            ShapeError: the numbers of sources and keypoints do not match, or the model has other keypoints.
        """
        source = self._pair(source, keypoints)
        keypoints = keypoints.to(self.device, source.keypoints.value.dtype)

        frame = self._frame(source.image)
        first, second = len(source.keypoints.tensors), len(keypoints.tensors)

        def animate(given: Tensors) -> Tensors:
            own, target = (Keypoints(*given[at : at + number]) for at, number in ((0, first), (first, second)))
            image, small, *features = given[first + second :]
            return _compose(image, self.generator(small, tuple(features), own, target), frame)

        def part(rows: slice) -> Animated:
            own, target = source[rows], keypoints[rows]
            given = (*own.keypoints.tensors, *target.tensors, own.image, *own.features)
            with _gradients(differentiable):
                return Animated(*self._run("animate", animate, given))

        return Animated.cat(_in_parts(part, source.image, differentiable, self.generator))

    def use_graphs(self, most: int = 16) -> Self:
        """Record passes on a GPU as CUDA graphs, and replay them; elsewhere, and with gradients, nothing changes.

        A replayed pass is started by one call. The first pass of each size of batch takes longer, because it is
        recorded. Batches are padded to a few sizes, so pixels may differ from other passes in their last digits.
        **This was tested with a stand-in on CPUs, and never run on a GPU.**

        Args:
            most: largest number of recordings, each of which holds the memory of a batch; 0 ends the use of graphs.

        Returns:
            The animator itself.
        """
        self.graphs = Graphs(most) if most else None
        return self

    def stream(
        self,
        source: Source,
        frames: Iterable[Tensor],
        *,
        reference: Keypoints | None = None,
        **options: Unpack[StreamOptions],
    ) -> Iterator[Animated]:
        """Animate one source by a stream of frames; see `fomaug.stream.stream` for the options.

        Args:
            source: one encoded image.
            frames: driving frames, (1, 3, H, W) float in [0, 1] each; larger batches increase throughput and delay.
            reference: keypoints of a driving frame with the source's pose; those of the first frame by default.
            **options: options of `fomaug.transfer`, and `region`, the part of the face that moves.
        """
        return stream(self, source, frames, reference=reference, **options)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:  # noqa: FBT001, FBT002
        if self.graphs is not None:
            self.graphs.forget()  # they read the weights where they were
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call, no-any-return]

    def _run(self, name: str, work: Callable[[Tensors], Tensors], given: Tensors) -> Tensors:
        graphs = self.graphs
        return work(given) if graphs is None or not graphs.fit(given[0]) else graphs.run(name, work, given)

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
                f"keypoints of {len(keypoints)} frames for {len(source)} sources; give one frame per source, or one "
                "source for all frames"
            )
        count = len(keypoints)
        return Source(
            source.image.expand(count, -1, -1, -1),
            tuple(part.expand(count, *part.shape[1:]) for part in source.features),
            source.keypoints[torch.zeros(count, dtype=torch.long, device=self.device)],
        )

    @torch.no_grad()
    def _probe(self) -> Keypoints:
        """Run the detector once to get the number of its keypoints."""
        return self._detect(torch.zeros(1, 3, self.size, self.size, device=self.device, dtype=self.dtype))


def _in_parts(
    work: Callable[[slice], Done],
    images: Tensor,
    differentiable: bool,  # noqa: FBT001
    network: nn.Module | None = None,
) -> list[Done]:
    """Process the parts of a batch in parallel where that is faster, otherwise the whole batch at once."""
    on_cpu = images.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if differentiable or traced or not on_cpu:
        return [work(slice(None))]
    weights = 0 if network is None else sum(weight.numel() for weight in network.parameters())
    return side_by_side(work, len(images), rows_of_part(weights))


def _compose(image: Tensor, output: GeneratorOutput, frame: Frame) -> tuple[Tensor, Tensor, Tensor]:
    """Convert the result to the image's size: image, flow and occlusion.

    The prediction is enlarged. Where it shows the warped source, the detail that the reduced image lost is added from
    the source at full size. At the model's own size nothing is added.
    """
    flow = frame.flow_to_picture(output.deformation)
    occlusion = _occlusion(output)
    visible = frame.map_to_picture(occlusion)
    if frame.is_identity:
        return output.prediction.to(image.dtype), flow, visible
    share = output.blend if output.blend is not None else resize_map(occlusion, (frame.side, frame.side))
    detail = warp_image(image, flow, padding="border") - frame.to_picture(output.deformed.to(image.dtype))
    sharp = frame.to_picture(output.prediction.to(image.dtype)) + frame.to_picture(share.to(image.dtype)) * detail
    return sharp.clamp(0, 1), flow, visible


def _occlusion(output: GeneratorOutput) -> Tensor:
    """Return the occlusion map (B, 1, h, w); ones for models without one."""
    if output.occlusion is not None:
        return output.occlusion
    return torch.ones_like(output.deformation[..., 0])[:, None]


def _own_side(side: int) -> int:
    """Round a side to a multiple of 32, which every hourglass can halve."""
    return max(32, round(side / 32) * 32)


def _gradients(differentiable: bool) -> contextlib.AbstractContextManager[None]:  # noqa: FBT001
    # Inference mode is not used, because its tensors cannot be inputs of a user's training step.
    return contextlib.nullcontext() if differentiable else torch.no_grad()
