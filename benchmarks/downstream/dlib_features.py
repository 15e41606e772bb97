"""dlib's face recogniser as a frozen model of features for `fomaug study --embedding dlib_features:embed --size 150`.

It needs `pip install --no-deps dlib-bin face_recognition_models` (the network of dlib's author, trained on other
pictures, public domain). A picture is used as a whole, without a search for its face. Results are kept in memory,
because every arm has the same test pictures.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import dlib
import numpy as np
import torch
from torch import Tensor

_KNOWN: dict[bytes, Any] = {}


def embed(images: Tensor) -> Tensor:
    """Turn images (B, 3, 150, 150) float in [0, 1] into embeddings (B, 128)."""
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    keys = [one.tobytes() for one in pixels]
    new = {key: one for key, one in zip(keys, pixels, strict=True) if key not in _KNOWN}
    if new:
        found = network().compute_face_descriptor(list(new.values()), 0)
        _KNOWN.update(zip(new, (np.array(one) for one in found), strict=True))
    return torch.from_numpy(np.stack([_KNOWN[key] for key in keys])).float()


@cache
def network() -> Any:
    """Load the network."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("install face_recognition_models with pip")
    folder = Path(spec.submodule_search_locations[0])
    return dlib.face_recognition_model_v1(str(folder / "models" / "dlib_face_recognition_resnet_model_v1.dat"))
