"""Training: the First Order Motion Model on clips (`train`), the light face model in `fomaug.training.faces`."""

from fomaug.training._config import TrainConfig as TrainConfig
from fomaug.training._config import read_config as read_config
from fomaug.training._loop import train as train

__all__ = ["TrainConfig", "read_config", "train"]
