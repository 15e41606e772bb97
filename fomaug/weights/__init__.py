"""Model files: a safetensors file contains the weights, the configuration and the facts of a model."""

from fomaug.weights.assemble import load_strictly as load_strictly
from fomaug.weights.files import read_tensors as read_tensors
from fomaug.weights.files import save_model as save_model
from fomaug.weights.models import ModelInfo as ModelInfo
from fomaug.weights.models import find_model as find_model
from fomaug.weights.models import import_official as import_official
from fomaug.weights.models import list_models as list_models
from fomaug.weights.models import load_model as load_model
from fomaug.weights.models import model_info as model_info
from fomaug.weights.models import models_folder as models_folder
from fomaug.weights.models import pick_device as pick_device
from fomaug.weights.official import read_settings as read_settings
from fomaug.weights.official import settings_of as settings_of
from fomaug.weights.onnx import export_onnx as export_onnx
from fomaug.weights.pickles import read_pickle as read_pickle

__all__ = [
    "ModelInfo",
    "export_onnx",
    "find_model",
    "import_official",
    "list_models",
    "load_model",
    "load_strictly",
    "model_info",
    "models_folder",
    "pick_device",
    "read_pickle",
    "read_settings",
    "settings_of",
    "read_tensors",
    "save_model",
]
