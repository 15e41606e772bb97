"""The eight configurations that official weights were published for."""

from __future__ import annotations

from dataclasses import replace

from fomaug.networks.config import (
    CommonConfig,
    DenseMotionConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    KeypointDetectorConfig,
    ModelConfig,
)

_BASE = ModelConfig(
    common=CommonConfig(num_kp=10),
    kp_detector=KeypointDetectorConfig(block_expansion=32, max_features=1024, num_blocks=5, scale_factor=0.25),
    generator=GeneratorConfig(
        block_expansion=64,
        max_features=512,
        num_down_blocks=2,
        num_bottleneck_blocks=6,
        estimate_occlusion_map=True,
        dense_motion=DenseMotionConfig(block_expansion=64, max_features=1024, num_blocks=5, scale_factor=0.25),
    ),
    discriminator=DiscriminatorConfig(block_expansion=32),
    size=256,
)
_SPECTRAL = replace(_BASE, discriminator=DiscriminatorConfig(block_expansion=32, sn=True))
_ADVERSARIAL = replace(_BASE, discriminator=DiscriminatorConfig(block_expansion=32, use_kp=True))

OFFICIAL: dict[str, ModelConfig] = {
    "vox-256": _SPECTRAL,
    "vox-adv-256": _ADVERSARIAL,
    "taichi-256": _BASE,
    "taichi-adv-256": _ADVERSARIAL,
    "mgif-256": replace(_SPECTRAL, kp_detector=replace(_BASE.kp_detector, single_jacobian_map=True)),
    "fashion-256": _BASE,
    "bair-256": _SPECTRAL,
    "nemo-256": _SPECTRAL,
}
