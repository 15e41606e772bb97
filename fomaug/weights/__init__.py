"""Model files: a safetensors file contains the weights, the configuration and the facts of a model."""

from fomaug.weights.files import ModelInfo as ModelInfo
from fomaug.weights.files import list_models as list_models
from fomaug.weights.files import model_info as model_info
from fomaug.weights.files import save_model as save_model
from fomaug.weights.load import load_model as load_model
from fomaug.weights.official import import_official as import_official
from fomaug.weights.paths import models_folder as models_folder

__all__ = ["ModelInfo", "import_official", "list_models", "load_model", "model_info", "models_folder", "save_model"]
