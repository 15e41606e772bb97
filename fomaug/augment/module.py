"""`MotionAugment`: draw and apply as one torch module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast, get_args, overload

import torch
from torch import Tensor, nn

from fomaug.animator import Animator
from fomaug.augment.arguments import (
    SETTINGS,
    Driving,
    Model,
    PlainModule,
    Probability,
    Resources,
    check_params,
    p_at,
)
from fomaug.augment.faces import Faces, make_locator, place
from fomaug.augment.pixels import LateChecks, Range, check_tensor
from fomaug.augment.render import apply, value_check
from fomaug.device import send
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, check_choice
from fomaug.motion import DrawSettings, Key, MotionParams, MotionResult, counted_keys, draw, plain_keys
from fomaug.options import (
    AUTO,
    FrameChoice,
    Interval,
    OnMissing,
    Purpose,
    Region,
    Selection,
    check_sizes,
    recommended_driving,
    whole,
    with_presets,
)


class MotionAugment(PlainModule):
    """Move the faces of a batch as the faces of driving clips move.

    Called as a module, it animates each image with probability `p`; after `eval()` it returns its input, as dropout
    does. `draw`, `apply` and `multiply` work in both modes. The model is not trained: it follows `.to(...)`, but is
    neither in `parameters()` nor in `state_dict()`.

    Args:
        driving: driving pool, its name or its file, such as "builtin" or "parametric yaw=-45:45 pitch=-25:25"; "auto"
            for the views of the purpose "recognition", see `fomaug.options.recommended_driving`.
        model: an `Animator`, a model's name, or the path of a model file.
        p: probability that a copy moves at all; or a schedule: pairs (epoch, p), the first of epoch 0, each for the
            passes from that epoch on, or a function from the epoch to the probability.
        strength_range: interval that the share of the motion is drawn from; 1 is all of it.
        selection: "diverse" spreads the copies of a source over the motions of the pool, turned heads first; "uniform"
            draws every copy independently; "sequence" takes consecutive frames, copy after copy.
        relative: whether the driving motion is added to the source's keypoints; otherwise the driving keypoints replace
            them.
        relative_jacobian: whether, with `relative`, the change of the jacobians is added, too.
        adapt_scale: whether, with `relative`, the motion is scaled by the ratio of the faces' sizes.
        reference: driving frame that counts as no motion: "closest" to the source's pose, the "first", or an index.
        region: part of the face that moves: "all"; or "head", "mouth", "eyes" or "expression", for models that name
            their keypoints.
        seed: seed of all draws.
        value_range: lowest and highest value of float images; uint8 images have values from 0 to 255. On a GPU, the
            error for images outside of it is raised by the next batch, or when a result's parameters are read.
        batch_size: number of images per pass through the model; None for 64 on an accelerator, 8 on the CPU.
        differentiable: whether gradients flow to float images.
        yaw_range: interval of head turns, in degrees, to which driving frames are restricted (estimated; 0 is the usual
            pose of the track); positive is to the viewer's left.
        pitch_range: interval of nods, in degrees, to which driving frames are restricted; positive looks down.
        on_missing: treatment of images without a face if faces are to move: "copy" keeps them unchanged; "skip" leaves
            them out of `multiply` and keeps them elsewhere; "error" raises an error.
        mirror_probability: probability that a copy that moves is also mirrored, left to right.
        purpose: preset for the arguments that are not given, see `fomaug.options`.
    """

    @with_presets()
    def __init__(
        self,
        driving: Driving = AUTO,
        model: Model = "lite-256",
        p: Probability = 0.5,
        strength_range: Interval = (0.3, 1.0),
        selection: Selection = "diverse",
        *,
        relative: bool = True,
        relative_jacobian: bool = True,
        adapt_scale: bool = True,
        reference: FrameChoice = "closest",
        region: Region = "all",
        seed: int = 0,
        value_range: Range = (0.0, 1.0),
        batch_size: int | None = None,
        differentiable: bool = False,
        yaw_range: Interval | None = None,
        pitch_range: Interval | None = None,
        on_missing: OnMissing = "copy",
        mirror_probability: float = 0.0,
        purpose: Purpose | None = None,
    ) -> None:
        super().__init__()
        self.purpose = purpose
        self.p = p
        self.strength_range = strength_range
        self.selection = selection
        self.relative = relative
        self.relative_jacobian = relative_jacobian
        self.adapt_scale = adapt_scale
        self.reference = reference
        self.region = region
        self.seed = seed
        self.value_range = value_range
        self.batch_size = batch_size
        self.differentiable = differentiable
        self.yaw_range = yaw_range
        self.pitch_range = pitch_range
        self.on_missing = on_missing
        self.mirror_probability = mirror_probability
        self.epoch = 0
        self.count = 0  # images without a key since the epoch began
        check_sizes(value_range, batch_size)
        check_choice("on_missing", on_missing, get_args(OnMissing))
        settings = self.settings  # raises for a wrong setting before the model is loaded
        self._resources = Resources(recommended_driving(settings) if driving == AUTO else driving, model)
        self._late = LateChecks()

    @property
    def model(self) -> Animator:
        """The animator."""
        return self._resources.animator

    @property
    def driving(self) -> DrivingPool:
        """The driving pool."""
        return self._resources.pool

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self._resources.device

    @property
    def settings(self) -> DrawSettings:
        """The checked settings of a draw in the module's epoch."""
        return self._settings_at(self.epoch)

    def draw(
        self, keys: Sequence[Key], *, copies: int = 1, epoch: int | None = None, face: int = 0
    ) -> list[MotionParams]:
        """Draw the motion of every copy of every image; the same arguments always give the same draw.

        Args:
            keys: name of each image: path, id or dataset index.
            copies: number of draws for each image.
            epoch: number of the pass over the data; None for the module's own, see `set_epoch`.
            face: index of the face in the image; each face has draws of its own.

        Returns:
            len(keys) * copies parameters, all copies of the first image first.
        """
        epoch = self.epoch if epoch is None else epoch
        return draw(self.driving, self._settings_at(epoch), keys, copies=copies, epoch=epoch, face=face)

    def place(self, images: Tensor, params: Sequence[MotionParams], faces: Faces) -> list[MotionParams]:
        """Assign faces of the images to motion parameters; `apply` does so if it is given faces.

        Args:
            images: (B, 3 or 1, H, W), uint8 or float in `value_range`.
            params: B * copies parameters. Those that have a box already keep it.
            faces: boxes (x0, y0, x1, y1) in pixels, (B, M, 4) or one (M, 4) for each image, a fifth column being their
                visibility; or a detector, a function from an (H, W, 3) uint8 picture to boxes; or "auto": the model
                finds faces itself, which takes a second or more for each image.

        Returns:
            B * copies parameters with boxes, and with a draw for each further face; see `on_missing` for images without
            a face.
        """
        check_params(params)
        locate = make_locator(images, faces, self.model, self.value_range)
        copies = max(len(params) // max(len(images), 1), 1)
        return place(self.driving, self.settings, params, locate, copies=copies, on_missing=self.on_missing)

    @overload
    def apply(self, images: Tensor, params: Sequence[MotionParams], *, faces: Faces | None = None) -> MotionResult: ...

    @overload
    def apply(self, images: Callable[[nn.Module], None]) -> MotionAugment: ...

    def apply(
        self,
        images: Tensor | Callable[[nn.Module], None],
        params: Sequence[MotionParams] = (),
        *,
        faces: Faces | None = None,
    ) -> MotionResult | MotionAugment:
        """Move images as drawn; nothing random, works in every mode.

        Given a function, as by `torch.nn.Module.apply` of an enclosing network, it calls the function with this module.

        Args:
            images: (B, 3 or 1, H, W), uint8 or float in `value_range`; not modified.
            params: parameters of each image, or of the same number of copies of every image, all copies of the first
                image first.
            faces: faces that are cut out, animated and blended back, see `place`; None for the whole image, or for the
                boxes of the parameters.

        Returns:
            Image, flow and occlusion, and the settled parameters. `fomaug.warp` moves labels by the flow.
        """
        if callable(images) and not isinstance(images, Tensor):
            return super().apply(images)
        check_tensor(images)
        check_params(params)
        if faces is not None:
            params = self.place(images, params, faces)
        options = {name: getattr(self, name) for name in ("value_range", "batch_size", "differentiable")}
        result = apply(self.model, self.driving, images, params, **options)
        self._late.follow(value_check(result))
        return result

    def multiply(
        self, images: Tensor, copies: int, keys: Sequence[Key] | None = None, *, faces: Faces | None = None
    ) -> tuple[Tensor, Tensor]:
        """Make several copies of every image, each moved with probability `p`.

        Args:
            images: (B, 3 or 1, H, W).
            copies: number of copies of each image.
            keys: name of each image; None numbers them, as `forward` does.
            faces: see `place`; None for the whole image.

        Returns:
            (B * copies, 3 or 1, H, W) images, and (B * copies,) int64: the source row of each, on the images' device.
            With `on_missing="skip"`, copies that would have moved but have no face are left out of both.
        """
        check_tensor(images)
        params = self.draw(self._keys(images, keys), copies=copies)
        index = torch.arange(len(images), device=images.device).repeat_interleave(copies)
        placed = params if faces is None else self.place(images, params, faces)
        image = self.apply(images, placed).image
        if self.on_missing != "skip":
            return image, index
        rows = [row for row, param in enumerate(params) if param.skipped or not placed[row].skipped]
        (kept,) = send([rows], images.device)
        return image[kept], index[kept]

    def forward(self, images: Tensor, keys: Sequence[Key] | None = None, *, faces: Faces | None = None) -> Tensor:
        """Animate each image with probability `p`; in evaluation mode, return the images.

        Args:
            images: (B, 3 or 1, H, W), uint8 or float in `value_range`.
            keys: name of each image. None: the n-th image since `set_epoch` gets the key n, so the draws depend on the
                order of the images but not on their batches; ranks and worker processes count separately. The count is
                part of `state_dict()`.
            faces: see `place`; None for the whole image.

        Returns:
            Images of the same shape, dtype, device, layout and range; the input itself where nothing moves.
        """
        if not self.training:
            return images
        check_tensor(images)
        if len(images) == 0:
            return images
        if torch.compiler.is_compiling():
            # Hashes and Python loops cannot be traced: a compiled step breaks its graph here, once.
            return cast(Tensor, torch.compiler.disable(self._animate)(images, keys, faces))  # type: ignore[no-untyped-call]
        return self._animate(images, keys, faces)

    def set_epoch(self, epoch: int) -> None:
        """Begin a pass over the data: it has draws of its own, and images without keys are counted from 0."""
        self.epoch = whole("epoch", epoch)
        self.count = 0

    def next_keys(self, count: int) -> list[Key]:
        """Name the next images that come without a key, and count them; see `forward`."""
        self.count += count
        return counted_keys(self.count - count, count)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MotionAugment:  # noqa: FBT001, FBT002
        self._resources.move(fn)
        return cast(MotionAugment, super()._apply(fn, recurse))  # type: ignore[no-untyped-call]

    def _animate(self, images: Tensor, keys: Sequence[Key] | None, faces: Faces | None) -> Tensor:
        return self.apply(images, self.draw(self._keys(images, keys)), faces=faces).image

    def _settings_at(self, epoch: int) -> DrawSettings:
        others = {name: getattr(self, name) for name in SETTINGS if name != "p"}
        return DrawSettings(p=p_at(self.p, epoch), **others)

    def _keys(self, images: Tensor, keys: Sequence[Key] | None) -> Sequence[Key]:
        keys = self.next_keys(len(images)) if keys is None else plain_keys(keys)
        if len(keys) != len(images):
            raise ArgumentError(f"{len(keys)} keys for {len(images)} images; give one key for each image")
        return keys
