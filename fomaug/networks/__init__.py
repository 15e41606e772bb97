"""Networks: the First Order Motion Model, with the weight names of official checkpoints, and the light model."""

from fomaug.networks.architectures import OFFICIAL as OFFICIAL
from fomaug.networks.architectures import AnyConfig as AnyConfig
from fomaug.networks.architectures import Configuration as Configuration
from fomaug.networks.architectures import LiteConfig as LiteConfig
from fomaug.networks.architectures import build_networks as build_networks
from fomaug.networks.architectures import config_from_dict as config_from_dict
from fomaug.networks.architectures import fold_batch_norms as fold_batch_norms
from fomaug.networks.architectures import model_hash as model_hash
from fomaug.networks.config import ModelConfig as ModelConfig
from fomaug.networks.discriminator import MultiScaleDiscriminator as MultiScaleDiscriminator
from fomaug.networks.fomm import Generator as Generator
from fomaug.networks.fomm import GeneratorOutput as GeneratorOutput
from fomaug.networks.fomm import KeypointDetector as KeypointDetector

__all__ = [
    "OFFICIAL",
    "AnyConfig",
    "Configuration",
    "Generator",
    "GeneratorOutput",
    "KeypointDetector",
    "LiteConfig",
    "ModelConfig",
    "MultiScaleDiscriminator",
    "build_networks",
    "config_from_dict",
    "fold_batch_norms",
    "model_hash",
]
