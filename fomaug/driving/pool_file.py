"""The file of a driving pool: one safetensors file whose header describes the tracks.

Files may come from an unknown source: sizes are limited before anything is read, every field is checked, and unknown
versions and fields are errors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from fomaug.animator import Animator
from fomaug.driving.track import MotionTrack
from fomaug.errors import PoolError, reason_of, shortened
from fomaug.faces import is_face_model
from fomaug.files import POOL, write_file
from fomaug.types import Keypoints
from fomaug.untrusted import load_json, open_tensors

EMBEDDED: Final = "lite-256"
VERSION: Final = 1
VIEWS: Final = 2  # version of files with views, which older versions of fomaug reject
_KEY: Final = "fomaug.pool"
_MAX_HEADER: Final = 2**24
_MOST_PARTS: Final = 10**6  # largest number of lists and objects in the description, each of which takes 60 bytes
_MOST_VALUES: Final = 4 * 10**6  # largest number of commas in the description; as many numbers take a second to read
_MOST_FRAMES: Final = 10**7  # largest number of frames of a track: four days at 25 a second
_MOST_POINTS: Final = 1024  # largest number of keypoints
_FIELDS: Final[Mapping[str, tuple[type, ...]]] = {
    "name": (str,),
    "label": (str, type(None)),
    "fps": (int, float),
    "clip_hash": (str,),
    "driver": (str,),
    "weight": (int, float),
    "crop": (list, type(None)),
    "facts": (dict,),
}
_VIEW_FIELDS: Final[Mapping[str, tuple[type, ...]]] = {"angles": (list, type(None)), "expression": (str,)}


def write(path: Path, tracks: Sequence[MotionTrack], model_name: str, model_hash: str) -> None:
    """Write tracks atomically."""
    version = VERSION if all(track.angles is None for track in tracks) else VIEWS
    header = {
        "version": version,
        "model_name": model_name,
        "model_hash": model_hash,
        "tracks": [{field: getattr(track, field) for field in _fields(version)} for track in tracks],
    }
    tensors = {name: part for row, track in enumerate(tracks) for name, part in _tensors(row, track)}
    # `save_file` is not used, because only the owner could read the file.
    content = save(tensors, metadata={_KEY: json.dumps(header, default=dict)})
    try:
        write_file(path, content)
    except OSError as error:
        raise PoolError(f"cannot write {path} ({reason_of(error)})") from error


def read(path: Path) -> tuple[list[MotionTrack], str, str]:
    """Read and check a pool file; return its tracks, the model's name and the model's hash."""
    try:
        with open_tensors(path, POOL, most_header=_MAX_HEADER) as file:
            header = _header(path, (file.metadata() or {}).get(_KEY))
            rows: list[Any] = header["tracks"]
            names = set(file.keys())
            if len(rows) > len(names) or not _fit(names, len(rows)):
                raise PoolError(f"{path} is damaged: its tensors do not match its {len(rows)} tracks")
            fields = _fields(header["version"])
            tracks = [_track(path, facts, fields, _keypoints(path, file, row, names)) for row, facts in enumerate(rows)]
    except OSError as error:
        raise PoolError(f"cannot read pool {path} ({reason_of(error)})") from error
    except (SafetensorError, RuntimeError) as error:  # RuntimeError: torch cannot allocate the shape
        raise PoolError(
            f"{path} is not a pool file or is damaged ({reason_of(error)}); build one with `fomaug pool build`"
        ) from error
    return tracks, header["model_name"], header["model_hash"]


def _fit(names: set[str], count: int) -> bool:
    values = {f"{row}.value" for row in range(count)}
    return values <= names <= values | {f"{row}.jacobian" for row in range(count)}


def rounded(track: MotionTrack) -> MotionTrack:
    """Round keypoints to half precision."""
    return replace(track, keypoints=track.keypoints.to(dtype=torch.float16).to(dtype=torch.float32))


def build_command(model: Animator) -> str:
    """Return the command that builds a pool for a model, which `--model` need not accept by its name."""
    return f"`fomaug pool build CLIPS -o POOL --model MODEL`, where MODEL is the name or the file of {model.name!r}"


def shipped_pool(model: Animator) -> Path | None:
    """Find the pool file of the embedded model; None if the package has none.

    Raises:
        PoolError: the model is another one.
    """
    if model.name != EMBEDDED:
        raise PoolError(
            f"the built-in pool is for {EMBEDDED}, and {model.name!r} has other keypoints; build a pool from clips "
            f"with {build_command(model)}"
            + (", or make one with DrivingPool.parametric(model)" if is_face_model(model) else "")
        )
    path = Path(str(files("fomaug") / "assets" / f"{EMBEDDED}.pool.safetensors"))
    return path if path.is_file() else None


def _tensors(row: int, track: MotionTrack) -> list[tuple[str, Tensor]]:
    parts = [("value", track.keypoints.value), ("jacobian", track.keypoints.jacobian)]
    return [(f"{row}.{name}", _compact(part)) for name, part in parts if part is not None]


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Add the file's name to errors about its tracks.

    Raises:
        PoolError: the block raised one.
    """
    try:
        yield
    except PoolError as error:
        if str(path) in str(error):
            raise
        raise PoolError(f"{path} is damaged: {error}") from error


def _compact(tensor: Tensor) -> Tensor:
    """Convert to float16 if this is lossless, otherwise to float32."""
    full = tensor.detach().to("cpu", torch.float32).contiguous()
    half = full.half()
    return half if half.float().equal(full) else full


def _header(path: Path, text: str | None) -> dict[str, Any]:
    if text is None:
        raise PoolError(f"{path} is a safetensors file, but no pool of fomaug")
    if text.count("{") + text.count("[") > _MOST_PARTS:
        raise PoolError(f"{path} is damaged: its description has more than {_MOST_PARTS} lists and objects")
    if text.count(",") > _MOST_VALUES:
        raise PoolError(f"{path} is damaged: its description has more than {_MOST_VALUES} values")
    header = load_json(text, f"{path} is damaged: its description", PoolError, finite=False)
    if not isinstance(header, dict) or not isinstance(header.get("version"), int):
        raise PoolError(f"{path} is damaged: its description has no version")
    if header["version"] not in (VERSION, VIEWS):
        raise PoolError(
            f"{path} has pool format {shortened(header['version'])}, this fomaug reads {VERSION} and {VIEWS}; "
            "update fomaug or build it again"
        )
    wanted = {"model_name": str, "model_hash": str, "tracks": list}
    if not all(isinstance(header.get(key), kind) for key, kind in wanted.items()):
        raise PoolError(f"{path} is damaged: its description must have {', '.join(wanted)}")
    return header


def _keypoints(path: Path, file: Any, row: int, names: set[str]) -> Keypoints:
    parts: list[Tensor] = []
    for name in (f"{row}.value", f"{row}.jacobian"):
        if name not in names:
            break
        _check_sizes(path, name, file.get_slice(name).get_shape())
        part = file.get_tensor(name)
        if part.dtype not in (torch.float16, torch.float32):
            raise PoolError(f"{path} is damaged: {name} is {part.dtype}, not float16 or float32")
        parts.append(part.float())
    return Keypoints(*parts)


def _check_sizes(path: Path, name: str, shape: list[int]) -> None:
    """Check that a shape is small enough before the tensor is read; `MotionTrack` checks the shape itself."""
    if len(shape) > 4 or any(size > _MOST_FRAMES for size in shape) or any(size > _MOST_POINTS for size in shape[1:]):
        raise PoolError(
            f"{path} is damaged: {name} must be up to ({_MOST_FRAMES}, {_MOST_POINTS}, 2, 2), got {tuple(shape)}"
        )


def _fields(version: int) -> Mapping[str, tuple[type, ...]]:
    return _FIELDS if version == VERSION else {**_FIELDS, **_VIEW_FIELDS}


def _track(path: Path, facts: Any, fields: Mapping[str, tuple[type, ...]], keypoints: Keypoints) -> MotionTrack:
    if not isinstance(facts, dict) or set(facts) != set(fields):
        raise PoolError(f"{path} is damaged: a track must have {', '.join(fields)}")
    for name, kinds in fields.items():
        if not isinstance(facts[name], kinds) or isinstance(facts[name], bool):
            raise PoolError(f"{path} is damaged: {name} of a track is {facts[name]!r:.40}")
    crop = facts["crop"]
    if crop is not None and not (len(crop) == 4 and all(type(value) is int and abs(value) < 2**31 for value in crop)):
        raise PoolError(f"{path} is damaged: crop of a track is {crop!r:.40}")
    if not all(isinstance(word, str) for word in facts["facts"].values()):
        raise PoolError(f"{path} is damaged: facts of a track must be words")
    tuples = {"crop": None if crop is None else tuple(crop), "angles": _read_angles(path, facts.get("angles"))}
    return MotionTrack(**{**facts, **tuples}, keypoints=keypoints)


def _read_angles(path: Path, angles: list[Any] | None) -> tuple[tuple[float, float, float], ...] | None:
    if angles is None:
        return None
    if not all(isinstance(view, list) and len(view) == 3 and all(type(x) is float for x in view) for view in angles):
        raise PoolError(f"{path} is damaged: angles of a track must be lists of yaw, pitch and roll")
    return tuple((yaw, pitch, roll) for yaw, pitch, roll in angles)
