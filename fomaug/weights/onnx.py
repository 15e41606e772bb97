"""Export models to ONNX files, and compare the outputs of the files with those of the model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomaug.animator import Animator
from fomaug.errors import WeightsError
from fomaug.imports import require
from fomaug.types import Keypoints

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_TOLERANCE = 1e-4


def export_onnx(animator: Animator, folder: Path) -> dict[str, float]:
    """Write `detector.onnx`, `encoder.onnx` and `generator.onnx` for any batch size, and run them in ONNX Runtime.

    Args:
        animator: model on the CPU, in float32.
        folder: folder of the files; it is created.

    Returns:
        The largest difference between an output of each file and that of the model, by file name.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        WeightsError: an output differs by more than 1e-4.
    """
    for package in _PACKAGES:
        require(package, "export")
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, network, inputs, outputs in _parts(animator):
        path = folder / f"{name}.onnx"
        _write(network, inputs, outputs, path)
        found[path.name] = _difference(network, inputs, path)
        if found[path.name] > _TOLERANCE:
            raise WeightsError(
                f"{path} differs from the model by {found[path.name]:.1e}, up to {_TOLERANCE} is allowed; do not use it"
            )
    return found


class _Detector(nn.Module):
    def __init__(self, animator: Animator) -> None:
        super().__init__()
        self.detector = animator.detector

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return _pack(self.detector(image))


class _Encoder(nn.Module):
    def __init__(self, animator: Animator) -> None:
        super().__init__()
        self.generator: Any = animator.generator

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.generator.encode(image))


class _Generator(nn.Module):
    """A generator of plain tensors: image, features, keypoints of the source, keypoints of the driving frame."""

    def __init__(self, animator: Animator, num_features: int) -> None:
        super().__init__()
        self.generator = animator.generator
        self.num_features = num_features

    def forward(self, image: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        features, keypoints = rest[: self.num_features], rest[self.num_features :]
        half = len(keypoints) // 2
        out = self.generator(image, features, Keypoints(*keypoints[:half]), Keypoints(*keypoints[half:]))
        optional = [part for part in (out.occlusion, out.blend) if part is not None]
        return (out.prediction, out.deformation, *optional)


_Part = tuple[str, nn.Module, dict[str, Tensor], list[str]]


def _parts(animator: Animator) -> list[_Part]:
    image, other = _pictures(animator.size)
    source, driving = animator.encode(image), animator.detect(other)
    features = source.features[1:]
    kp = ["value", "jacobian"][: len(_pack(driving))]
    named = {f"features_{i}": part for i, part in enumerate(features)}
    points = dict(zip([f"source_{name}" for name in kp], _pack(source.keypoints), strict=True))
    points |= dict(zip([f"driving_{name}" for name in kp], _pack(driving), strict=True))
    network = _Generator(animator, len(features))
    with torch.no_grad():
        count = len(network(image, *features, *points.values()))
    results = ["prediction", "deformation", "occlusion", "blend"][:count]
    return [
        ("detector", _Detector(animator), {"image": image}, kp),
        ("encoder", _Encoder(animator), {"image": image}, list(named)),
        ("generator", network, {"image": image, **named, **points}, results),
    ]


def _pictures(size: int) -> tuple[Tensor, Tensor]:
    """Make two batches of two smooth pictures; in white noise, rounding of the flow alone exceeds the tolerance."""
    coarse = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    pictures = F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True).clamp(0, 1)
    return pictures[:2], pictures[2:]


def _pack(keypoints: Keypoints) -> tuple[Tensor, ...]:
    return (keypoints.value,) if keypoints.jacobian is None else (keypoints.value, keypoints.jacobian)


def _write(network: nn.Module, inputs: dict[str, Tensor], outputs: list[str], path: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=4096)
    shapes = tuple({0: batch} for _ in inputs)
    several = isinstance(network, _Generator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The exporter warns of its own deprecations.
        torch.onnx.export(
            network.eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=outputs,
            dynamic_shapes=(shapes[0], shapes[1:]) if several else shapes,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _difference(network: nn.Module, inputs: dict[str, Tensor], path: Path) -> float:
    """Return the largest difference from the network, also for another batch size than the export used."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for count in (1, 2):
        part = [tensor[:count] for tensor in inputs.values()]
        with torch.no_grad():
            expected: Sequence[Tensor] = network(*part)
        found = session.run(None, {name: tensor.numpy() for name, tensor in zip(inputs, part, strict=True)})
        worst = max(worst, *(float(np.abs(a - b.numpy()).max()) for a, b in zip(found, expected, strict=True)))
    return worst
