"""Training of the light face model on still portraits and short clips with face meshes."""

from fomaug.training.faces.augmentation import Degradation as Degradation
from fomaug.training.faces.loop import train_faces as train_faces
from fomaug.training.faces.pairs import Framing as Framing
from fomaug.training.faces.run import FaceTrainConfig as FaceTrainConfig
from fomaug.training.faces.run import TrainState as TrainState
from fomaug.training.faces.run import export_model as export_model
from fomaug.training.faces.store import pack_clips as pack_clips
from fomaug.training.faces.store import pack_stills as pack_stills

__all__ = [
    "Degradation",
    "FaceTrainConfig",
    "Framing",
    "TrainState",
    "export_model",
    "pack_clips",
    "pack_stills",
    "train_faces",
]
