"""The light generator: it warps the source, paints missing parts, and blends the two at full size."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomaug.geometry import resize_map, warp_image
from fomaug.geometry.eye import EyePoints, take_out_eyes
from fomaug.geometry.plane import warp_features
from fomaug.networks.blocks import ConvBlock, ResidualBlock, add_doubled, full_precision
from fomaug.networks.fomm import GeneratorOutput
from fomaug.networks.lite_motion import EyeFlow, LiteMotion, LiteMotionConfig, flow_with_eyes
from fomaug.types import Keypoints


@dataclass(frozen=True)
class LiteGeneratorConfig:
    """Numbers of a light generator.

    Attributes:
        num_keypoints: number K of keypoints.
        motion: numbers of the dense motion network.
        widths: numbers of encoder features at half, a quarter and an eighth of the image's size.
        encoder_blocks: number of residual blocks at the end of the encoder, which runs once for each source.
        decoder_blocks: number of residual blocks at the start of the decoder, which runs for each frame.
        eyes: keypoints of each eye that is moved separately at full size: outer corner, inner corner, upper lid, lower
            lid and iris; none by default.
        bridge: keypoint whose jacobian gives the downward direction of the face at an eye.
    """

    num_keypoints: int = 28
    motion: LiteMotionConfig = field(default_factory=LiteMotionConfig)
    widths: tuple[int, int, int] = (20, 40, 64)
    encoder_blocks: int = 2
    decoder_blocks: int = 1
    eyes: tuple[tuple[int, ...], ...] = ()
    bridge: int = 15


class LiteGenerator(nn.Module):
    """A network that animates a source by its keypoints and driving keypoints.

    Args:
        config: numbers of the network.
    """

    def __init__(self, config: LiteGeneratorConfig) -> None:
        super().__init__()
        self.config = config
        fine, middle, coarse = config.widths
        self.motion = LiteMotion(config.motion, config.num_keypoints)
        self.stem = ConvBlock(12, fine)
        self.down1 = ConvBlock(fine, middle, stride=2)
        self.down2 = ConvBlock(middle, coarse, stride=2)
        self.deep = nn.Sequential(*(ResidualBlock(coarse) for _ in range(config.encoder_blocks)))
        self.decoder = nn.Sequential(*(ResidualBlock(coarse) for _ in range(config.decoder_blocks)))
        self.up1 = ConvBlock(coarse, middle)
        self.refine1 = ConvBlock(middle, middle)
        self.up2 = ConvBlock(middle, fine)
        self.refine2 = ConvBlock(fine, fine)
        self.paint = nn.Conv2d(fine, 16, 3, padding=1)
        with torch.no_grad():
            assert self.paint.bias is not None
            self.paint.bias[12:] = 2.0  # training starts from the warped source
        # The decoder needs features of the driving motion: a stretched lip alone does not imply an open mouth.
        self.hint1 = nn.Conv2d(config.motion.widths[0], middle, 1)
        self.hint2 = nn.Conv2d(config.motion.widths[1], coarse, 1)
        hints = [self.hint1, self.hint2]
        self.eyes = EyePoints(config.eyes, config.bridge) if config.eyes else None
        if config.eyes:
            self.eye_hint = nn.Conv2d(3, fine, 1, bias=False)  # without a bias, it is 0 outside of the eyes
            hints.append(self.eye_hint)
        for hint in hints:
            nn.init.zeros_(hint.weight)
            if hint.bias is not None:
                nn.init.zeros_(hint.bias)

    def encode(self, image: Tensor) -> tuple[Tensor, ...]:
        """Compute features of images (B, 3, S, S) at S / 2, S / 4 and S / 8, and the reduced images."""
        fine = self.stem(F.pixel_unshuffle(image - 0.5, 2))
        middle = self.down1(fine)
        return fine, middle, self.deep(self.down2(middle)), self.motion.reduce(image)

    def forward(
        self, image: Tensor, features: tuple[Tensor, ...], source: Keypoints, driving: Keypoints
    ) -> GeneratorOutput:
        """Animate images (B, 3, S, S) whose `features` come from `encode`."""
        return self.draw(image, features, source, driving)[0]

    def draw(
        self, image: Tensor, features: tuple[Tensor, ...], source: Keypoints, driving: Keypoints
    ) -> tuple[GeneratorOutput, Tensor]:
        """Animate images, and return the painted images (B, 3, S, S) before the blend as well."""
        fine, middle, coarse, small = features
        head, eyes = driving, None
        if self.eyes is not None:
            with full_precision(image):
                head, old, new = take_out_eyes(source, driving, self.eyes)
        flow, occlusion, mask, hints = self.motion(small, source, head)
        if self.eyes is not None:
            eyes = flow_with_eyes(flow, old, new, image.shape[2])
            flow = eyes.flow
        x = self.decoder(warp_features(coarse, flow, occlusion) + _fitted(self.hint2(hints[1]), coarse))
        x = add_doubled(self.up1(x), _fitted(self.hint1(hints[0]), middle))
        x = self.refine1(x + warp_features(middle, flow, occlusion))
        x = add_doubled(self.up2(x), warp_features(fine, flow, occlusion))
        if eyes is not None:
            x = self._hinted(x, eyes)
        x = self.refine2(x)
        painted, blend = torch.split(_shuffled(self.paint(x).float().sigmoid()), [3, 1], 1)
        deformed = self._warped(image.to(painted.dtype), flow)
        output = GeneratorOutput(
            prediction=torch.lerp(painted, deformed, blend),
            deformation=flow,
            occlusion=occlusion,
            mask=mask,
            deformed=deformed,
            blend=blend,
        )
        return output, painted

    def _hinted(self, x: Tensor, eyes: EyeFlow) -> Tensor:
        hint: Tensor = self.eye_hint(eyes.maps.to(x.dtype))
        if hint.shape[2:] == x.shape[2:]:
            return x + hint
        x[:, :, eyes.rows, eyes.columns] += hint
        return x

    def _warped(self, image: Tensor, flow: Tensor) -> Tensor:
        """Warp the source; a cubic warp keeps it sharper, and a linear warp has the cheaper gradient in training."""
        if self.training:
            return warp_image(image, flow, padding="border")
        return warp_image(image, flow, padding="border", mode="bicubic").clamp(0, 1)


def _shuffled(x: Tensor) -> Tensor:
    """Compute `F.pixel_shuffle(x, 2)`, (B, 4 C, h, w) to (B, C, 2 h, 2 w), with a channels-first result.

    Torch would keep channels innermost. The operations after it read planes, and mixing both layouts is half as fast.
    """
    b, c, h, w = x.shape
    inner = x.permute(0, 2, 3, 1).reshape(b, h, w, c // 4, 2, 2)
    return inner.permute(0, 3, 1, 4, 2, 5).reshape(b, c // 4, 2 * h, 2 * w)


def _fitted(hint: Tensor, features: Tensor) -> Tensor:
    return resize_map(hint, (features.shape[2], features.shape[3]))
