"""COCO annotations: each face has a box (x, y, width, height), keypoints (x, y, visibility) and a segmentation."""

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
from fomaug.labels.checks import (
    Array,
    Flaw,
    OnFlaw,
    Origin,
    check_boxes,
    check_points,
    check_visible,
    read_fields,
    read_numbers,
    reporting_flaws,
)
from fomaug.labels.faces import FaceLabels
from fomaug.labels.formats import Annotations, Format, Row, picture_path, register
from fomaug.labels.segments import Segment, read_segment, segment_area, segment_box
from fomaug.untrusted import load_json

_DERIVED = ("id", "image_id", "bbox", "keypoints", "num_keypoints", "area", "segmentation")
_FILE_FIELDS: Final = ("info", "licenses", "categories")  # Fields of the whole file, which are written again.
_TIGHT: Final = 1.5  # Largest distance in pixels between a box and the box around its segmentation.


@dataclass(frozen=True)
class _Face:
    """A checked annotation.

    Attributes:
        origin: file and number of the annotation.
        kept: all fields that are not labels.
        box: (x0, y0, x1, y1) edges; None if the annotation has no box.
        points: (P, 3) x, y and visibility.
        segment: segmentation of the face; None if it has none.
    """

    origin: str
    kept: dict[str, Any]
    box: tuple[float, float, float, float] | None
    points: Array
    segment: Segment | None

    @property
    def is_tight(self) -> bool:
        """Whether the box is the box around the segmentation, as in COCO."""
        if self.segment is None or self.box is None:
            return False
        return bool(np.abs(np.subtract(segment_box(self.segment), self.box)).max() <= _TIGHT)


def _read(path: Path, root: Path, on_flaw: OnFlaw) -> Annotations:
    content = _load(path)
    images, annotations = content.get("images"), content.get("annotations", [])
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise LabelError(f"{path} is not a COCO file: its images and annotations must be lists")
    pictures = _pictures_by_id(path, images, root, on_flaw)
    flawed: set[str] = set()

    def note(flaw: Flaw) -> None:
        flawed.add(flaw.picture)
        on_flaw(flaw)

    faces: dict[str, list[_Face]] = {name: [] for name in pictures.values() if name is not None}
    for number, annotation in enumerate(annotations):
        with reporting_flaws(f"{path}, annotation {number}{_described_id(annotation)}", note) as origin:
            name = _picture_of(annotation, pictures)
            if name is not None:
                origin.picture = name
                faces[name].append(_face(origin.where, annotation))
    # A picture whose faces are all flawed must not count as a picture without faces.
    return {name: _join(found) for name, found in faces.items() if found or name not in flawed}


def _pictures_by_id(path: Path, images: list[Any], root: Path, on_flaw: OnFlaw) -> dict[Any, str | None]:
    """Find the picture of each image id; None for an id of several pictures, whose annotations are left out."""
    origins: dict[Any, list[Origin]] = {}
    for number, image in enumerate(images):
        with reporting_flaws(f"{path}, image {number}{_described_id(image)}", on_flaw) as origin:
            if not isinstance(image, dict) or not isinstance(image["file_name"], str):
                raise LabelError("an image must be a JSON object with an id and a file_name, a string")
            image_id = _image_id(image["id"])
            origin.picture = picture_path(image["file_name"], path.parent, root)
            origins.setdefault(image_id, []).append(origin)
    pictures: dict[Any, str | None] = {}
    for image_id, found in origins.items():
        names = dict.fromkeys(origin.picture for origin in found)
        pictures[image_id] = found[0].picture if len(names) == 1 else None
        for origin in found if len(names) > 1 else ():
            others = ", ".join(name for name in names if name != origin.picture)
            reason = f"its id is also that of {others}, so the annotations of this id were left out"
            on_flaw(Flaw(origin.where, origin.picture, reason))
    return pictures


def _picture_of(annotation: Any, pictures: Mapping[Any, str | None]) -> str | None:
    """Find the picture of an annotation; None if several pictures have its id, which is reported for the pictures."""
    if not isinstance(annotation, dict):
        raise LabelError("an annotation must be a JSON object")
    image_id = _image_id(annotation["image_id"])
    if image_id not in pictures:
        raise LabelError(f"no image has the id {annotation['image_id']!r}")
    return pictures[image_id]


def _image_id(value: Any) -> int | str:
    if not isinstance(value, int | str):
        raise LabelError(f"the id of an image must be a whole number or a string, got {shortened(value)}")
    return value


def _described_id(entry: Any) -> str:
    found = entry.get("id") if isinstance(entry, dict) else None
    return "" if found is None else f" (id {shortened(found)})"


def _load(path: Path) -> dict[str, Any]:
    try:
        content = read_regular(path, LABELS)
    except OSError as error:
        raise LabelError(f"{path} cannot be read: {reason_of(error)}") from error
    # A number that is not finite is a flaw of its annotation, not an error of the file.
    loaded = load_json(content, path, LabelError, finite=False)
    if not isinstance(loaded, dict):
        raise LabelError(f"{path} is not a COCO file: a JSON object was expected, got a {type(loaded).__name__}")
    try:
        return {**loaded, **{key: read_fields(loaded[key]) for key in _FILE_FIELDS if key in loaded}}
    except LabelError as error:
        raise LabelError(f"{path}, in {', '.join(_FILE_FIELDS)}: {error}") from error


def read_categories(path: Path) -> dict[int, str]:
    """Read the name of each category of a COCO file, by its id; entries of another form are left out."""
    listed = _load(path).get("categories", [])
    found = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return {entry["id"]: str(entry["name"]) for entry in found if type(entry.get("id")) is int and "name" in entry}


def _face(origin: str, annotation: dict[str, Any]) -> _Face:
    kept = read_fields({key: value for key, value in annotation.items() if key not in _DERIVED})
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
    """Read keypoints [x, y, v, x, y, v, ...] as an array (P, 3)."""
    if values is None:
        return np.zeros((0, 3))
    flat = read_numbers(values, "keypoints")
    if len(flat) % 3:
        raise LabelError(f"keypoints must be x, y and visibility of each point, got {len(flat)} numbers")
    points = flat.reshape(-1, 3)
    check_points(points[:, :2])
    flags = points[:, 2]
    # A number between 0 and 1 is the confidence of a detector, which is kept.
    if not ((flags >= 0) & (flags <= 1) | (flags == 2)).all():
        raise LabelError(f"visibility must be 0, 1, 2 or a confidence below 1, got {shortened(flags.tolist())}")
    check_visible(points[:, :2], flags > 0)
    return points


def _join(faces: Sequence[_Face]) -> FaceLabels:
    """Join the faces of a picture; points and boxes keep the order of the faces."""
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
    """Split the labels of a picture into its faces, in whose order points and boxes are."""
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
        # Visibility in COCO: 0 for a point without a label, 1 for a labelled but hidden point, 2 for a visible one.
        flat += [round(float(x), 3), round(float(y), 3), _flag(flags[i])] if seen[i] else [0, 0, 0]
    return {"keypoints": flat, "num_keypoints": int(seen[start : start + count].sum())}


def _flag(value: float) -> float:
    return int(value) if value in (0, 1, 2) else value


FORMAT = register(Format("coco", lambda path: path.suffix.lower() == ".json", _read, _write))
