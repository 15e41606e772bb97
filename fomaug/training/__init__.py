"""Training of the First Order Motion Model on clips; `fomaug.training.faces` trains the light face model."""

from fomaug.training.config import TrainConfig as TrainConfig
from fomaug.training.config import read_config as read_config
from fomaug.training.loop import TrainingError as TrainingError
from fomaug.training.loop import train as train

__all__ = ["TrainConfig", "TrainingError", "read_config", "train"]
