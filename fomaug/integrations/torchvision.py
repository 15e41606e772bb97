"""`MotionAugment` as a torchvision v2 transform.

>>> from torchvision.transforms import v2  # doctest: +SKIP
>>> from fomaug.integrations.torchvision import MotionAugment  # doctest: +SKIP
>>> transform = v2.Compose([MotionAugment(p=0.5), v2.RandomHorizontalFlip()])  # doctest: +SKIP
>>> image, target = transform(image, {"masks": masks, "boxes": boxes, "label": 3})  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from fomaug.animator import Animator
from fomaug.augment import MotionAugment as _Engine
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError
from fomaug.integrations.engine import own_engine, random_numbers
from fomaug.integrations.require import require
from fomaug.motion import MotionParams

require("torchvision")

import PIL.Image  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

from fomaug.integrations.tv_tensors import LABELS, MovedPicture, count_motions  # noqa: E402

Interval = tuple[float, float]


class MotionAugment(v2.Transform):  # type: ignore[misc]
    """Move faces as the faces of driving clips move, and their labels with them.

    Takes a sample or a batch: (..., 3 or 1, H, W) `Image`, `Video`, plain tensor or PIL picture. Each image of a batch
    gets a motion of its own, each frame of a `Video` the same. `Mask`, `BoundingBoxes` and `KeyPoints` follow the
    first picture; those of a batch carry its first dimension, boxes one for each image. Further pictures of a
    sample get the same motion parameters.

    Random numbers come from torch's generator, as everywhere in torchvision; everything else about a draw depends on
    the number alone. The model goes where the images are.

    Args:
        driving: a `DrivingPool`, "builtin", or the path of a pool file.
        model: an `Animator`, a model's name, or the path of a model file.
        p: probability of moving an image.
        strength_range: an image's share of the motion is drawn from this interval; 1 is all of it.
        selection: "diverse" prefers large motions; "uniform" takes all alike.
        relative: add the driving motion to the source's keypoints; otherwise the driving keypoints replace them.
        relative_jacobian: with `relative`, add the change of the jacobians, too.
        adapt_scale: with `relative`, scale the motion by the ratio of the faces' sizes.
        reference: the driving frame that counts as no motion: the "closest" to the source's pose, "first", a number.
        region: "all", or the part of the face that moves: "head", "mouth", "eyes", "expression".
        yaw_range: draw only driving frames turned by so many degrees.
        pitch_range: the same for nodding.
        value_range: lowest and highest value of float images; integers go from 0 to 255.
        batch_size: images per pass through the model; None for 64 on an accelerator, 8 on the CPU.
        differentiable: let gradients flow to float images.
    """

    _transformed_types = (torch.Tensor, PIL.Image.Image)

    def __init__(
        self,
        driving: DrivingPool | str | Path = "builtin",
        model: Animator | str | Path = "lite-256",
        p: float = 0.5,
        strength_range: Interval = (0.3, 1.0),
        selection: Literal["diverse", "uniform", "sequence"] = "diverse",
        *,
        relative: bool = True,
        relative_jacobian: bool = True,
        adapt_scale: bool = True,
        reference: Literal["closest", "first"] | int = "closest",
        region: str = "all",
        yaw_range: Interval | None = None,
        pitch_range: Interval | None = None,
        value_range: Interval = (0.0, 1.0),
        batch_size: int | None = None,
        differentiable: bool = False,
    ) -> None:
        super().__init__()
        settings = {
            "p": p,
            "strength_range": strength_range,
            "selection": selection,
            "relative": relative,
            "relative_jacobian": relative_jacobian,
            "adapt_scale": adapt_scale,
            "reference": reference,
            "region": region,
            "yaw_range": yaw_range,
            "pitch_range": pitch_range,
            "value_range": value_range,
            "batch_size": batch_size,
            "differentiable": differentiable,
        }
        for name, value in settings.items():
            setattr(self, name, value)
        # In a tuple it is no submodule: it has no state to save, and it follows the images, not `.to(...)`.
        self._engines = (own_engine(driving, model, settings),)

    @property
    def engine(self) -> _Engine:
        """The `fomaug.MotionAugment` that does the work."""
        return self._engines[0]

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw a motion for each image of the first picture.

        Returns:
            `motions`, a list of `fomaug.MotionParams`, plain JSON to be logged or replayed; and `first`, the first
            picture and what becomes of it, worked out when it is needed.
        """
        picture = next((item for item in flat_inputs if not isinstance(item, LABELS)), None)
        if picture is None:
            raise ArgumentError("MotionAugment found labels and no image; pass the image together with its labels")
        numbers = random_numbers(count_motions(picture)).tolist()
        return self.params_for(picture, self.engine.draw([str(number) for number in numbers]))

    def params_for(self, picture: Any, motions: Sequence[MotionParams]) -> dict[str, Any]:
        """Take motions that were drawn before instead of drawing: `transform(item, params)` then replays them."""
        return {"motions": list(motions), "first": MovedPicture(self.engine, picture, list(motions))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Move a picture, or the labels of the first picture."""
        first: MovedPicture = params["first"]
        if isinstance(inpt, LABELS):
            return first.label(inpt)
        if inpt is first.picture:
            return first.image
        return MovedPicture(self.engine, inpt, params["motions"]).image
