"""COCO annotations: boxes (x, y, width, height), keypoints (x, y, visibility) and segmentations of each face."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from fomaug import warp
from fomaug.errors import LabelError, reason_of, shortened
from fomaug.files import LABELS, read_regular, write_file
from fomaug.labels.checks import Array, check_boxes, check_carried, check_points, check_seen, read_numbers
from fomaug.labels.flaws import Flaw, OnFlaw, Place, flaws_of
from fomaug.labels.formats import Annotations, Format, Row, picture_key, register
from fomaug.labels.segments import Segment, read_segment, segment_area, segment_box
from fomaug.labels.values import FaceLabels
from fomaug.strict_json import load_json

_DERIVED = ("id", "image_id", "bbox", "keypoints", "num_keypoints", "area", "segmentation")
_WHOLE: Final = ("info", "licenses", "categories")  # of the file as a whole, and written again
_TIGHT: Final = 1.5  # pixels


@dataclass(frozen=True)
class _Face:
    """One annotation, checked.

    Attributes:
        origin: where it stands in the file.
        kept: what it says besides its labels.
        box: (x0, y0, x1, y1) edges; None if it has none.
        points: (P, 3) x, y and visibility.
        segment: its segmentation.
    """

    origin: str
    kept: dict[str, Any]
    box: tuple[float, float, float, float] | None
    points: Array
    segment: Segment | None

    @property
    def is_tight(self) -> bool:
        """Whether its box is the one around its segmentation, as COCO has it, and not one of its own."""
        if self.segment is None or self.box is None:
            return False
        return bool(np.abs(np.subtract(segment_box(self.segment), self.box)).max() <= _TIGHT)


def _read(path: Path, root: Path, on_flaw: OnFlaw) -> Annotations:
    content = _load(path)
    images, annotations = content.get("images"), content.get("annotations", [])
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise LabelError(f"{path} is no COCO file: images and annotations must be lists")
    names = _names(path, images, root, on_flaw)
    flawed: set[str] = set()

    def note(flaw: Flaw) -> None:
        flawed.add(flaw.picture)
        on_flaw(flaw)

    faces: dict[str, list[_Face]] = {name: [] for name in names.values() if name is not None}
    for number, annotation in enumerate(annotations):
        with flaws_of(f"{path}, annotation {number}{_id(annotation)}", note) as place:
            name = _picture(annotation, names)
            if name is not None:
                place.picture = name
                faces[name].append(_face(place.where, annotation))
    # Without faces a picture would teach a detector that it shows none.
    return {name: _join(found) for name, found in faces.items() if found or name not in flawed}


def _names(path: Path, images: list[Any], root: Path, on_flaw: OnFlaw) -> dict[Any, str | None]:
    """Find the picture of each image id; None for an id of several pictures, whose annotations belong to no one."""
    places: dict[Any, list[Place]] = {}
    for number, image in enumerate(images):
        with flaws_of(f"{path}, image {number}{_id(image)}", on_flaw) as place:
            if not isinstance(image, dict) or not isinstance(image["file_name"], str):
                raise LabelError("an image must be a JSON object with an id and a file_name, a text")
            key = _key(image["id"])
            place.picture = picture_key(image["file_name"], path.parent, root)
            places.setdefault(key, []).append(place)
    names: dict[Any, str | None] = {}
    for key, found in places.items():
        pictures = dict.fromkeys(place.picture for place in found)
        names[key] = found[0].picture if len(pictures) == 1 else None
        for place in found if len(pictures) > 1 else ():
            others = ", ".join(name for name in pictures if name != place.picture)
            reason = f"its id is also that of {others}, so the annotations of this id were left out"
            on_flaw(Flaw(place.where, place.picture, reason))
    return names


def _picture(annotation: Any, names: Mapping[Any, str | None]) -> str | None:
    """Find the picture of an annotation; None if several have its id, which has been said of them."""
    if not isinstance(annotation, dict):
        raise LabelError("an annotation must be a JSON object")
    image_id = _key(annotation["image_id"])
    if image_id not in names:
        raise LabelError(f"no image has the id {annotation['image_id']!r}")
    return names[image_id]


def _key(value: Any) -> int | str:
    if not isinstance(value, int | str):
        raise LabelError(f"an id of an image must be a whole number or a text, got {shortened(value)}")
    return value


def _id(entry: Any) -> str:
    found = entry.get("id") if isinstance(entry, dict) else None
    return "" if found is None else f" (id {shortened(found)})"


def _load(path: Path) -> dict[str, Any]:
    try:
        content = read_regular(path, LABELS)
    except OSError as error:
        raise LabelError(f"{path} cannot be read: {reason_of(error)}") from error
    # One number that is not finite is a flaw of its annotation, and not of the file.
    loaded = load_json(content, path, LabelError, finite=False)
    if not isinstance(loaded, dict):
        raise LabelError(f"{path} is no COCO file: it holds a {type(loaded).__name__}")
    try:
        return {**loaded, **{key: check_carried(loaded[key]) for key in _WHOLE if key in loaded}}
    except LabelError as error:
        raise LabelError(f"{path}, in {', '.join(_WHOLE)}: {error}") from error


def _face(origin: str, annotation: dict[str, Any]) -> _Face:
    kept = check_carried({key: value for key, value in annotation.items() if key not in _DERIVED})
    box = None
    if "bbox" in annotation:
        numbers = read_numbers(annotation["bbox"], "bbox")
        if len(numbers) != 4:
            raise LabelError(f"bbox must be x, y, width and height, got {shortened(annotation['bbox'])}")
        check_boxes(numbers[None])
        x, y, w, h = numbers.tolist()
        box = (x, y, x + w, y + h)
    points = _points(annotation.get("keypoints"))
    return _Face(origin, kept, box, points, read_segment(annotation.get("segmentation")))


def _points(values: Any) -> Array:
    """Read keypoints [x, y, v, x, y, v, ...] to (P, 3)."""
    if values is None:
        return np.zeros((0, 3))
    flat = read_numbers(values, "keypoints")
    if len(flat) % 3:
        raise LabelError(f"keypoints must be x, y and visibility of each point, got {len(flat)} numbers")
    points = flat.reshape(-1, 3)
    check_points(points[:, :2])
    flags = points[:, 2]
    # Between 0 and 1 it is the confidence of a detector, which is kept.
    if not ((flags >= 0) & (flags <= 1) | (flags == 2)).all():
        raise LabelError(f"visibility must be 0, 1, 2 or a confidence below 1, got {shortened(flags.tolist())}")
    check_seen(points[:, :2], flags > 0)
    return points


def _join(faces: Sequence[_Face]) -> FaceLabels:
    """Put the faces of a picture together: points and boxes lie one after another."""
    boxes = [face.box for face in faces if face.box is not None]
    points = np.concatenate([face.points for face in faces]) if faces else np.zeros((0, 3))
    segments = tuple(face.segment for face in faces)
    fields = {
        "faces": [face.kept for face in faces],
        "points": [len(face.points) for face in faces],
        "has_box": [face.box is not None for face in faces],
        "flags": points[:, 2].tolist(),
    }
    return FaceLabels(
        points=points[:, :2] if len(points) else None,
        visible=points[:, 2] > 0 if len(points) else None,
        boxes=warp.edges_to_centres(torch.tensor(boxes, dtype=torch.float64)).numpy() if boxes else None,
        segments=segments if any(segments) else None,
        fields=fields | ({"tight": [face.is_tight for face in faces]} if any(segments) else {}),
        origins=tuple(face.origin for face in faces) if any(isinstance(part, dict) for part in segments) else (),
    )


def _write(rows: Iterable[Row], out: Path, like: Path | None) -> list[Path]:
    old = {} if like is None else _load(like)
    content: dict[str, Any] = {key: old[key] for key in ("info", "licenses") if key in old}
    content |= {"images": [], "annotations": []}
    content["categories"] = old.get("categories", [{"id": 1, "name": "face"}])
    for number, (file, (height, width), labels) in enumerate(rows, start=1):
        content["images"].append({"id": number, "file_name": file, "width": width, "height": height})
        for face in _faces(labels):
            own = {"id": len(content["annotations"]) + 1, "image_id": number, "category_id": 1, "iscrowd": 0}
            content["annotations"].append(own | face)
    target = out / (like.name if like is not None else "annotations.json")
    write_file(target, json.dumps(content).encode())
    return [target]


def _faces(labels: FaceLabels) -> list[dict[str, Any]]:
    """Take the faces of a picture apart again: points and boxes lie one after another."""
    counts = labels.fields.get("points", [0 if labels.points is None else len(labels.points)])
    has_box = labels.fields.get("has_box", [labels.boxes is not None])
    kept = labels.fields.get("faces", [{} for _ in counts])
    tight = labels.fields.get("tight", [False for _ in counts])
    segments = labels.segments or [None for _ in counts]
    faces, point, box = [], 0, 0
    for count, boxed, fields, is_tight, segment in zip(counts, has_box, kept, tight, segments, strict=True):
        face = dict(fields)
        gone = is_tight and segment is None
        if boxed and labels.boxes is not None:
            gone = gone or (labels.box_visible is not None and not labels.box_visible[box])
            face |= _bbox(warp.centres_to_edges(torch.from_numpy(labels.boxes[box])).tolist())
            box += 1
        if segment is not None:
            face |= _bbox(segment_box(segment)) if is_tight else {}
            face |= {"segmentation": segment, "area": round(segment_area(segment), 3)}
        if count:
            face |= _keypoints(labels, point, count)
            point += count
        if not gone:
            faces.append(face)
    return faces


def _bbox(box: Sequence[float]) -> dict[str, Any]:
    x0, y0, x1, y1 = (round(float(value), 3) for value in box)
    return {"bbox": [x0, y0, round(x1 - x0, 3), round(y1 - y0, 3)], "area": round((x1 - x0) * (y1 - y0), 3)}


def _keypoints(labels: FaceLabels, start: int, count: int) -> dict[str, Any]:
    assert labels.points is not None
    seen = labels.points_seen
    flags = labels.fields.get("flags", [2] * len(labels.points))
    flat: list[float] = []
    for i in range(start, start + count):
        x, y = labels.points[i]
        # COCO: 0 is not labelled and has no place, 1 is labelled behind something, 2 is visible.
        flat += [round(float(x), 3), round(float(y), 3), _flag(flags[i])] if seen[i] else [0, 0, 0]
    return {"keypoints": flat, "num_keypoints": int(seen[start : start + count].sum())}


def _flag(value: float) -> float:
    return int(value) if value in (0, 1, 2) else value


FORMAT = register(Format("coco", lambda path: path.suffix.lower() == ".json", _read, _write))
